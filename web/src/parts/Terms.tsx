// A yes with terms: fewer uses or less time than the rules allow, or bounds instead of one text where they let that be.
// What is written here is only ever less than what the rules say; the gateway judges again.

import { Button, Modal, NumberInput, SegmentedControl, Textarea, TextInput } from "@mantine/core";
import { useState, type FormEvent } from "react";

import type { Request, Schemas } from "../api/client";
import { seconds, words } from "../lib/time";

export type Yes = Omit<Schemas["Approve"], "digest">;

/** How long a comment may be; the gateway judges. */
const COMMENT_MAX = 2_000;

export function Terms({ of, open, close, run }: {
  of: Request; open: boolean; close: () => void; run: (yes: Yes) => Promise<unknown>;
}) {
  return (
    <Modal opened={open} onClose={close} title="Approve with terms" centered>
      {open && <Form of={of} close={close} run={run} />}
    </Modal>
  );
}

function Form({ of, close, run }: { of: Request; close: () => void; run: (yes: Yes) => Promise<unknown> }) {
  const [comment, setComment] = useState("");
  const [wide, setWide] = useState(false);
  const envelope = of.most?.envelope;
  const most = wide && envelope ? envelope : of.most;
  const [uses, setUses] = useState<number>();
  const [lasting, setLasting] = useState("");
  const [rows, setRows] = useState<number>();
  const [total, setTotal] = useState<number>();
  const [busy, setBusy] = useState(false);

  const length = seconds(lasting);
  const wrong = wrongLength(lasting, length, most?.for_s);
  const bounded = !wide || (rows !== undefined && total !== undefined);
  const send = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    if (busy || wrong !== undefined || !bounded) return;
    setBusy(true);
    const yes: Yes = {
      ...(comment.trim() ? { comment: comment.trim() } : {}),
      ...(uses !== undefined ? { uses } : {}),
      ...(lasting.trim() ? { for: lasting.trim() } : {}),
      ...(wide && rows !== undefined && total !== undefined ? { envelope: { rows, total } } : {}),
    };
    await run(yes).finally(() => setBusy(false));
    close();
  };
  return (
    <form className="stack" onSubmit={(event) => void send(event)}>
      {envelope && (
        <SegmentedControl
          aria-label="What the yes covers" fullWidth value={wide ? "bounds" : "text"} onChange={(value) => setWide(value === "bounds")}
          data={[{ value: "text", label: "Exactly this statement" }, { value: "bounds", label: "Bounds for its kind" }]}
        />
      )}
      {wide && (
        <>
          <p className="small quiet">
            Any text that does what this one does, to the same relations and to no others, until the rows are used up.
            Whatever is outside is held.
          </p>
          <div className="two">
            <Whole label="Rows a statement" required value={rows} set={setRows} most={envelope?.rows} />
            <Whole label="Rows in all" required value={total} set={setTotal} most={envelope?.total} />
          </div>
        </>
      )}
      {most && (
        <div className="two">
          {most.uses > 1 && <Whole label="Uses" value={uses} set={setUses} most={most.uses} />}
          <TextInput
            label="For how long" value={lasting} onChange={(event) => setLasting(event.currentTarget.value)} error={wrong}
            description={`at most, and if left empty: ${words(most.for_s)}`} placeholder="10m"
          />
        </div>
      )}
      <Textarea
        label="Comment" description={`${of.by.display} reads it`} value={comment} maxLength={COMMENT_MAX} minRows={3} autosize data-autofocus
        onChange={(event) => setComment(event.currentTarget.value)}
      />
      <div className="row">
        <Button type="submit" color="seal" loading={busy} disabled={!bounded || wrong !== undefined}>Approve</Button>
        <Button variant="default" onClick={close}>Not now</Button>
      </div>
    </form>
  );
}

function Whole({ label, value, set, most, required = false }: {
  label: string; value: number | undefined; set: (value: number | undefined) => void; most: number | undefined; required?: boolean;
}) {
  return (
    <NumberInput
      label={label} required={required} min={1} {...(most === undefined ? {} : { max: most, description: `at most ${most.toLocaleString()}` })} clampBehavior="strict" allowDecimal={false} allowNegative={false}
      thousandSeparator="," value={value ?? ""} onChange={(value) => set(typeof value === "number" ? value : undefined)}
    />
  );
}

function wrongLength(text: string, length: number | undefined, most: number | undefined): string | undefined {
  if (text.trim() === "") return undefined;
  if (length === undefined) return "Write a duration like 10m or 1h30m";
  return most !== undefined && length > most ? `The rules allow ${words(most)} at most` : undefined;
}
