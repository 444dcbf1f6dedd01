// The checkpoint that this browser keeps, and what the ledger is held against.

import { Button, TextInput } from "@mantine/core";
import { IconAlertOctagon, IconHelpCircle, IconShieldCheck } from "@tabler/icons-react";
import { useEffect, useState } from "react";

import { api, Problem, type Schemas } from "../api/client";
import { browserKeeper, hold, keptHead, type Held, type Kept } from "../lib/keeping";
import { save } from "../lib/csv";
import { base64, type Bytes } from "../lib/hashes";
import { Copy, Facts } from "./Bits";
import { useConfirm } from "./Confirm";
import { sentence } from "./Page";
import { When } from "./Time";

async function text(path: "/ledger/vkey" | "/ledger/checkpoint"): Promise<string> {
  const { data } = await api.GET(path, { parseAs: "text" });
  return data as unknown as string;
}

/** A tile as it is; nothing where the log has none. */
async function tile(path: string): Promise<Bytes | undefined> {
  const answer = await fetch(`/api/v1/ledger/tile/${path}`, { credentials: "same-origin", headers: { "X-Countersign": "1" } });
  if (answer.status === 404) return undefined;
  if (!answer.ok) throw new Problem(answer.status, "the ledger's tiles may not be read");
  return new Uint8Array(await answer.arrayBuffer());
}

export const ledgerKeeper = browserKeeper(() => text("/ledger/vkey"), tile);

const SIGNS = { kept: ["good", IconShieldCheck], unable: ["warn", IconHelpCircle], bad: ["", IconAlertOctagon] } as const;

export function Keeping({ of }: { of: Schemas["LedgerState"] }) {
  const [kept, setKept] = useState<Kept | undefined>(() => ledgerKeeper.read());
  const [held, setHeld] = useState<Held>();
  const [busy, setBusy] = useState(false);
  const { ask, confirm } = useConfirm();
  const published = of.checkpoint?.size ?? 0;
  const look = async (): Promise<void> => {
    setBusy(true);
    setHeld(await text("/ledger/checkpoint").then((note) => hold(note, ledgerKeeper), (error: unknown): Held => ({ state: "unable", title: "Held against nothing yet", says: (error as Error).message })));
    setKept(ledgerKeeper.read());
    setBusy(false);
  };
  useEffect(() => {
    if (published > 0) void look();
    // Once for each visit: what comes later is looked at when somebody asks, since fetching tiles is a line in the ledger.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [published > 0]);
  const head = keptHead(kept);
  const [tone, Sign] = SIGNS[held?.state ?? "unable"];
  const newer = head ? published - head.size : 0;
  return (
    <section className="sheet pad stack" aria-label="What this browser keeps">
      <div className={`fault found ${held ? tone : "calm"}`} role={held?.state === "bad" ? "alert" : "status"}>
        <Sign size={22} stroke={1.8} aria-hidden="true" />
        <div>
          <b>{held ? held.title : "Holding the ledger against what this browser keeps"}</b>
          <p>{held ? `${held.state === "kept" ? "The checkpoint is signed by the log's key, and its tree " : ""}${held.state === "kept" ? `${held.says}.` : sentence(held.says)}` : "One moment."}</p>
        </div>
      </div>
      <details>
        <summary>What this browser keeps</summary>
        <div className="stack" style={{ paddingTop: 12 }}>
          <p className="small quiet">
            A signed checkpoint of {head ? <>{head.size.toLocaleString()} lines</> : "nothing yet"}. Each time you look, the new one must contain it: computed here, from the log's own hashes.
            A server that changed or removed a line since could not show you a tree that does.
          </p>
          {kept && head && (
            <Facts
              of={[
                ["Lines", head.size.toLocaleString()],
                ["Root", <span className="row"><span className="mono small">{base64(head.root)}</span><Copy value={base64(head.root)} what="the root" /></span>],
                ["Kept", <When at={kept.at} />],
                ["Key", <span className="row"><span className="mono small">{kept.vkey}</span><Copy value={kept.vkey} what="the key" /></span>],
                ["Known since", <When at={kept.since} />],
              ]}
            />
          )}
          {kept && <Compare vkey={kept.vkey} />}
          <div className="row">
            {kept && <Button variant="default" size="sm" onClick={() => save("kept.checkpoint", "text/plain", kept.note)}>Save the checkpoint</Button>}
            {kept && (
              <Button
                variant="subtle" size="sm" color="brick"
                onClick={() => ask({
                  title: "Forget what this browser keeps?", label: "Forget it", danger: true,
                  children: "What was changed before the next look could not be noticed here any more. Save the checkpoint first.",
                  run: async () => { ledgerKeeper.write(undefined); setKept(undefined); setHeld(undefined); await look(); },
                })}
              >Forget it</Button>
            )}
          </div>
        </div>
      </details>
      <div className="row"><Button variant="default" size="sm" loading={busy} onClick={() => void look()}>{newer > 0 ? `Look again: ${newer.toLocaleString()} newer lines are published` : "Look again"}</Button></div>
      {confirm}
    </section>
  );
}

/** The key that came another way, compared with the one that this browser was shown. */
function Compare({ vkey }: { vkey: string }) {
  const [given, setGiven] = useState("");
  const same = given.trim() === vkey;
  return (
    <div>
      <TextInput
        label="Compare the key with one that came another way" value={given} onChange={(event) => setGiven(event.currentTarget.value)} spellCheck={false}
        description="From the team that runs the gateway, by mail or on paper. What the server shows of itself proves nothing."
        error={given.trim() !== "" && !same ? "It is another key" : undefined}
      />
      {same && <p className="row small" role="status"><span className="mark yes">the same key</span></p>}
    </div>
  );
}
