// Whoever was invited makes their passkey, and is signed in.

import { TextInput } from "@mantine/core";
import { IconFingerprint } from "@tabler/icons-react";
import { useState } from "react";

import { api, body } from "../../api/client";
import { invited } from "../../lib/founding";
import { hasPasskeys, make } from "../../lib/passkeys";
import { Note } from "../../parts/Page";
import { Door } from "./Door";
import { Step } from "./Setup";

export default function Invited({ done }: { done: () => void }) {
  const [given] = useState(() => invited(location.hash));
  const [name, setName] = useState("This device");
  const able = hasPasskeys();
  const send = async (): Promise<void> => {
    if (!given || !able) return;
    const offer = await body(api.POST("/sign-in/invitation/offer", { body: given }));
    const passkey = await make(offer, name.trim());
    await api.POST("/sign-in/invitation", { body: { ...given, passkey } });
    // The link opens nothing any more; nobody needs to find it in the history.
    history.replaceState(null, "", location.pathname);
    done();
  };
  return (
    <Door motto="You are asked to countersign." aside={<p>What may change something waits, in place, until somebody who may has seen exactly what will run and has said yes. One of them is you.</p>}>
      {given ? (
        <Step title="Make your passkey" label="Make the passkey" back={undefined} send={send} icon={<IconFingerprint size={19} stroke={1.7} />}>
          <p>You were invited as <b className="mono">{given.user}</b>. Your device keeps a key for this console, and you sign in with it, without a password.</p>
          {!able && <Note tone="warn">This browser has no passkeys here. Open the link in one that has, at the console’s own address.</Note>}
          <TextInput label="What to call it" value={name} onChange={(event) => setName(event.currentTarget.value)} maxLength={60} required withAsterisk={false} disabled={!able} />
        </Step>
      ) : (
        <div className="stack"><h1>This link is not complete</h1><p className="quiet">Open it as it was sent to you, to its last letter.</p></div>
      )}
    </Door>
  );
}
