// The gateway is set up: the link for the second person, which is shown this once, and the way on.

import { Button } from "@mantine/core";

import type { Schemas } from "../../api/client";
import { invitationLink } from "../../lib/founding";
import { Command } from "../../parts/Bits";
import { Note, useTitle } from "../../parts/Page";
import { When } from "../../parts/Time";

export function Passed({ of, display, done }: { of: Schemas["Invited"]; display: string; done: () => void }) {
  const heading = useTitle("Set up");
  return (
    <div className="stack wide">
      <h1 ref={heading} tabIndex={-1}>The gateway is set up</h1>
      <p>You are signed in. Send this link to {display}, by a way that only they read: whoever opens it first makes the passkey of their account.</p>
      <Command text={invitationLink(location.origin, of)} what="the link" prompt={false} />
      <Note>It is shown this once, and counts until <When at={of.expires_at} />. Its code is known to nobody else: the gateway keeps what it takes to recognise it.</Note>
      <div><Button size="md" onClick={done}>I have sent it</Button></div>
    </div>
  );
}
