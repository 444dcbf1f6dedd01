// Letting in a program on this very computer: the command line that opened this page, and waits for the answer.

import { Button } from "@mantine/core";
import { IconTerminal2 } from "@tabler/icons-react";
import { useState } from "react";

import { api, body } from "../api/client";
import { Fault, Head, Note } from "../parts/Page";
import { useMe } from "../parts/who";

/** What the program says of itself in the address. All of it is anybody's word. */
interface Asked {
  challenge: string;
  state: string;
  port: number;
  machine: string;
}

function asked(): Asked | undefined {
  const query = new URLSearchParams(location.search);
  const challenge = query.get("challenge") ?? "";
  const state = query.get("state") ?? "";
  const machine = query.get("machine") ?? "";
  const port = Number(query.get("port"));
  const fits = /^[\w-]{43}$/.test(challenge) && /^[\w-]{22,128}$/.test(state) && /^[\w.-]{1,64}$/.test(machine)
    && Number.isInteger(port) && port >= 1_024 && port <= 65_535;
  return fits ? { challenge, state, port, machine } : undefined;
}

const DONE: Record<string, string> = {
  yes: "The terminal is signed in. You can close this window.",
  no: "The terminal was told no. You can close this window.",
  failed: "The terminal could not be signed in; it says why. You can close this window.",
};

export default function LetIn() {
  const done = DONE[new URLSearchParams(location.search).get("done") ?? ""];
  const wants = asked();
  return (
    <>
      <Head title="Sign in a terminal">The command line asks to be you.</Head>
      {done ? <Note tone={DONE.yes === done ? "good" : "calm"}>{done}</Note> : wants ? <Ask of={wants} /> : (
        <Note>This link is not complete. Run <code>countersign login</code> again and follow the link that it shows.</Note>
      )}
    </>
  );
}

function Ask({ of }: { of: Asked }) {
  const me = useMe();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  // To this computer and nowhere else: whoever sent the link gets nothing.
  const back = (answer: Record<string, string>): void =>
    location.replace(`http://127.0.0.1:${of.port}/?${new URLSearchParams({ ...answer, state: of.state })}`);
  const yes = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      const { code } = await body(api.POST("/me/program", { body: { challenge: of.challenge } }));
      back({ code });
    } catch (refused) {
      setError(refused as Error);
      setBusy(false);
    }
  };
  return (
    <div className="sheet pad stack">
      <p className="row"><IconTerminal2 size={22} stroke={1.7} aria-hidden="true" /><span>A terminal on this computer, which calls itself <b>{of.machine}</b>, asks to be <b>{me.name}</b>.</span></p>
      <p className="quiet">Say yes only if you have just run <code>countersign login</code> here yourself. It may then do what you may do, until this sign-in would end at the latest.</p>
      {error && <Fault error={error} />}
      <div className="row">
        <Button loading={busy} onClick={() => void yes()}>Yes, sign it in</Button>
        <Button variant="default" disabled={busy} onClick={() => back({ error: "access_denied" })}>No</Button>
      </div>
    </div>
  );
}
