// What an action would set in motion, and what came before it: for whoever must answer.

import { Link } from "wouter";

import type { Schemas } from "../api/client";
import { outcome } from "../lib/words";
import { State } from "./Bits";
import { Plain, SqlLine } from "./Sql";
import { Ago } from "./Time";

const count = (n: number, noun = "row"): string => `${n.toLocaleString()} ${noun}${n === 1 ? "" : "s"}`;

/** Nothing follows, nothing fires. */
export const still = (of: Schemas["Effects"]): boolean =>
  of.cascades.length + of.triggers.length + of.rules.length + of.row_security.length + (of.unmasks ?? []).length === 0;

export function Effects({ of }: { of: Schemas["Effects"] }) {
  return (
    <ul className="effects sheet">
      {(of.unmasks ?? []).map((one) => <Unmasks key={one.column} of={one} />)}
      {of.cascades.map((one) => <Follows key={`${one.constraint} ${one.depth} ${one.does}`} of={one} />)}
      {of.triggers.map((one) => <Fires key={`${one.relation} ${one.name}`} of={one} />)}
      {of.rules.map((one) => (
        <li key={`${one.relation} ${one.name}`}>
          <span className="mark wait">rule</span>
          <div>
            <p><b className="mono"><Plain text={one.name} /></b> {one.instead ? "takes the statement's place" : "adds to the statement"} on <span className="mono"><Plain text={one.relation} /></span></p>
            <details className="small"><summary>As the server has it</summary><SqlLine text={one.definition} /></details>
          </div>
        </li>
      ))}
      {of.row_security.map((one) => <Secured key={one.relation} of={one} />)}
    </ul>
  );
}

function Unmasks({ of }: { of: Schemas["UnmaskedColumn"] }) {
  return (
    <li>
      <span className="mark wait">unmasked</span>
      <div>
        <p>
          <b className="mono"><Plain text={of.column} /></b> is shown as it is, this once
          {of.labels !== undefined && of.labels.length > 0 && <span className="quiet"> ({of.labels.join(", ")})</span>}
        </p>
        <p className="small quiet">It is masked for them. What is computed from it, and what is chosen by it, is shown too.</p>
      </div>
    </li>
  );
}

const DOES: Record<string, string> = {
  delete: "deleted too", update: "updated too", "set null": "set to NULL", "set default": "set to their default",
  truncate: "emptied too",
};

function Follows({ of }: { of: Schemas["Cascade"] }) {
  return (
    <li>
      <span className="mark wait">follows</span>
      <div>
        <p>
          <b>{of.rows === undefined ? "An unknown number of rows" : count(of.rows)}</b> of{" "}
          <span className="mono"><Plain text={of.relation} /></span> {of.rows === 1 ? "is" : "are"} {DOES[of.does] ?? of.does}
        </p>
        <p className="small quiet">
          they refer to <span className="mono"><Plain text={of.from} /></span> by <span className="mono"><Plain text={of.constraint} /></span>
          {of.unknown && <>; <Plain text={of.unknown} /></>}
        </p>
      </div>
    </li>
  );
}

function Fires({ of }: { of: Schemas["Trigger"] }) {
  const off = of.enabled === "disabled" || of.enabled === "replica";
  return (
    <li>
      <span className={off ? "mark" : "mark wait"}>{off ? "off" : "trigger"}</span>
      <div>
        <p>
          <b className="mono"><Plain text={of.name} /></b> runs <span className="mono"><Plain text={of.function} /></span>{" "}
          {of.timing} {of.events} on <span className="mono"><Plain text={of.relation} /></span>, for each {of.level}
        </p>
        <p className="small quiet">
          {of.definer ? <>with the rights of <b><Plain text={of.definer} /></b></> : "with the rights of whoever sets it off"}
          {of.enabled !== "origin" && <>; {of.enabled === "replica" ? "only on replicas" : of.enabled}</>}
        </p>
        <details className="small"><summary>As the server has it</summary><SqlLine text={of.definition} /></details>
      </div>
    </li>
  );
}

function Secured({ of }: { of: Schemas["RowSecurity"] }) {
  const says = { true: "limits which rows this account reaches in", false: "does not limit this account in", undefined: "may limit this account in" };
  return (
    <li>
      <span className={of.applies === false ? "mark" : "mark wait"}>rows</span>
      <div>
        <p>Row level security {says[`${of.applies}` as keyof typeof says]} <span className="mono"><Plain text={of.relation} /></span></p>
        {of.policies.map((policy) => (
          <div key={policy.name} className="small">
            <span className="mono"><Plain text={policy.name} /></span> for {policy.command}{policy.restrictive && ", narrowing"}
            {policy.using && <SqlLine text={policy.using} />}
            {policy.check && <><span className="quiet">new rows: </span><SqlLine text={policy.check} /></>}
          </div>
        ))}
      </div>
    </li>
  );
}

export function Branches({ of }: { of: readonly Schemas["Branch"][] }) {
  return (
    <ul className="stack tight small">
      {of.map((one) => (
        <li key={`${one.when} ${one.does}`}>
          <b>{one.rows === undefined ? "unknown" : count(one.rows)}</b> {one.does}{" "}
          <span className="quiet mono"><Plain text={one.when} /></span>
        </li>
      ))}
    </ul>
  );
}

export function SoFar({ of }: { of: Schemas["SoFar"] }) {
  return (
    <div className="stack tight">
      {of.since && <p className="small quiet">The session began <Ago at={of.since} />.</p>}
      {of.statements.length === 0 && <p>Nothing yet.</p>}
      <ol className="stack">
        {of.statements.map((one) => (
          <li key={one.line} className="stack tight">
            <p className="row small">
              <State of={one.verdict === "hold" ? "approved" : one.verdict} />
              <Ago at={one.at} />
              <span className="quiet">{ended(one)}</span>
            </p>
            {one.text === undefined
              ? <p className="small"><Link href={`/ledger/${one.line}`}>Its text is in line {one.line}</Link></p>
              : <SqlLine text={one.text} />}
          </li>
        ))}
      </ol>
      {of.more && <p className="small quiet">And more before that, in the ledger.</p>}
    </div>
  );
}

function ended(of: Schemas["SoFarStatement"]): string {
  if (of.verdict === "deny") return "";
  if (of.result === undefined) return "not ended yet";
  const parts = [of.result.replaceAll("_", " "), of.code && `error ${of.code}`, of.rows !== undefined && count(of.rows)];
  return parts.filter(Boolean).join(", ");
}

export function Earlier({ of }: { of: Schemas["Earlier"] }) {
  if (of.by_anybody === 0) return <p>The same was never asked for before.</p>;
  return (
    <div className="stack tight">
      <p>
        The same was asked for <b>{count(of.by_anybody, "time")}</b> before, {of.by_person} of them by this person.
      </p>
      <ul className="stack tight small">
        {of.last.map((one) => (
          <li key={one.id}>
            <Link href={`/requests/${one.id}`}><Ago at={one.at} /></Link> by {one.by}: <State of={one.state} />
            {one.answered.length > 0 && <> by {one.answered.join(", ")}</>}
            {one.outcome && <span className="quiet">; {outcome(one.outcome)}</span>}
          </li>
        ))}
      </ul>
    </div>
  );
}
