// What came of each statement of a run: how it went, what was said, and its rows.

import { Button, Tooltip } from "@mantine/core";
import { IconAlertTriangle, IconCheck, IconDownload, IconHourglass, IconInfoCircle, IconLoader2 } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "wouter";

import { api } from "../../api/client";
import { request } from "../../api/queries";
import type { Result, Said, Workbench } from "../../api/workbench";
import { csv, save } from "../../lib/csv";
import { Grid } from "../../parts/Grid";
import { sentence } from "../../parts/Page";
import { Plain } from "../../parts/Sql";
import { Left } from "../../parts/Time";
import { failed } from "../../parts/toast";

interface Props {
  readonly of: readonly Result[];
  readonly busy: boolean;
  readonly bench: Workbench;
}

export function Results({ of, busy, bench }: Props) {
  const [chosen, setChosen] = useState<number>();
  // The last one is what happens now, until somebody looks at another; a new run begins with its own.
  const fresh = of.length === 0;
  useEffect(() => { if (fresh) setChosen(undefined); }, [fresh]);
  const at = chosen !== undefined && chosen < of.length ? chosen : of.length - 1;
  const shown = of[at];
  if (!shown) {
    return <p className="small quiet bench-empty" role="status">{busy ? "Sending…" : "What you run is shown here. Anything that has to be approved waits here until it is answered."}</p>;
  }
  return (
    <section className="stack" aria-label="Results" style={{ gap: 10 }}>
      {of.length > 1 && (
        <div className="outcomes" role="tablist" aria-label="Statements">
          {of.map((one, i) => (
            <button
              key={one.number} type="button" role="tab" aria-selected={i === at} tabIndex={i === at ? 0 : -1} onClick={() => setChosen(i)}
              onKeyDown={(event) => {
                const to = event.key === "ArrowRight" ? i + 1 : event.key === "ArrowLeft" ? i - 1 : undefined;
                if (to === undefined || to < 0 || to >= of.length) return;
                setChosen(to);
                (event.currentTarget.parentElement?.children[to] as HTMLElement | undefined)?.focus();
              }}
            >
              <Sign of={one} /><span>{one.number + 1}</span><code>{first(one.text)}</code>
            </button>
          ))}
        </div>
      )}
      <One key={shown.number} of={shown} bench={bench} />
    </section>
  );
}

/** The beginning of a statement without the comments in front. */
const first = (text: string): string => text.replace(/^(?:\s+|--[^\n]*\n?|\/\*[\s\S]*?\*\/)+/, "").replace(/\s+/g, " ").slice(0, 32);

function Sign({ of }: { of: Result }) {
  if (of.failed) return <IconAlertTriangle size={15} stroke={2} className="no" role="img" aria-label="failed" />;
  if (of.done) return <IconCheck size={15} stroke={2.2} className="yes" role="img" aria-label="done" />;
  if (of.held) return <IconHourglass size={15} stroke={2} className="wait" role="img" aria-label="waits" />;
  return <IconLoader2 size={15} stroke={2} className="turns" role="img" aria-label="runs" />;
}

function One({ of, bench }: { of: Result; bench: Workbench }) {
  const count = of.rows.length;
  return (
    <>
      {of.held && !of.done && !of.failed && count === 0 && <Waits of={of.held} />}
      {of.notices.map((said, i) => <Message key={i} of={said} tone="calm" />)}
      {of.failed && <Message of={of.failed} tone="bad" />}
      {of.columns.length > 0 && <Grid of={of} count={count} name={`Result of statement ${of.number + 1}`} />}
      <div className="row apart small">
        <p role="status" className="figures">
          {of.done ? <><b>{of.done.tag || "Nothing to do"}</b>{of.done.more && <span className="quiet">, and there are more: ask for more rows, or for fewer by a condition</span>}</> : !of.failed && !of.held && <span className="quiet">{count > 0 ? `${count.toLocaleString()} rows so far` : "Running…"}</span>}
          {of.ms !== undefined && <span className="quiet"> in {took(of.ms)}</span>}
        </p>
        {of.done && of.columns.length > 0 && <Save of={of} bench={bench} />}
      </div>
    </>
  );
}

const took = (ms: number): string => (ms < 1_000 ? `${Math.max(1, Math.round(ms))} ms` : `${(ms / 1_000).toFixed(1)} s`);

/** Somebody has to say yes: who, until when, and where to see it. It goes on by itself. */
function Waits({ of }: { of: NonNullable<Result["held"]> }) {
  const now = useQuery(request(of.request)).data;
  const asked = [...new Set((now?.stages ?? []).flatMap((stage) => stage.from))];
  return (
    <div className="fault warn waits-here" role="status">
      <IconHourglass size={20} stroke={1.8} aria-hidden="true" />
      <div>
        <b>This waits for an approval{asked.length > 0 ? ` by ${asked.map(askedFrom).join(" or ")}` : ""}.</b>
        <p>Nothing has run yet. It goes on by itself with the answer; leaving this page withdraws it.</p>
      </div>
      <div className="row nowrap">
        {now?.lapses_at && <Left until={now.lapses_at} />}
        <Link href={`/requests/${of.request}`} target="_blank" rel="noreferrer">See the request</Link>
      </div>
    </div>
  );
}

const askedFrom = (from: string): string => from.replace(/^(?:group|user):/, "");

const SIGNS = { bad: IconAlertTriangle, calm: IconInfoCircle } as const;

/** What the gateway or the server says, in its own words. */
function Message({ of, tone }: { of: Said; tone: "bad" | "calm" }) {
  const Sign = SIGNS[tone];
  return (
    <div className={`fault ${tone}`} role={tone === "bad" ? "alert" : "status"}>
      <Sign size={20} stroke={1.8} aria-hidden="true" />
      <div>
        <b><Plain text={sentence(of.message)} /></b>
        {of.detail && <p><Plain text={of.detail} /></p>}
        {of.hint && <p><Plain text={sentence(of.hint)} /></p>}
      </div>
      {of.code !== "00000" && <span className="mono small quiet">{of.code}</span>}
    </div>
  );
}

function Save({ of, bench }: { of: Result; bench: Workbench }) {
  const [busy, setBusy] = useState(false);
  const saves = async (): Promise<void> => {
    setBusy(true);
    const names = of.columns.map((column) => column.name);
    try {
      await api.POST("/workbenches/{id}/export", { params: { path: { id: bench.id } }, body: { text: of.text, columns: names, rows: of.rows.length } });
      save(`${bench.resource}-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.csv`, "text/csv", csv(names, of.rows.map((row) => row.map((value) => value ?? undefined))));
    } catch (error) {
      failed(error as Error);
    }
    setBusy(false);
  };
  const why = bench.can.export ? "It is recorded that you do" : `The role ${bench.role} does not permit carrying results away`;
  return (
    <Tooltip label={why}>
      <Button
        size="xs" variant="default" leftSection={<IconDownload size={15} />} loading={busy} {...(bench.can.export ? {} : { "data-disabled": true })}
        aria-disabled={!bench.can.export} aria-description={why} onClick={(event) => { if (bench.can.export) void saves(); else event.preventDefault(); }}
      >Save as CSV</Button>
    </Tooltip>
  );
}
