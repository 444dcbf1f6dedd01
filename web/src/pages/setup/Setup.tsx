// The first-run set-up: by whoever holds the code that the gateway said where it was started. Nothing is in force until the
// last step, and then there is no set-up any more.

import { Button, TextInput } from "@mantine/core";
import { IconFingerprint } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent, type ReactNode } from "react";
import { Link } from "wouter";

import { api, body, Problem, type Schemas } from "../../api/client";
import { setup } from "../../api/queries";
import { administrator, database, keep, nameOf, read, second, type Typed } from "../../lib/founding";
import { hasPasskeys, make } from "../../lib/passkeys";
import { Bones, Fault, Note, useTitle } from "../../parts/Page";
import { DatabaseForm } from "./DatabaseForm";
import { Door } from "./Door";
import { Passed } from "./Passed";

const STEPS = ["The code", "The house and you", "A first database", "A second person", "Your passkey"] as const;

export default function Setup({ done }: { done: () => void }) {
  const state = useQuery(setup);
  const [step, setStep] = useState(0);
  const [code, setCode] = useState("");
  const [typed, setTyped] = useState(read);
  const [passwords, setPasswords] = useState({ writer: "", reader: "" });
  const [made, setMade] = useState<Schemas["SetUpDone"]>();
  const change = (next: Typed): void => {
    keep(next);
    setTyped(next);
  };
  const aside = (
    <ol className="steps" aria-label="Steps">
      {STEPS.map((name, i) => (
        <li key={name} aria-current={!made && i === step ? "step" : undefined} className={made || i < step ? "past" : undefined}>{name}</li>
      ))}
    </ol>
  );
  const next = (): void => setStep(step + 1);
  const back = step > 1 ? (): void => setStep(step - 1) : undefined;
  const found = async (): Promise<void> => {
    const offer = await body(api.POST("/setup/administrator", { body: { code, administrator: administrator(typed) } }));
    const passkey = await make(offer, "First device");
    setMade(await body(api.POST("/setup", {
      body: { code, house: typed.house.trim(), administrator: administrator(typed), passkey, second: second(typed), database: database(typed, passwords) },
    })));
    keep(undefined);
  };
  return (
    <Door motto="Set up this gateway." aside={aside}>
      {made ? <Passed of={made.invitation} display={typed.second.display} done={done} />
        : state.error ? <NotHere error={state.error} />
          : !state.data ? <Bones rows={1} height={260} />
            : step === 0 ? <Code passkeys={state.data.passkeys} code={code} set={setCode} done={next} />
              : step === 1 ? <You typed={typed} change={change} done={next} />
                : step === 2 ? <DatabaseForm code={code} typed={typed} change={change} passwords={passwords} setPasswords={setPasswords} back={back} done={next} />
                  : step === 3 ? <Second typed={typed} change={change} back={back} done={next} />
                    : <Last typed={typed} back={back} run={found} />}
    </Door>
  );
}

function NotHere({ error }: { error: Error }) {
  const heading = useTitle("Set up");
  return (
    <div className="stack">
      <h1 ref={heading} tabIndex={-1}>There is nothing to set up</h1>
      {error instanceof Problem && error.status === 404
        ? <p className="quiet">This gateway is set up already, or its code has ended. In that case, start it again: it says another one.</p>
        : <Fault error={error} />}
      <div><Button component={Link} href="/">Sign in</Button></div>
    </div>
  );
}

/** One step: its fields, and a way on that may fail. */
export function Step({ title, children, label = "Go on", back, send, icon }: {
  title: string; children: ReactNode; label?: string; back: (() => void) | undefined; send: () => Promise<void> | void; icon?: ReactNode;
}) {
  const heading = useTitle(title);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await send();
    } catch (refused) {
      setError(refused as Error);
    }
    setBusy(false);
  };
  return (
    <form className="stack wide" onSubmit={(event) => void submit(event)}>
      <h1 ref={heading} tabIndex={-1}>{title}</h1>
      {children}
      {error && <Fault error={error} />}
      <div className="row">
        <Button type="submit" size="md" loading={busy} leftSection={icon}>{label}</Button>
        {back && <Button size="md" variant="subtle" disabled={busy} onClick={back}>Back</Button>}
      </div>
    </form>
  );
}

function Code({ passkeys, code, set, done }: { passkeys: boolean; code: string; set: (code: string) => void; done: () => void }) {
  const send = async (): Promise<void> => {
    await api.POST("/setup/code", { body: { code } });
    done();
  };
  const able = passkeys && hasPasskeys();
  return (
    <Step title="The code" back={undefined} send={able ? send : () => undefined}>
      <p className="quiet">Whoever started the gateway reads it in its output. It shows that you are them, or were sent by them.</p>
      {!able && (
        <Note tone="warn">
          Passkeys can’t be made at this address. The console has to be reached by https at a name, or at <code>localhost</code>: set <code>console_url</code> in the gateway’s configuration, and open it there.
        </Note>
      )}
      <TextInput
        label="Code" size="md" value={code} onChange={(event) => set(event.currentTarget.value)} placeholder="abcd-efgh-ijkm-nopq"
        autoComplete="off" autoCapitalize="none" spellCheck={false} maxLength={64} required autoFocus withAsterisk={false} disabled={!able}
        classNames={{ input: "mono" }}
      />
    </Step>
  );
}

function You({ typed, change, done }: { typed: Typed; change: (typed: Typed) => void; done: () => void }) {
  return (
    <Step title="The house and you" back={undefined} send={done}>
      <p className="quiet">You run the gateway first. That lets you read and change how it is set up, with somebody else’s word; it approves nothing of your own.</p>
      <TextInput label="What the house is called" value={typed.house} onChange={(event) => change({ ...typed, house: event.currentTarget.value })} maxLength={120} autoComplete="organization" required autoFocus withAsterisk={false} />
      <Who of={typed} change={(who) => change({ ...typed, ...who })} mine />
    </Step>
  );
}

function Second({ typed, change, back, done }: { typed: Typed; change: (typed: Typed) => void; back: (() => void) | undefined; done: () => void }) {
  return (
    <Step title="A second person" back={back} send={() => {
      if (typed.second.name.trim() === typed.name.trim()) throw new Error("the second person is somebody else than you");
      done();
    }}>
      <p className="quiet">Nobody decides alone. Whoever you name here is asked when you want something, and you are when they do. You get a link for them, which counts for three days, once.</p>
      <Who of={typed.second} change={(who) => change({ ...typed, second: who })} />
    </Step>
  );
}

interface Named { readonly display: string; readonly name: string; readonly email: string }

function Who({ of: { display, name, email }, change, mine = false }: { of: Named; change: (who: Named) => void; mine?: boolean }) {
  const of = { display, name, email };
  return (
    <>
      <TextInput label={mine ? "Your name" : "Their name"} value={display} required withAsterisk={false} maxLength={120} autoComplete={mine ? "name" : "off"} autoFocus={!mine}
        onChange={({ currentTarget: { value } }) => change({ ...of, display: value, name: name === nameOf(display) ? nameOf(value) : name })} />
      <TextInput label={mine ? "The name of your account" : "The name of their account"} value={name} required withAsterisk={false} maxLength={64} autoCapitalize="none" spellCheck={false}
        pattern="[a-z0-9][a-z0-9._@\-]*" title="small letters, digits, . _ - and @, beginning with a letter or digit" autoComplete={mine ? "username" : "off"} classNames={{ input: "mono" }}
        onChange={(event) => change({ ...of, name: event.currentTarget.value })} />
      <TextInput label={mine ? "Your e-mail address" : "Their e-mail address"} description="May be left out." type="email" value={email} maxLength={120} autoComplete={mine ? "email" : "off"}
        onChange={(event) => change({ ...of, email: event.currentTarget.value })} />
    </>
  );
}

function Last({ typed, back, run }: { typed: Typed; back: (() => void) | undefined; run: () => Promise<void> }) {
  const { database: base } = typed;
  return (
    <Step title="Your passkey" label="Make the passkey and set up" back={back} send={run} icon={<IconFingerprint size={19} stroke={1.7} />}>
      <dl className="facts">
        <dt>House</dt><dd>{typed.house}</dd>
        <dt>You</dt><dd>{typed.display}, <span className="mono">{typed.name}</span></dd>
        <dt>Second person</dt><dd>{typed.second.display}, <span className="mono">{typed.second.name}</span></dd>
        <dt>Database</dt><dd><span className="mono">{base.name}</span> at <span className="mono">{base.host}:{base.port}</span></dd>
      </dl>
      <p className="quiet">Your device keeps a key for this console, and you sign in with it. With that, all of this comes into force at once: access and changes of {base.name || "the database"} are held until somebody else says yes, and so are changes to these rules.</p>
    </Step>
  );
}
