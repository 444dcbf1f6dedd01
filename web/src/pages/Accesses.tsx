// Who could, who did: for a resource or a person and a period, every grant, who approved it, and what was done under it.

import { Button, NativeSelect, TextInput } from "@mantine/core";
import { IconDownload, IconEyeSearch, IconLock } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent, type ReactNode } from "react";
import { Link, useSearchParams } from "wouter";

import { Problem, type Event, type Schemas } from "../api/client";
import { accesses, catalogue, principals } from "../api/queries";
import { rows, table, totals, type Row } from "../lib/accesses";
import { save } from "../lib/csv";
import { absolute } from "../lib/time";
import { completion } from "../lib/words";
import { Face, Facts, State, Verdict } from "../parts/Bits";
import { Blank, Bones, Head, Note, Reading } from "../parts/Page";
import { Plain, SqlLine } from "../parts/Sql";
import { Ago, When } from "../parts/Time";
import { may, useMe } from "../parts/who";

import "../style/accesses.css";

const PERIODS: readonly (readonly [string, number])[] = [["24 hours", 1], ["7 days", 7], ["30 days", 30], ["90 days", 90]];
const DAY_MS = 86_400_000;

export default function Accesses() {
  const [params, setParams] = useSearchParams();
  const [resource, person, from, until] = [params.get("resource") ?? "", params.get("person") ?? "", params.get("from") ?? "", params.get("until") ?? ""];
  const asked = (resource !== "" || person !== "") && from !== "" && until !== "";
  const read = useQuery({
    ...accesses({ ...(resource ? { resource } : {}), ...(person ? { person } : {}), from, until }), enabled: asked,
  });
  return (
    <>
      <Head title="Who could, who did">Who had access, from which grant, who approved it, and what they did.</Head>
      <div className="stack wide">
        <Form key={params.toString()} given={{ resource, person, from, until }} tell={(next) => setParams(next)} />
        {!asked ? (
          <div className="sheet"><Blank icon={IconEyeSearch} title="Choose a resource or a person, and a period">Told from the ledger's own lines. Reading them is itself a line.</Blank></div>
        ) : read.error instanceof Problem && read.error.status === 403 ? (
          <div className="sheet"><Blank icon={IconLock} title="This is not yours to read">{read.error.message}</Blank></div>
        ) : (
          <Reading of={read} bones={<Bones rows={3} height={140} />}>{(of) => <Report of={of} person={person} name={person || resource} />}</Reading>
        )}
      </div>
    </>
  );
}

interface Given { resource: string; person: string; from: string; until: string }

/** An instant as the browser's own field has it, in the viewer's zone. */
const local = (instant: number): string => new Date(instant - new Date(instant).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

function Form({ given, tell }: { given: Given; tell: (next: Record<string, string>) => void }) {
  const me = useMe();
  const said = useQuery({ ...catalogue, enabled: may(me, "policy.read") }).data;
  const people = useQuery({ ...principals, enabled: may(me, "principal.read") }).data;
  const [resource, setResource] = useState(given.resource);
  const [person, setPerson] = useState(given.person);
  const [period, setPeriod] = useState(given.from ? "between" : "30");
  const [from, setFrom] = useState(local(given.from ? Date.parse(given.from) : Date.now() - 30 * DAY_MS));
  const [until, setUntil] = useState(local(given.until ? Date.parse(given.until) : Date.now()));
  const between = period === "between";
  const wrong = between && !(Date.parse(from) < Date.parse(until)) ? "The period ends before it begins" : undefined;
  const send = (event: FormEvent): void => {
    event.preventDefault();
    const now = Date.now();
    const span = between ? [Date.parse(from), Date.parse(until)] : [now - Number(period) * DAY_MS, now];
    if (wrong || (resource === "" && person === "")) return;
    const [start, end] = span.map((instant) => new Date(instant ?? 0).toISOString());
    tell({ ...(resource ? { resource } : {}), ...(person ? { person } : {}), from: start ?? "", until: end ?? "" });
  };
  const names = [{ value: "", label: "anybody" }, ...(people ?? []).map((one) => ({ value: one.id, label: one.name === one.id ? one.id : `${one.name} (${one.id})` }))];
  return (
    <form className="sheet pad stack" onSubmit={send} role="search" aria-label="Who could, who did">
      <div className="two">
        {said
          ? <NativeSelect label="To" value={resource} onChange={(event) => setResource(event.currentTarget.value)} data={[{ value: "", label: "any resource" }, ...said.resources.map((one) => ({ value: one.id, label: `${one.id}: ${one.title}` }))]} />
          : <TextInput label="To the resource" value={resource} onChange={(event) => setResource(event.currentTarget.value)} spellCheck={false} />}
        {people
          ? <NativeSelect label="Who" value={person} onChange={(event) => setPerson(event.currentTarget.value)} data={names} />
          : <TextInput label="Who" value={person} onChange={(event) => setPerson(event.currentTarget.value)} spellCheck={false} />}
      </div>
      <fieldset>
        <legend className="small">When</legend>
        <div className="pick">
          {PERIODS.map(([label, days]) => (
            <label key={days}><input type="radio" name="period" checked={period === String(days)} onChange={() => setPeriod(String(days))} /><span>Last {label}</span></label>
          ))}
          <label><input type="radio" name="period" checked={between} onChange={() => setPeriod("between")} /><span>Between</span></label>
        </div>
      </fieldset>
      {between && (
        <div className="two">
          <TextInput type="datetime-local" label="From" value={from} onChange={(event) => setFrom(event.currentTarget.value)} />
          <TextInput type="datetime-local" label="Until" value={until} onChange={(event) => setUntil(event.currentTarget.value)} error={wrong} />
        </div>
      )}
      <div className="row"><Button type="submit" disabled={(resource === "" && person === "") || wrong !== undefined}>Tell me</Button></div>
    </form>
  );
}

function Report({ of, person, name }: { of: Schemas["AccessReport"]; person: string; name: string }) {
  const sum = totals(of);
  const file = `${name}-${of.from.slice(0, 10)}-${of.until.slice(0, 10)}`;
  return (
    <div className="stack wide" aria-live="polite">
      {of.state === "cut" && <Note tone="warn"><b>There is more than is looked at for one report.</b> What was done is told up to <When at={of.until} />. Choose a shorter period.</Note>}
      <div className="sheet figures-of">
        <Figure n={sum.people} says={sum.people === 1 ? "person could" : "people could"} />
        <Figure n={sum.grants} says={sum.grants === 1 ? "grant" : "grants"} />
        <Figure n={sum.ran} says="statements ran" />
        <Figure n={sum.approved} says="of them approved one by one" />
        <Figure n={sum.refused} says="were refused" />
        <Figure n={sum.rows} says="rows touched or given" />
      </div>
      {of.items.length === 0
        ? <div className="sheet"><Blank icon={IconEyeSearch} title={person ? "No access in this period" : "Nobody had access in this period"}>No grant reached it, so nothing could be done through the gateway.</Blank></div>
        : (
          <>
            <section className="part">
              <div className="row apart">
                <h2>Who could</h2>
                <div className="row">
                  <Button variant="default" size="xs" leftSection={<IconDownload size={15} />} onClick={() => save(`${file}.csv`, "text/csv", table(of))}>CSV</Button>
                  <Button variant="default" size="xs" leftSection={<IconDownload size={15} />} onClick={() => save(`${file}.json`, "application/json", JSON.stringify(of, null, 2))}>JSON</Button>
                </div>
              </div>
              <Timeline of={of} />
            </section>
            <section className="part">
              <h2>Who did</h2>
              <div className="sheet"><ul className="list">{of.items.map((one) => <Grant key={one.id} of={one} open={of.items.length === 1} />)}</ul></div>
            </section>
          </>
        )}
      {of.decided.length > 0 && (
        <section className="part">
          <h2>What they decided about others</h2>
          <div className="sheet"><ul className="list">{of.decided.map((one) => <Decided key={one.id} of={one} />)}</ul></div>
        </section>
      )}
      <p className="small quiet">A grant counts if it was live at any moment between <When at={of.from} /> and <When at={of.until} />, of a role that reached the resource under a bundle in force then.</p>
    </div>
  );
}

function Figure({ n, says }: { n: number; says: string }) {
  return <div><p className="figure">{n.toLocaleString()}</p><p className="small quiet">{says}</p></div>;
}

function Timeline({ of }: { of: Schemas["AccessReport"] }) {
  return (
    <div className="sheet timeline">
      <ol>{rows(of).map((row) => <Lane key={row.by.name} of={row} />)}</ol>
      <div className="ends small quiet figures"><When at={of.from} /><When at={of.until} /></div>
    </div>
  );
}

const TONES: Record<string, string> = { "action.allowed": "yes", "action.held": "wait", "action.blocked": "no" };

function Lane({ of }: { of: Row }) {
  const percent = (part: number): string => `${(part * 100).toFixed(3)}%`;
  const spoken = of.bars.map(({ of: grant }) => `${grant.role} from ${absolute(grant.from)} until ${absolute(grant.until)}`).join("; ");
  return (
    <li>
      <span className="row" style={{ gap: 10, flexWrap: "nowrap" }}><Face name={of.by.display} /><span><b>{of.by.display}</b><span className="small quiet" style={{ display: "block" }}>{of.bars.length} {of.bars.length === 1 ? "grant" : "grants"}, {of.acts.length} {of.acts.length === 1 ? "act" : "acts"}</span></span></span>
      <div className="lane" role="img" aria-label={spoken}>
        {of.bars.map(({ of: grant, from, to }) => (
          <span key={grant.id} className={grant.state === "revoked" ? "bar cut" : "bar"} style={{ left: percent(from), width: `max(4px, ${percent(to - from)})` }} title={`${grant.role}, ${grant.state}`} />
        ))}
        {of.acts.map(({ of: act, at }) => <i key={act.seq} className={TONES[act.type] ?? ""} style={{ left: percent(at) }} />)}
      </div>
    </li>
  );
}

const count = (n: number, noun: string): string => `${n.toLocaleString()} ${noun}${n === 1 ? "" : "s"}`;

function Grant({ of, open }: { of: Schemas["Access"]; open: boolean }) {
  return (
    <li>
      <details className="grant" open={open}>
        <summary>
          <span className="row apart">
            <span className="row" style={{ gap: 12, flexWrap: "nowrap", alignItems: "flex-start" }}>
              <Face name={of.by.display} />
              <span>
                <b>{of.by.display}</b> as {of.role} <State of={of.state} />
                <span className="small quiet" style={{ display: "block" }}><When at={of.from} /> until <When at={of.until} />{of.purpose && <>: <Plain text={of.purpose} /></>}</span>
              </span>
            </span>
            <span className="small quiet figures">{count(of.ran, "statement")} ran{of.held > 0 && `, ${of.held.toLocaleString()} waited`}{of.refused > 0 && `, ${of.refused.toLocaleString()} refused`}</span>
          </span>
        </summary>
        <div className="stack" style={{ paddingTop: 14 }}>
          <Facts
            of={[
              ["Approved by", of.approvals.length === 0 ? "nobody had to be asked" : <Approved of={of.approvals} />],
              of.ticket && ["Ticket", <span className="tag"><Plain text={of.ticket} /></span>],
              of.ended_by && ["Ended by", of.ended_by.display],
              ["Reached", of.resources.join(", ")],
              of.person !== of.by.name && ["Answers for it", of.person],
              ["Request", <Link href={`/requests/${of.request}`} className="mono small">{of.request}</Link>],
            ]}
          />
          {of.acts.length > 0 && <ol className="stack acts">{of.acts.map((one) => <Act key={one.seq} of={one} />)}</ol>}
          {of.acts.length < of.ran + of.held + of.refused && <p className="small quiet">{count(of.ran + of.held + of.refused - of.acts.length, "act")} more are counted and not shown here. <Link href={`/ledger?principal=${encodeURIComponent(of.by.name)}`}>Look in the ledger</Link></p>}
          {of.ran + of.held + of.refused === 0 && <p className="quiet">Nothing was done under it in this period.</p>}
        </div>
      </details>
    </li>
  );
}

function Approved({ of }: { of: readonly Schemas["Approval"][] }): ReactNode {
  return of.map((one) => <span key={one.by} style={{ display: "block" }}>{one.display}{one.signed && ", signed"}, <Ago at={one.at} />{one.comment && <span className="quiet">: <Plain text={one.comment} /></span>}</span>);
}

function Act({ of }: { of: Event }) {
  const how = completion(of);
  return (
    <li className="stack tight">
      <span className="row apart small">
        <span className="row"><Verdict of={of} /><When at={of.at} />{of.request && <Link href={`/requests/${of.request}`}>request</Link>}{of.session && <Link href={`/sessions/${of.session}`}>session</Link>}</span>
        <Link href={`/ledger/${of.seq}`} className="figures">line {of.seq}</Link>
      </span>
      {of.text === undefined ? <p className="small quiet">Its text was erased.</p> : <SqlLine text={of.text} />}
      {how && <p className="small quiet">{how}</p>}
    </li>
  );
}

function Decided({ of }: { of: Event }) {
  return (
    <li className="stack tight">
      <span className="row apart">
        <span className="row"><b className="mono small">{of.type}</b><Verdict of={of} />{of.subject && <span>{of.subject}</span>}{of.role && <span className="quiet">{of.role}</span>}{of.request && <Link href={`/requests/${of.request}`} className="small">request</Link>}</span>
        <span className="row small quiet"><Ago at={of.at} /><Link href={`/ledger/${of.seq}`} className="figures">line {of.seq}</Link></span>
      </span>
      {of.text && <p className="small"><Plain text={of.text} /></p>}
    </li>
  );
}

