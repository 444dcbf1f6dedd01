// Sign in. What one wanted to see is shown right after.

import { Button, PasswordInput, TextInput } from "@mantine/core";
import { useState, type FormEvent } from "react";

import { api } from "../api/client";
import { Mark } from "../parts/Mark";
import { Fault, Note, useTitle } from "../parts/Page";

export function SignIn({ ended, done }: { ended: boolean; done: () => void }) {
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const heading = useTitle("Sign in");
  const send = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await api.POST("/sign-in", { body: { user: user.trim(), password } });
      done();
    } catch (refused) {
      setError(refused as Error);
      setPassword("");
      setBusy(false);
    }
  };
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
      <form className="in" onSubmit={(event) => void send(event)}>
        <h1 ref={heading} tabIndex={-1}>Sign in</h1>
        {ended && <Note>Your sign-in has ended. Sign in again to go on where you were.</Note>}
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
      </form>
    </main>
  );
}
