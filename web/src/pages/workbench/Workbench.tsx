// SQL in the browser: a session on a database for which one holds a grant. It is a client like any other: what waits, waits
// here until somebody has answered, what is masked is masked, and everything is recorded.

import { Button, NativeSelect } from "@mantine/core";
import { IconDatabaseOff, IconPlayerPlay, IconPlayerStop, IconPlugConnectedX } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { Link, useLocation } from "wouter";

import { api, Problem, type Grant } from "../../api/client";
import { grants, resources, session } from "../../api/queries";
import { openWorkbench, run, type Ending, type Result, type Workbench } from "../../api/workbench";
import { relations, SCHEMA_SQL, type Relation } from "../../lib/complete";
import { written, write } from "../../lib/script";
import { ending as endingWords } from "../../lib/words";
import { State } from "../../parts/Bits";
import { Blank, Bones, Fault, Head, Note, Reading, sentence } from "../../parts/Page";
import { SqlEditor } from "../../parts/SqlEditor";
import { Left } from "../../parts/Time";
import { failed } from "../../parts/toast";
import { useMe } from "../../parts/who";
import { Results } from "./Results";
import { Tree } from "./Tree";

import "../../style/code.css";
import "../../style/workbench.css";

/** How many names are read for completion at most. */
const NAMES_MAX = 20_000;

export default function WorkbenchPage({ resource }: { resource: string | undefined }) {
  const held = useQuery(grants({ mine: true, state: "live" }));
  const reached = useQuery(resources);
  return (
    <Reading of={held} bones={<Bones rows={2} height={260} />}>
      {(live) => (
        <Reading of={reached} bones={<Bones rows={2} height={260} />}>
          {(all) => {
            const open = all.filter((one) => one.kind === "postgres" && live.some((grant) => grant.resources.includes(one.id)));
            return <Choice resource={resource} open={open.map((one) => one.id)} live={live} />;
          }}
        </Reading>
      )}
    </Reading>
  );
}

function Choice({ resource, open, live }: { resource: string | undefined; open: readonly string[]; live: readonly Grant[] }) {
  const [role, setRole] = useState<string>();
  const [, go] = useLocation();
  // A session whose grant has ended is over, but what was written and what came of it stays on the screen.
  const shown = useRef<{ here: string; role: string }>(undefined);
  const here = resource ?? shown.current?.here ?? open[0];
  const kept = shown.current?.here === here ? shown.current : undefined;
  if (here === undefined || (!open.includes(here) && !kept)) {
    return (
      <>
        <Head title="SQL">Work on a database from here, on a grant that you hold.</Head>
        <div className="sheet">
          <Blank icon={IconDatabaseOff} title={here === undefined ? "You hold no role that reaches a database" : `You hold no role that reaches ${here}`} action={{ to: "/ask", label: "Ask for one" }}>
            Every session stands on a grant, for as long as that lasts.
          </Blank>
        </div>
      </>
    );
  }
  const reaching = live.filter((grant) => grant.resources.includes(here));
  const roles = [...new Set(reaching.map((grant) => grant.role))];
  const chosen = [role, kept?.role].find((one) => one !== undefined && roles.includes(one)) ?? roles[0] ?? kept?.role ?? "";
  shown.current = { here, role: chosen };
  return (
    <>
      <Head
        title="SQL"
        aside={(
          <>
            {open.length > 1 && <NativeSelect aria-label="Database" value={here} onChange={(event) => go(`/sql/${event.currentTarget.value}`)} data={[...open]} />}
            {roles.length > 1 && <NativeSelect aria-label="Role" value={chosen} onChange={(event) => setRole(event.currentTarget.value)} data={roles} />}
          </>
        )}
      >
        On <b>{here}</b> as <b>{chosen}</b>. Whatever you run is judged and recorded like any client’s; what has to wait, waits here.
      </Head>
      <Opening key={`${here} ${chosen}`} resource={here} role={chosen} grant={reaching.find((grant) => grant.role === chosen)} />
    </>
  );
}

function Opening({ resource, role, grant }: { resource: string; role: string; grant: Grant | undefined }) {
  const client = useQueryClient();
  const key = ["workbench", resource, role];
  const bench = useQuery({ queryKey: key, queryFn: () => openWorkbench(resource, role), staleTime: Number.POSITIVE_INFINITY, gcTime: 0, retry: false, refetchOnReconnect: false });
  const anew = (): void => void client.resetQueries({ queryKey: key });
  if (bench.error) return <Fault error={bench.error} retry={anew} />;
  if (!bench.data) return <Bones rows={1} height={420} />;
  return <Desk key={bench.data.id} bench={bench.data} grant={grant} anew={anew} />;
}

interface Progress {
  readonly results: readonly Result[];
  /** Where the text that runs begins in what is written. */
  readonly from: number;
}

/** Runs in a workbench, one after the other. */
function useRuns(bench: Workbench) {
  const [progress, setProgress] = useState<Progress>();
  const [busy, setBusy] = useState(false);
  const [ended, setEnded] = useState<Ending>();
  const [known, setKnown] = useState<readonly Relation[]>();
  const first = useRef<Promise<unknown>>(undefined);
  useEffect(() => {
    // Names for completion are read in the session, as a client's own would be; whatever is run waits for that.
    first.current ??= (async () => {
      let read: readonly Result[] = [];
      await run(bench.id, SCHEMA_SQL, NAMES_MAX, (results) => { read = results; });
      setKnown(relations(read[0]?.rows ?? []));
    })();
  }, [bench.id]);
  const start = async (text: string, from: number, rowsMax: number): Promise<void> => {
    if (busy || text.trim() === "") return;
    setBusy(true);
    setEnded(undefined);
    setProgress({ results: [], from });
    await first.current;
    let drawn = 0;
    let latest: readonly Result[] = [];
    const draw = (): void => {
      drawn = 0;
      setProgress({ results: [...latest], from });
    };
    const how = await run(bench.id, text, rowsMax, (results) => {
      latest = results;
      drawn ||= requestAnimationFrame(draw);
    });
    cancelAnimationFrame(drawn);
    draw();
    setEnded(how);
    setBusy(false);
  };
  const cancel = async (): Promise<void> => {
    try {
      await api.POST("/workbenches/{id}/cancel", { params: { path: { id: bench.id } } });
    } catch (error) {
      failed(error as Error);
    }
  };
  return { progress, busy, ended, known, start, cancel };
}

const ROWS = ["100", "1000", "10000", "50000"];

function Desk({ bench, grant, anew }: { bench: Workbench; grant: Grant | undefined; anew: () => void }) {
  const by = useMe().principal;
  const [text, setText] = useState(() => written(by, bench.resource));
  const [rowsMax, setRowsMax] = useState("1000");
  const { progress, busy, ended, known, start, cancel } = useRuns(bench);
  const now = useQuery({ ...session(bench.session), retry: false }).data;
  const gone = over(ended, now?.state === "ended" ? now.ending : undefined);
  const set = (next: string): void => {
    setText(next);
    write(by, bench.resource, next);
  };
  const go = (what: string, from: number): void => void start(what, from, Number(rowsMax));
  return (
    <div className="bench">
      <aside aria-label="What there is"><Tree known={known} put={(name) => set(text === "" || text.endsWith(" ") || text.endsWith("\n") ? text + name : `${text} ${name}`)} look={(query) => { if (text.trim() === "") set(query); }} /></aside>
      <div className="stack">
        <SqlEditor value={text} set={set} known={known ?? []} run={go} wrong={wrongAt(progress, text)} />
        <div className="row apart bench-bar">
          <div className="row">
            {busy
              ? <Button color="brick" leftSection={<IconPlayerStop size={17} />} onClick={() => void cancel()}>Cancel</Button>
              : <Button leftSection={<IconPlayerPlay size={17} />} disabled={gone !== undefined || text.trim() === ""} onClick={() => go(text, 0)}>Run all</Button>}
            <NativeSelect aria-label="Rows of each result" value={rowsMax} onChange={(event) => setRowsMax(event.currentTarget.value)} data={ROWS.map((value) => ({ value, label: `${Number(value).toLocaleString()} rows` }))} />
            <span className="small quiet keys-of">Ctrl Enter runs the statement at the caret</span>
          </div>
          <div className="row small">
            {ended?.how === "over" && ended.transaction !== "none" && <State of={ended.transaction === "failed" ? "failure" : "pending"} say={ended.transaction === "failed" ? "transaction failed: ROLLBACK ends it" : "in a transaction"} />}
            {grant && !gone && <span className="quiet">grant: <Left until={grant.not_after} /></span>}
            <Link href={`/sessions/${bench.session}`}>Session</Link>
            {!gone && <Close bench={bench} closed={anew} />}
          </div>
        </div>
        {gone && (
          <Note tone="warn">
            <div className="row apart">
              <span><b>This session is over.</b> {gone} What you have written is still here.</span>
              <Button size="xs" variant="default" onClick={anew}>Open another</Button>
            </div>
          </Note>
        )}
        {ended?.how === "lost" && !gone && <Fault error={ended.error} />}
        <Results of={progress?.results ?? []} busy={busy} bench={bench} />
      </div>
    </div>
  );
}

/** Why the session is over, if it is. */
function over(ended: Ending | undefined, told: string | undefined): string | undefined {
  if (ended?.how === "ended") return ended.said ? sentence(ended.said.message) : "The server has closed it.";
  if (told !== undefined) return sentence(endingWords(told));
  // It was not found: closed elsewhere, left alone for too long, or the gateway was started anew.
  if (ended?.how === "lost" && ended.error instanceof Problem && (ended.error.status === 404 || (ended.error.status === 409 && /over/.test(ended.error.message)))) return sentence(ended.error.message);
  return undefined;
}

/** Where the server found something wrong, in what is written. It counts characters, the browser counts halves of some. */
function wrongAt(progress: Progress | undefined, text: string): number | undefined {
  const last = progress?.results.at(-1);
  if (!progress || last?.failed?.position === undefined) return undefined;
  const begins = text.indexOf(last.text, progress.from);
  if (begins < 0) return undefined;
  return begins + [...last.text].slice(0, last.failed.position - 1).join("").length;
}

function Close({ bench, closed }: { bench: Workbench; closed: () => void }) {
  const [, go] = useLocation();
  const close = async (): Promise<void> => {
    try {
      await api.POST("/workbenches/{id}/close", { params: { path: { id: bench.id } } });
      go("/");
      closed();
    } catch (error) {
      failed(error as Error);
    }
  };
  return <Button size="xs" variant="subtle" color="gray" leftSection={<IconPlugConnectedX size={15} />} onClick={() => void close()}>Close</Button>;
}
