// Sign in. What one wanted to see is shown right after.

import { Button, PasswordInput, TextInput } from "@mantine/core";
import { IconBuilding, IconFingerprint } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { Link } from "wouter";

import { api, body, type Schemas } from "../api/client";
import { health, signInProviders } from "../api/queries";
import { hasPasskeys, show } from "../lib/passkeys";
import { Mark } from "../parts/Mark";
import { Fault, Note, useTitle } from "../parts/Page";

/** What the gateway says in the address of somebody who came back from a provider and is not signed in. */
const REASONS: Record<string, string> = {
  "not-known": "nobody here is who the identity provider says you are; ask those who keep the list of people",
  disabled: "this account is disabled; ask somebody who may enable it",
  "too-late": "this sign-in took too long, or was begun in another browser; begin again",
  unavailable: "nobody can sign in now, because it can't be recorded; try again in a moment",
  refused: "the identity provider did not sign you in; try again, or sign in otherwise",
};

function cameBack(): Error | undefined {
  const said = new URLSearchParams(location.search).get("sign-in");
  const reason = said === null ? undefined : REASONS[said];
  return reason === undefined ? undefined : new Error(reason);
}

/** Where somebody wanted to go, without what an earlier try said. */
function wantedPath(): string {
  const query = new URLSearchParams(location.search);
  query.delete("sign-in");
  return location.pathname + (query.size > 0 ? `?${query}` : "");
}

export function SignIn({ ended, done }: { ended: boolean; done: () => void }) {
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | undefined>(cameBack);
  const others = useQuery(signInProviders);
  const [step, setStep] = useState<Schemas["SecondStep"]>();
  const fresh = useQuery(health).data?.setup === true;
  const heading = useTitle("Sign in");
  const send = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      const { data } = await api.POST("/sign-in", { body: { user: user.trim(), password } });
      if (data && "pending" in data) setStep(data);
      else done();
    } catch (refused) {
      setError(refused as Error);
      setPassword("");
    }
    setBusy(false);
  };
  const passkey = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      const asked = await body(api.POST("/sign-in/passkey/ask"));
      await api.POST("/sign-in/passkey", { body: await show(asked) });
      done();
    } catch (refused) {
      setError(refused as Error);
      setBusy(false);
    }
  };
  const asked = ["/let-in", "/device"].includes(location.pathname);
  const wanted = location.pathname.startsWith("/requests/");
  return (
    <main className="door">
      <div className="word">
        <span className="brand"><Mark size={32} />Countersign</span>
        <p className="motto">Nothing privileged happens without a countersignature.</p>
        <p className="fine">
          You keep your own tools. What may change something waits, in place, until somebody who may has seen exactly what
          will run and has said yes. The record of it can be proved to anyone, offline, years later.
        </p>
      </div>
      {step ? <Second step={step} done={done} back={() => { setStep(undefined); setPassword(""); }} /> : (
      <form className="in" onSubmit={(event) => void send(event)}>
        <h1 ref={heading} tabIndex={-1}>Sign in</h1>
        {ended && <Note>Your sign-in has ended. Sign in again to go on where you were.</Note>}
        {fresh && <Note>This gateway is not set up yet. <Link href="/setup">Set it up</Link>, with the code that it said where it was started.</Note>}
        {asked && !ended && <Note>Sign in, then say whether the terminal may be you.</Note>}
        {location.pathname === "/authorize" && !ended && <Note>Sign in, then say whether the program may act in your name.</Note>}
        {wanted && !ended && <Note>Sign in to see the request that your link is about.</Note>}
        <div className="stack">
          <TextInput
            label="Name" value={user} onChange={(event) => setUser(event.currentTarget.value)} size="md"
            name="username" autoComplete="username" autoCapitalize="none" spellCheck={false} required autoFocus
            withAsterisk={false}
          />
          <PasswordInput
            label="Password" value={password} onChange={(event) => setPassword(event.currentTarget.value)} size="md"
            name="password" autoComplete="current-password" required withAsterisk={false}
            visibilityToggleButtonProps={{ "aria-label": "Show or hide the password", tabIndex: 0 }}
          />
        </div>
        {error && <Fault error={error} />}
        <Button type="submit" size="md" loading={busy} fullWidth>Sign in</Button>
        {(others.data ?? []).map((one) => (
          <Button key={one.name} component="a" variant="default" size="md" disabled={busy} fullWidth leftSection={<IconBuilding size={19} stroke={1.7} />}
            href={`/api/v1/sign-in/oidc/${one.name}?to=${encodeURIComponent(wantedPath())}`}>
            Sign in with {one.title}
          </Button>
        ))}
        {hasPasskeys() && (
          <Button variant="default" size="md" disabled={busy} fullWidth leftSection={<IconFingerprint size={19} stroke={1.7} />} onClick={() => void passkey()}>
            Use a passkey
          </Button>
        )}
      </form>
      )}
    </main>
  );
}

/** The second step: a code of the app, or one that was kept for the day when it is lost. */
function Second({ step, done, back }: { step: Schemas["SecondStep"]; done: () => void; back: () => void }) {
  const [code, setCode] = useState("");
  const [lost, setLost] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const send = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await api.POST("/sign-in/second", { body: { pending: step.pending, code: code.trim() } });
      done();
    } catch (refused) {
      setError(refused as Error);
      setCode("");
      setBusy(false);
    }
  };
  return (
    <form className="in" onSubmit={(event) => void send(event)}>
      <h1>{lost ? "Recovery code" : "Code of your app"}</h1>
      <TextInput
        key={lost ? "lost" : "app"} label={lost ? "One of your recovery codes" : "The six digits that it shows now"} value={code}
        onChange={(event) => setCode(event.currentTarget.value)} size="md" name="code" autoComplete="one-time-code"
        inputMode={lost ? "text" : "numeric"} autoCapitalize="none" spellCheck={false} maxLength={32} required autoFocus withAsterisk={false}
      />
      {error && <Fault error={error} />}
      <Button type="submit" size="md" loading={busy} fullWidth>Sign in</Button>
      <div className="row">
        {step.means.includes("recovery-code") && (
          <Button variant="subtle" size="xs" onClick={() => { setLost(!lost); setCode(""); }}>{lost ? "Use the app" : "I don't have the app"}</Button>
        )}
        <Button variant="subtle" size="xs" onClick={back}>Begin again</Button>
      </div>
    </form>
  );
}
