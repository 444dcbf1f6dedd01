// A question before something that cannot be taken back, with room for a reason where one is recorded.

import { Button, Modal, Textarea } from "@mantine/core";
import { useState, type FormEvent, type ReactNode } from "react";

interface Question {
  title: string;
  children?: ReactNode;
  label: string;
  reason?: { label: string; description?: string; required?: boolean };
  danger?: boolean;
  run: (reason: string) => Promise<unknown>;
}

/** How long a reason may be; the gateway judges. */
const REASON_MAX = 2_000;

export function Confirm({ asked, close }: { asked: Question | undefined; close: () => void }) {
  return (
    <Modal opened={asked !== undefined} onClose={close} title={asked?.title} centered>
      {asked && <Form asked={asked} close={close} />}
    </Modal>
  );
}

function Form({ asked, close }: { asked: Question; close: () => void }) {
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const send = async (event?: FormEvent): Promise<void> => {
    event?.preventDefault();
    if (busy || (asked.reason?.required && reason.trim() === "")) return;
    setBusy(true);
    await asked.run(reason.trim()).finally(() => setBusy(false));
    close();
  };
  return (
    <form className="stack" onSubmit={(event) => void send(event)}>
      {asked.children && <div>{asked.children}</div>}
      {asked.reason && (
        <Textarea
          label={asked.reason.label}
          description={asked.reason.description}
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void send();
          }}
          required={asked.reason.required ?? false}
          maxLength={REASON_MAX}
          minRows={3}
          autosize
          data-autofocus
        />
      )}
      <div className="row">
        <Button type="submit" color={asked.danger ? "brick" : "seal"} loading={busy}>{asked.label}</Button>
        <Button variant="default" onClick={close}>Not now</Button>
      </div>
    </form>
  );
}

/** Holds the question that is being asked. */
export function useConfirm() {
  const [asked, setAsked] = useState<Question>();
  return { ask: setAsked, confirm: <Confirm asked={asked} close={() => setAsked(undefined)} /> };
}
