// Binding an authenticator app: the secret as a picture and as text, the first code, and the codes for the day when the
// app is lost.

import { Button, Modal, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../api/client";
import { totpOffer } from "../api/queries";
import { Command, Copy } from "./Bits";
import { Bones, Fault, Note, Reading } from "./Page";

export function TotpDialog({ opened, close, bound }: { opened: boolean; close: () => void; bound: (codes: readonly string[]) => void }) {
  return (
    <Modal opened={opened} onClose={close} title="Set up an authenticator app" centered size="lg">
      {opened && <Binding bound={bound} close={close} />}
    </Modal>
  );
}

function Binding({ bound, close }: { bound: (codes: readonly string[]) => void; close: () => void }) {
  const offer = useQuery(totpOffer);
  const [code, setCode] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const send = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      const { data } = await api.POST("/me/totp/bind", { body: { code } });
      if (data) bound(data.recovery_codes);
    } catch (refused) {
      setError(refused as Error);
      setCode("");
    }
    setBusy(false);
  };
  return (
    <Reading of={offer} bones={<Bones rows={1} height={240} />}>
      {(secret) => (
        <form className="stack" onSubmit={(event) => void send(event)}>
          <p>Scan this with the app, then type the code that it shows.</p>
          <svg
            className="qr" viewBox={`0 0 ${secret.qr.size} ${secret.qr.size}`} role="img" aria-label="The secret as a QR code" shapeRendering="crispEdges"
          >
            <path d={`M0,0h${secret.qr.size}v${secret.qr.size}h-${secret.qr.size}z`} fill="#fff" />
            <path d={secret.qr.path} fill="#000" />
          </svg>
          <details>
            <summary>I can't scan it</summary>
            <p className="small">Type this into the app, as a key that is based on time.</p>
            <Command text={secret.secret} what="the secret" prompt={false} shown={secret.secret.match(/.{1,4}/g)?.join(" ") ?? secret.secret} />
          </details>
          <TextInput
            label="Code" value={code} onChange={(event) => setCode(event.currentTarget.value)} inputMode="numeric" autoComplete="one-time-code"
            maxLength={12} required withAsterisk={false} data-autofocus
          />
          {error && <Fault error={error} />}
          <div className="row">
            <Button type="submit" loading={busy}>Bind it</Button>
            <Button variant="default" onClick={close}>Not now</Button>
          </div>
        </form>
      )}
    </Reading>
  );
}

/** Recovery codes, shown once. */
export function Codes({ of, close }: { of: readonly string[] | undefined; close: () => void }) {
  return (
    <Modal opened={of !== undefined} onClose={close} title="Your recovery codes" centered closeOnClickOutside={false}>
      <div className="stack">
        <Note tone="warn">They are shown this once. Each stands in for the app at one sign-in: keep them apart from it.</Note>
        <ul className="codes mono">{of?.map((code) => <li key={code}>{code}</li>)}</ul>
        <div className="row">
          <Button onClick={close}>I have kept them</Button>
          {of && <Copy value={of.join("\n")} what="the recovery codes" />}
        </div>
      </div>
    </Modal>
  );
}
