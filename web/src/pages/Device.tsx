// Letting in a program on a machine without a browser, by the code that it shows.

import { Button, TextInput } from "@mantine/core";
import { IconTerminal2 } from "@tabler/icons-react";
import { useState, type FormEvent } from "react";

import { api, body, type Schemas } from "../api/client";
import { program } from "../lib/programs";
import { Fault, Head, Note } from "../parts/Page";
import { Ago, Left } from "../parts/Time";
import { useMe } from "../parts/who";

type Asked = Schemas["DeviceAsked"];

export default function Device() {
  const [code, setCode] = useState("");
  const [asked, setAsked] = useState<Asked>();
  const [done, setDone] = useState<"yes" | "no">();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const during = async (what: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await what();
    } catch (refused) {
      setError(refused as Error);
    }
    setBusy(false);
  };
  const look = (event: FormEvent): void => {
    event.preventDefault();
    void during(async () => setAsked(await body(api.POST("/me/device", { body: { user_code: code } }))));
  };
  const answer = (allow: boolean): void => void during(async () => {
    await api.POST("/me/device/answer", { body: { user_code: code, allow } });
    setDone(allow ? "yes" : "no");
  });
  const again = (): void => {
    setAsked(undefined);
    setDone(undefined);
    setError(undefined);
    setCode("");
  };
  return (
    <>
      <Head title="Sign in another machine">For a terminal on a machine without a browser, which shows a code.</Head>
      {done ? (
        <div className="stack">
          <Note tone={done === "yes" ? "good" : "calm"}>{done === "yes" ? "The machine will be signed in within seconds." : "The machine was told no."}</Note>
          <div className="row"><Button variant="default" onClick={again}>Another code</Button></div>
        </div>
      ) : asked ? (
        <Ask of={asked} code={code} busy={busy} error={error} answer={answer} />
      ) : (
        <form className="sheet pad stack" onSubmit={look}>
          <TextInput
            label="The code that it shows" description="Only a code that you see on a machine of yours. Nobody who is honest sends you one."
            value={code} onChange={(event) => setCode(event.currentTarget.value)} size="md" maxLength={32} required autoFocus withAsterisk={false}
            autoComplete="off" autoCapitalize="characters" spellCheck={false} placeholder="BCDF-GHJK" style={{ maxWidth: 420 }}
          />
          {error && <Fault error={error} />}
          <div className="row"><Button type="submit" loading={busy}>Go on</Button></div>
        </form>
      )}
    </>
  );
}

function Ask({ of, code, busy, error, answer }: { of: Asked; code: string; busy: boolean; error: Error | undefined; answer: (allow: boolean) => void }) {
  const me = useMe();
  return (
    <div className="sheet pad stack">
      <p className="row"><IconTerminal2 size={22} stroke={1.7} aria-hidden="true" /><span>On a machine that calls itself <b>{of.machine}</b>, {program(of.program)} asks to be <b>{me.name}</b>.</span></p>
      <dl className="facts">
        <dt>Code</dt><dd className="mono">{code.toUpperCase()}</dd>
        <dt>It asks from</dt><dd className="mono">{of.address ?? "an unknown address"}</dd>
        <dt>Since</dt><dd><Ago at={of.begun_at} /></dd>
        <dt>Time left</dt><dd><Left until={of.expires_at} /></dd>
      </dl>
      {of.elsewhere && <Note tone="warn">It asks from another network than yours. If the machine is not where that says, say no.</Note>}
      <p className="quiet">Say yes only if you have just run <code>countersign login</code> on it yourself. If somebody sent you the code, they would become you.</p>
      {error && <Fault error={error} />}
      <div className="row">
        <Button loading={busy} onClick={() => answer(true)}>Yes, sign it in</Button>
        <Button variant="default" disabled={busy} onClick={() => answer(false)}>No</Button>
      </div>
    </div>
  );
}
