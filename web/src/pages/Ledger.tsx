// The ledger: how far it has come, what it says, and how to check it without us.

import { Button, NativeSelect, TextInput } from "@mantine/core";
import { IconBook2, IconLock } from "@tabler/icons-react";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useState, type FormEvent, type ReactNode } from "react";
import { Link, useLocation, useSearchParams } from "wouter";

import { Problem, type Event, type Schemas } from "../api/client";
import { ledger, lines, type Looked } from "../api/queries";
import { baseOf, CONTROLS, titleOf } from "../lib/controls";
import { completion } from "../lib/words";
import { Command, Copy, Facts, State, Verdict } from "../parts/Bits";
import { Keeping } from "../parts/Keeping";
import { Blank, Bones, Head, Reading } from "../parts/Page";
import { Plain } from "../parts/Sql";
import { Ago, When } from "../parts/Time";

const FIELDS: readonly (readonly [keyof Looked, string, string])[] = [
  ["text", "Text", "orders"],
  ["type", "Type", "grant or request.created"],
  ["principal", "Principal", "alice"],
  ["session", "Session", "ses_"],
  ["request", "Request", "req_"],
  ["control", "Control", "AC-6"],
];

export default function Ledger() {
  const state = useQuery(ledger);
  return (
    <>
      <Head title="Ledger">The provable record. It is the system of record, not a copy of it.</Head>
      <div className="stack wide">
        <Reading of={state} bones={<Bones rows={1} height={120} />}>
          {(of) => <><Chain of={of} /><Keeping of={of} /><Offline of={of} /></>}
        </Reading>
        {/* What stands above them comes first: lines that move away are not read. */}
        {!state.isPending && <Lines size={state.data?.size} />}
      </div>
    </>
  );
}

function Chain({ of }: { of: Schemas["LedgerState"] }) {
  const point = of.checkpoint;
  return (
    <section className="sheet chain" aria-label="How far the ledger has come">
      <Step name="Sequenced" figure={of.size} says={of.state === "ok" ? "lines, durable and in order" : "it takes no lines now"} ok={of.state === "ok"} />
      <Step name="Integrated" figure={of.integrated} says={of.integrated === of.size ? "all of them are in the hash tree" : "of them are in the hash tree"} />
      <Step
        name="Published" figure={point?.size ?? 0}
        says={point ? <>under a signed checkpoint{point.at && <>, <Ago at={point.at} /></>}</> : "no checkpoint is signed yet"}
      />
    </section>
  );
}

function Step({ name, figure, says, ok = true }: { name: string; figure: number; says: ReactNode; ok?: boolean }) {
  return (
    <div>
      <p className="row quiet">{name} {!ok && <span className="mark no">degraded</span>}</p>
      <p className="figure">{figure.toLocaleString()}</p>
      <p className="small quiet">{says}</p>
    </div>
  );
}

function Offline({ of }: { of: Schemas["LedgerState"] }) {
  return (
    <details className="sheet pad">
      <summary><b>Check it yourself, without this server</b></summary>
      <div className="stack" style={{ marginTop: 14 }}>
        <p>An export holds every line with its hashes. Verifying it needs no server and no secret, only the log's key and, to find what was removed or rewritten since, a checkpoint that you kept.</p>
        <Command text="countersign audit export --out ledger-export" what="the command" />
        <Command text={`countersign audit verify --export ledger-export --checkpoint kept.checkpoint --key '${of.vkey}'`} what="the command" />
        <Facts
          of={[
            ["Origin", <span className="mono small">{of.id}</span>],
            of.checkpoint && ["Root", <span className="row"><span className="mono small">{of.checkpoint.root}</span><Copy value={of.checkpoint.root} what="the root" /></span>],
            ["Key", <span className="row"><span className="mono small">{of.vkey}</span><Copy value={of.vkey} what="the key" /></span>],
            ["Checkpoint", <a href="/api/v1/ledger/checkpoint" download="kept.checkpoint">Keep the last one</a>],
          ]}
        />
        <p className="small quiet">Get the key by another way than this page, and compare: a server that lies would show its own.</p>
      </div>
    </details>
  );
}

function Lines({ size }: { size: number | undefined }) {
  const [params, setParams] = useSearchParams();
  const looked: Looked = {};
  for (const [field] of FIELDS) {
    const value = params.get(field);
    if (value) looked[field] = value;
  }
  const read = useInfiniteQuery(lines(looked));
  // Reading lines writes one (that it was read), so that what is newer is offered, not fetched.
  const known = useGrown(size, read.dataUpdatedAt);
  return (
    <section className="part">
      <div className="row apart">
        <h2>Lines</h2>
        <Button variant={known > 0 ? "light" : "default"} size="xs" loading={read.isRefetching} onClick={() => void read.refetch()}>
          {known > 0 ? `Read ${known.toLocaleString()} newer` : "Read again"}
        </Button>
      </div>
      <Filters looked={looked} set={(next) => setParams(next as Record<string, string>)} />
      {looked.control && <p className="small" style={{ marginBottom: 12 }}>Evidence for <b>{looked.control}</b> {titleOf(looked.control)}, its parts and its enhancements (NIST SP 800-53, revision 5).</p>}
      {read.error instanceof Problem && read.error.status === 403 ? (
        <div className="sheet">
          <Blank icon={IconLock} title="The lines are not yours to read">{read.error.message}</Blank>
        </div>
      ) : (
        <Reading of={read} bones={<Bones rows={8} height={44} />}>
          {({ pages }) => {
            const items = pages.flatMap((page) => page.items);
            return (
              <div className="sheet">
                {items.length === 0
                  ? <Blank icon={IconBook2} title="No line matches">Take a filter away, or look for something else.</Blank>
                  : <Table items={items} />}
                {read.hasNextPage && (
                  <div className="row" style={{ justifyContent: "center", padding: 14 }}>
                    <Button variant="default" loading={read.isFetchingNextPage} onClick={() => void read.fetchNextPage()}>Older ones</Button>
                  </div>
                )}
              </div>
            );
          }}
        </Reading>
      )}
      <p className="small quiet" style={{ marginTop: 10 }}>Reading the ledger is itself a line in it.</p>
    </section>
  );
}

/** How far the ledger has grown since the lines were read. */
function useGrown(size: number | undefined, readAt: number): number {
  const [base, setBase] = useState<{ readAt: number; size: number }>();
  useEffect(() => {
    if (size !== undefined && readAt > 0 && base?.readAt !== readAt) setBase({ readAt, size });
  }, [size, readAt, base]);
  return base && size !== undefined ? Math.max(0, size - base.size - 1) : 0;
}

function Filters({ looked, set }: { looked: Looked; set: (next: Looked) => void }) {
  const [draft, setDraft] = useState(looked);
  const apply = (event: FormEvent): void => {
    event.preventDefault();
    set(Object.fromEntries(Object.entries(draft).map(([key, value]) => [key, value.trim()]).filter(([, value]) => value)));
  };
  const some = Object.keys(looked).length > 0;
  const [all, setAll] = useState(Object.keys(looked).some((field) => field !== "text"));
  return (
    <form onSubmit={apply} role="search" aria-label="Lines of the ledger">
      <div className={all ? "filters all" : "filters"}>
        {FIELDS.map(([field, label, example]) => field === "control" ? (
          <NativeSelect
            key={field} className="extra" label={label} size="sm" value={draft.control ? baseOf(draft.control) : ""}
            onChange={(event) => setDraft({ ...draft, control: event.currentTarget.value })}
            data={[{ value: "", label: "any" }, ...Object.entries(CONTROLS).map(([id, title]) => ({ value: id, label: `${id} ${title}` }))]}
          />
        ) : (
          <TextInput
            key={field} className={field === "text" ? "" : "extra"} label={label} placeholder={example} value={draft[field] ?? ""} size="sm" spellCheck={false}
            onChange={(event) => setDraft({ ...draft, [field]: event.currentTarget.value })}
          />
        ))}
        <div className="row" style={{ alignSelf: "end" }}>
          <Button type="submit" size="sm">Find</Button>
          <Button className="more" variant="default" size="sm" aria-expanded={all} onClick={() => setAll(!all)}>{all ? "Fewer filters" : "More filters"}</Button>
          {some && <Button variant="subtle" size="sm" onClick={() => { setDraft({}); set({}); }}>Clear</Button>}
        </div>
      </div>
    </form>
  );
}

function Told({ of }: { of: Event }) {
  const how = completion(of);
  return (
    <span>
      {of.text && <span className="clip mono small"><Plain text={of.text} /></span>}
      {how && <span className="small quiet" style={{ display: "block" }}>{how}</span>}
    </span>
  );
}

function Table({ items }: { items: readonly Event[] }) {
  const [, go] = useLocation();
  return (
    <table className="grid fold lines">
      <thead>
        <tr><th className="num">Line</th><th>When</th><th>What</th><th>Who</th><th>On</th><th>Text</th><th>Proof</th></tr>
      </thead>
      <tbody>
        {items.map((one) => (
          <tr key={one.seq} onDoubleClick={() => go(`/ledger/${one.seq}`)}>
            <td data-label="Line" className="num"><Link href={`/ledger/${one.seq}`}>{one.seq}</Link></td>
            <td data-label="When"><When at={one.at} /></td>
            <td data-label="What"><span className="row" style={{ gap: 6 }}><span className="mono small nowrap">{one.type}</span><Verdict of={one} /></span></td>
            <td data-label="Who">{(one.actor || one.subject) && <span className="nowrap">{one.actor}{one.subject && one.subject !== one.actor && <span className="quiet"> to {one.subject}</span>}</span>}</td>
            <td data-label="On">{(one.resource || one.role) && <span>{one.resource}{one.role && <span className="quiet nowrap">{one.resource ? " as " : ""}{one.role}</span>}</span>}</td>
            <td data-label="Text">{(one.text || one.result) && <Told of={one} />}</td>
            <td data-label="Proof"><State of={one.state} /></td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

