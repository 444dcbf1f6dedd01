// One request with everything an approver needs, on one screen and never shortened: who, what exactly, why, what it
// touches, what holds it, who else is asked, how long there is.

import { IconAlertTriangle, IconCheck } from "@tabler/icons-react";
import { createContext, lazy, Suspense, useContext, type ReactNode } from "react";
import { Link } from "wouter";

import type { Request, Schemas } from "../api/client";
import { words } from "../lib/time";
import { bound, ending, given, most, outcome, party, rows, typed, used, wants, within } from "../lib/words";
import { Copy, Face, Facts, Hash, State, Tags } from "./Bits";
import { Branches, Earlier, Effects, SoFar, still } from "./Foresight";
import { Bones, Note } from "./Page";
import { Plain, Sql } from "./Sql";
import { Ago, Fuse, Left, When } from "./Time";

const BundleDiff = lazy(async () => ({ default: (await import("./BundleDiff")).BundleDiff }));

const Alike = lazy(() => import("./Alike"));

/** The level of the headings beneath the request's own. */
const Level = createContext<2 | 3>(2);

function Label({ children }: { children: ReactNode }) {
  const Tag = useContext(Level) === 2 ? "h2" : "h3";
  return <Tag className="label">{children}</Tag>;
}

export function RequestView({ of, heading, level = 2, children }: {
  of: Request; heading: ReactNode; level?: 2 | 3; children?: ReactNode;
}) {
  const pending = of.state === "pending";
  return (
    <Level value={level}><article className={of.can.approve || of.can.deny ? "request answering" : "request"} aria-label={`Request ${of.id}`}>
      <header className="stack">
        <div className="row apart">
          <div className="row">
            <State of={of.state} />
            <span className="small quiet">asked <Ago at={of.asked_at} /></span>
          </div>
          {pending && <Left until={of.lapses_at} over="lapses now" />}
        </div>
        {pending && <Fuse from={of.asked_at} until={of.lapses_at} />}
        <div className="who">
          <Face name={of.by.display} big />
          <div>
            {heading}
            <p className="quiet small">
              {of.by.name}
              {of.by.person !== of.by.name && <>, for whom {of.by.person} answers</>}
              {of.role && (of.kind === "action" || of.kind === "script") && <>, acting as {of.role}</>}
            </p>
          </div>
        </div>
      </header>
      <Result of={of} />
      <Purpose of={of} />
      <What of={of} />
      <Before of={of} />
      <div className="two">
        <Why of={of} />
        <Asked of={of} />
      </div>
      <Bound of={of} />
      {children}
    </article></Level>
  );
}

export const title = (of: Request): string => `${of.by.display} ${wants(of)}`;

function Result({ of }: { of: Request }) {
  if (of.erased) {
    return <Note tone="bad"><b>Its words and its text are gone</b>, erased or unreadable. Nobody should say yes to what cannot be seen.</Note>;
  }
  if (of.locked && of.state === "pending") {
    return <Note tone="bad"><b>Nobody can answer this.</b> No one whom its rules name may say yes. It will lapse.</Note>;
  }
  if (of.state === "denied") {
    return (
      <Note tone="bad">
        <b>Denied by {of.answer?.display ?? "somebody"}</b>{of.answer && <>, <Ago at={of.answer.at} /></>}
        {of.answer?.comment && <p><Plain text={of.answer.comment} /></p>}
      </Note>
    );
  }
  if (of.state === "approved") {
    const bad = of.outcome && (["failed", "beyond_bound", "unknown"].includes(of.outcome.result)
      || ["rolled_back", "unknown"].includes(of.outcome.transaction ?? ""));
    return (
      <Note tone={bad ? "warn" : "good"}>
        <b>Approved{of.outcome && `: ${outcome(of.outcome)}`}.</b>
        {!of.outcome && of.valid_until && (of.kind === "action" || of.kind === "script") && <> The yes may be used for <Left until={of.valid_until} sign={false} /></>}
      </Note>
    );
  }
  const ends = { lapsed: "Nobody answered in time. Silence never grants.", withdrawn: "Withdrawn", void: "Void" } as const;
  if (of.state === "pending") return null;
  return (
    <Note tone="warn">
      <b>{ends[of.state]}</b>{of.why && <>: {ending(of.why)}</>}{of.ended_at && <>, <Ago at={of.ended_at} /></>}
    </Note>
  );
}

function Purpose({ of }: { of: Request }) {
  return (
    <section className="stack tight">
      <Label>Purpose</Label>
      {of.reason ? <blockquote className="said"><Plain text={of.reason} /></blockquote> : <p>None was given.</p>}
      {of.ticket && <p className="row"><span className="quiet">Ticket</span> <span className="tag"><Plain text={of.ticket} /></span></p>}
    </section>
  );
}

function What({ of }: { of: Request }) {
  if (of.kind === "access") return null;
  return (
    <section className="stack">
      {of.kind === "apply" && of.bundle !== undefined && (
        <>
          <Label>{of.state === "pending" ? "What would change" : "The bundle that was proposed, beside the one in force"}</Label>
          <Suspense fallback={<Bones rows={2} height={90} />}><BundleDiff after={of.bundle} /></Suspense>
        </>
      )}
      {of.text !== undefined && (
        <>
          <Label>{of.kind === "script" ? "The script, as it was put forward" : "Exactly this would run"}</Label>
          <Sql text={of.text} />
          {of.statements !== undefined && of.statements.length > 1 && (
            <details className="small">
              <summary>{of.statements.length} statements, which run in this order or not at all</summary>
              <ol className="stack tight" style={{ paddingTop: 8 }}>
                {of.statements.map((one, index) => <li key={index}><Sql text={one} /></li>)}
              </ol>
            </details>
          )}
          {of.layout !== undefined && (
            <details className="small">
              <summary>The same set out for reading (only its white space differs)</summary>
              <div style={{ paddingTop: 8 }}><Sql text={of.layout} /></div>
            </details>
          )}
        </>
      )}
      {of.kind === "action" && of.state === "pending" && <Suspense fallback={null}><Alike of={of} /></Suspense>}
      {of.steps !== undefined && of.steps.length > 0 && <Steps of={of.steps} />}
      {of.parameters.length > 0 && <Parameters of={of.parameters} />}
      {job(of).length > 0 && (
        <div className="part" role="group" aria-label="The job that asks">
          <h3 className="small quiet">What its issuer says of the job</h3>
          <Facts of={job(of).map((one) => [one.name.slice(4), <span className="mono"><Plain text={one.value} /></span>] as const)} />
        </div>
      )}
      {(of.kind === "action" || of.kind === "script") && of.settings.length > 0 && (
        <details className="small">
          <summary>Session settings that change its meaning ({of.settings.length})</summary>
          <div style={{ paddingTop: 8 }}>
            <Facts of={of.settings.map((one) => [one.name, <span className="mono"><Plain text={one.value} /></span>] as const)} />
          </div>
        </details>
      )}
      {of.rows && <Rows known={of.rows} relations={of.relations} />}
      {of.functions !== undefined && of.functions.length > 0 && <Functions of={of.functions} />}
      {of.effects && !still(of.effects) && (
        <section className="stack tight">
          <Label>What it sets in motion</Label>
          <Effects of={of.effects} />
        </section>
      )}
      {of.notes.length > 0 && (
        <ul className="stack tight">
          {of.notes.map((note) => (
            <li key={note} className="row" style={{ flexWrap: "nowrap", alignItems: "flex-start" }}>
              <IconAlertTriangle size={17} stroke={1.8} color="var(--wait)" style={{ flex: "none", marginTop: 3 }} aria-hidden="true" />
              <span style={{ whiteSpace: "pre-wrap" }}><Plain text={note} /></span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** Every statement of a script in full, with what it would do and what became of it. */
function Steps({ of }: { of: readonly Schemas["Step"][] }) {
  return (
    <section className="stack">
      <Label>Its {of.length} statements: each is run once, in this order, in one session</Label>
      <ol className="stack">
        {of.map((one) => <li key={one.number} aria-label={`Statement ${one.number}`}><Step of={one} /></li>)}
      </ol>
    </section>
  );
}

const STEP_STATES = { waiting: "not run yet", running: "runs now", skipped: "was not run" } as const;

function Step({ of }: { of: Schemas["Step"] }) {
  const changes = of.action !== "sql.read" && of.action !== "sql.session";
  const bad = of.outcome !== undefined && of.outcome.result !== "done";
  return (
    <section className="stack tight">
      <p className="row apart small">
        <span><b>{of.number}</b> <span className="mono">{of.action}</span></span>
        <span className={bad ? "mark no" : "mark"}>{of.state === "ended" ? (of.outcome && outcome(of.outcome)) : STEP_STATES[of.state]}</span>
      </p>
      {of.text === undefined ? <p>Its text is gone.</p> : <Sql text={of.text} />}
      {changes && <Rows known={of.rows} relations={of.relations} />}
      {of.functions !== undefined && of.functions.length > 0 && <Functions of={of.functions} />}
      {!still(of.effects) && <Effects of={of.effects} />}
      {of.settings.filter((one) => one.name.startsWith("(")).map((one) => (
        <p key={one.name} className="small quiet">
          {one.name === "(as left by)" ? "Session settings are as left by" : "Definitions are as left by"} <Plain text={one.value} />.
        </p>
      ))}
      {changes && of.notes.map((note) => <p key={note} className="small"><Plain text={note} /></p>)}
      <p className="row small quiet" style={{ flexWrap: "nowrap" }}>digest <Hash of={of.digest} /></p>
    </section>
  );
}

function Parameters({ of }: { of: readonly Schemas["Parameter"][] }) {
  return (
    <section className="stack tight">
      <Label>With these parameters</Label>
      <ol className="values sheet">
        {of.map((one) => (
          <li key={one.position}>
            <span className="mono k-parameter">${one.position}</span>
            <span className="small quiet">{typed(one)}</span>
            <span className="mono value">
              {one.value === undefined ? <em className="quiet">NULL</em> : <Plain text={one.value} />}
              {one.value === "" && <em className="quiet">empty</em>}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Rows({ known, relations }: { known: Schemas["Rows"]; relations: readonly Schemas["Relation"][] }) {
  const said = rows(known);
  return (
    <div className="two">
      <div className="stack tight">
        <Label>Rows</Label>
        <p className="figure">{said.figure}</p>
        <p className="small quiet"><Plain text={said.note} /></p>
        {known.branches !== undefined && known.branches.length > 0 && <Branches of={known.branches} />}
        <p className={known.unbounded ? "small" : "small quiet"} style={known.unbounded ? { color: "var(--wait)", fontWeight: 600 } : undefined}>
          {bound(known)}
        </p>
      </div>
      {relations.length > 0 && (
        <div className="stack tight">
          <Label>Relations</Label>
          <ul className="stack tight">
            {relations.map((one) => (
              <li key={`${one.name} ${one.access ?? ""} ${one.reached ?? false}`}>
                <span className="mono"><Plain text={one.name} /></span>{" "}
                {one.access && <span className={one.access === "write" ? "mark wait" : "mark"}>{one.access}</span>}{" "}
                {one.impact && <span className={one.impact === "high" ? "mark no" : "mark"}>{one.impact} impact</span>}
                {kinds(one) !== "" && <span className="small quiet">{kinds(one)}</span>}
                {one.title && <p className="small"><Plain text={one.title} /></p>}
                {one.columns !== undefined && one.columns.length > 0 && (
                  <p className="small">columns <span className="mono"><Plain text={one.columns.join(", ")} /></span></p>
                )}
                {one.labels !== undefined && one.labels.length > 0 && <Tags of={one.labels} />}
                <span className="small quiet" style={{ display: "block" }}>
                  {one.responsible && <>answered for by {party(one.responsible)}</>}
                  {one.estimate_rows !== undefined && <>{one.responsible && ", "}about {one.estimate_rows.toLocaleString()} rows</>}
                  {one.owner && <>, owned by {one.owner}</>}
                </span>
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}

/** What a relation is, where it is not a plain table that the text names. */
function kinds(one: Schemas["Relation"]): string {
  const words = (one.kinds ?? []).filter((kind) => kind !== "table").map((kind) => kind.replaceAll("_", " "));
  return [...words, ...(one.reached ? ["reached, not named"] : [])].join(", ");
}

function Functions({ of }: { of: readonly Schemas["Function"][] }) {
  return (
    <section className="stack tight">
      <Label>Functions it calls</Label>
      <ul className="row">
        {of.map((one) => (
          <li key={one.name}>
            <span className="mono"><Plain text={one.name} /></span>{" "}
            {one.volatile && <span className="mark wait">volatile</span>}{" "}
            {one.definer && <span className="mark wait">runs as its owner</span>}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Why({ of }: { of: Request }) {
  return (
    <section className="stack tight">
      <Label>{of.state === "pending" ? "Why it is held" : "Why it was held"}</Label>
      <ul className="stack">
        {of.held_by.map((held) => (
          <li key={held.rule}>
            {held.policies.map((policy) => (
              <p key={policy.id}>
                {policy.reason ? <Plain text={`${policy.reason.charAt(0).toUpperCase()}${policy.reason.slice(1)}.`} /> : policy.id}
                <span className="small quiet" style={{ display: "block" }}>
                  policy <span className="mono">{policy.id}</span>, rule <span className="mono">{held.rule}</span>
                </span>
              </p>
            ))}
            {held.policies.length === 0 && <p>rule <span className="mono">{held.rule}</span></p>}
          </li>
        ))}
        {of.held_by.length === 0 && <li>Nothing held it.</li>}
      </ul>
    </section>
  );
}

function Before({ of }: { of: Request }) {
  if (of.kind !== "action" && !of.earlier) return null;
  return (
    <div className="two">
      {of.so_far && (
        <section className="stack tight">
          <Label>In this session so far</Label>
          <SoFar of={of.so_far} />
        </section>
      )}
      {of.earlier && (
        <section className="stack tight">
          <Label>Asked before</Label>
          <Earlier of={of.earlier} />
        </section>
      )}
    </div>
  );
}

const called = (one: Schemas["Party"]): string => one.display;

function Asked({ of }: { of: Request }) {
  return (
    <section className="stack tight">
      <Label>Who must say yes</Label>
      <ul className="places">
        {of.stages.map((stage, i) => {
          const full = stage.given.length >= stage.need;
          return (
            <li key={`${stage.rule} ${i}`}>
              <span className={full ? "tick given" : "tick"} aria-hidden="true">{full && <IconCheck size={14} stroke={3} />}</span>
              <div>
                <p><b>{stage.need}</b> of {stage.from.map(party).join(" or ")}</p>
                <p className="small quiet">
                  {stage.given.length > 0 && <>given by {stage.given.map(called).join(", ")}. </>}
                  {!full && (stage.people.length > 0 ? <>asked: {stage.people.map(called).join(", ")}</> : "nobody may fill this place")}
                </p>
              </div>
            </li>
          );
        })}
        {of.stages.length === 0 && <li>Nobody has to.</li>}
      </ul>
      {of.signed && of.state === "pending" && (
        <p className="small quiet">Each yes is signed with the approver's passkey, over exactly what is shown here.</p>
      )}
      {of.approvals.map((approval) => (
        <div key={approval.by} className="small">
          <b>{approval.display}</b> {approval.signed ? "signed a yes" : "said yes"} <Ago at={approval.at} />{given(approval)}
          {approval.comment && <p className="said" style={{ fontSize: 15 }}><Plain text={approval.comment} /></p>}
        </div>
      ))}
    </section>
  );
}

function Bound({ of }: { of: Request }) {
  return (
    <section className="stack tight">
      <Label>What a yes is bound to</Label>
      <Facts
        of={[
          ["Action", <><span className="mono">{of.action}</span>{of.verbs.length > 0 && <span className="quiet"> ({of.verbs.join(", ")})</span>}</>],
          of.resource && ["Resource", of.resource],
          of.role && ["Role", of.role],
          of.for_s !== undefined && ["For", words(of.for_s)],
          of.bundle && ["Bundle", <span className="mono small">{of.bundle}</span>],
          of.grant && ["Grant", <span className="mono small">{of.grant}</span>],
          of.session && ["Session", <Link href={`/sessions/${of.session}`} className="mono small">{of.session}</Link>],
          of.most && of.state === "pending" && ["A yes covers", of.kind === "script" ? `each statement once, in order, in one session, within ${words(of.most.for_s)}` : most(of.most)],
          of.receipt && ["Used", of.kind === "script" ? `${of.receipt.used.toLocaleString()} of ${of.receipt.uses.toLocaleString()} statements` : used(of.receipt)],
          of.receipt?.envelope && ["Within", within(of.receipt)],
          ["Lapses", <When at={of.lapses_at} />],
          ["Digest", <span className="row" style={{ flexWrap: "nowrap" }}><Hash of={of.digest} /><Copy value={of.digest} what="the digest" /></span>],
          ["Request", <Link href={`/requests/${of.id}`} className="mono small">{of.id}</Link>],
        ]}
      />
    </section>
  );
}

/** What the issuer of a job's identity says of it, the telling claims first. */
const TELLING = ["issuer", "subject", "repository", "project_path", "ref", "sha", "environment", "workflow", "run_id", "pipeline_id", "job_id", "actor", "user_login"];

function job(of: Request): Request["settings"] {
  const rank = (name: string): number => (TELLING.indexOf(name.slice(4)) + TELLING.length + 1) % (TELLING.length + 1);
  return of.settings.filter((one) => one.name.startsWith("job.")).sort((a, b) => rank(a.name) - rank(b.name) || a.name.localeCompare(b.name));
}
