// What a change would make of everybody, person by person, and of what was done.

import { Button } from "@mantine/core";
import { IconArrowRight, IconClockSearch, IconUsers } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";

import { api, body, type Schemas } from "../../api/client";
import type { Files } from "../../lib/diff";
import { tally, told, toneOf, type Effect } from "../../lib/effect";
import { Face, State } from "../../parts/Bits";
import { Blank, Bones, Fault, Note, Reading } from "../../parts/Page";
import { SqlLine } from "../../parts/Sql";
import { When } from "../../parts/Time";
import { may, useMe } from "../../parts/who";
import { Asked } from "./TryIt";

export function Everybody({ files }: { files: Files }) {
  const found = useQuery({
    queryKey: ["compare", files], queryFn: () => body(api.POST("/bundle/compare", { body: { files: { ...files } } })), retry: false, staleTime: 60_000,
  });
  return <Reading of={found} bones={<Bones rows={3} height={90} />}>{(of) => <Difference of={of} />}</Reading>;
}

const VERDICT: Record<Schemas["Verdict"], string> = {
  allow: "Applying it needs nobody's yes.", hold: "Somebody has to say yes before it is in force.", deny: "You could not apply it.",
};

function Difference({ of }: { of: Schemas["Difference"] }) {
  const counts = tally(of);
  return (
    <div className="stack">
      <div className="sheet figures-of">
        <Figure n={counts.opens} says="would be able to do more" tone={counts.opens > 0 ? "wait" : ""} />
        <Figure n={counts.closes} says="would be able to do less" />
        <Figure n={counts.asks} says="would have others asked" />
        <Figure n={of.ends.length} says="grants, requests and sessions would end" tone={of.ends.length > 0 ? "no" : ""} />
      </div>
      <div className="sheet pad stack">
        <p><b>{VERDICT[of.state]}</b> {of.state !== "allow" && of.reason !== "" && <span className="quiet">{of.reason}</span>}</p>
        {of.stages.length > 0 && <Asked of={of.stages} level={2} />}
      </div>
      {of.people.length === 0
        ? <div className="sheet"><Blank icon={IconUsers} title="Nobody could do anything else than now">Names of tables, WHERE clauses and the like are not looked at here: judge the past again for those.</Blank></div>
        : <People of={of.people} />}
      {of.ends.length > 0 && (
        <div className="sheet pad stack">
          <h2>What would end at once</h2>
          <ul className="stack tight">
            {of.ends.map((one) => (
              <li key={one.id}>
                <span className="mark no">{one.kind}</span> of <b>{one.by.display}</b>{one.of && <> {one.kind === "grant" ? "for" : "on"} {one.of}</>}{" "}
                {one.kind !== "grant" && <Link href={`/${one.kind}s/${one.id}`} className="mono small">{one.id}</Link>}
              </li>
            ))}
          </ul>
        </div>
      )}
      <p className="small quiet">
        {of.compared < of.of && <>{of.compared.toLocaleString()} of {of.of.toLocaleString()} principals were compared, those first who are described otherwise. </>}
        Each was asked about under both bundles: every role, every kind of statement in it, and everything that concerns the gateway and others.
      </p>
    </div>
  );
}

/** How many people are listed at once. */
const LISTED = 100;

function People({ of }: { of: readonly Schemas["PersonChange"][] }) {
  const [all, setAll] = useState(false);
  return (
    <div className="sheet">
      <ul className="list">{of.slice(0, all ? undefined : LISTED).map((one) => <Person key={one.id} of={one} />)}</ul>
      {!all && of.length > LISTED && (
        <div className="row" style={{ justifyContent: "center", padding: 14 }}>
          <Button variant="default" onClick={() => setAll(true)}>Show {(of.length - LISTED).toLocaleString()} more</Button>
        </div>
      )}
    </div>
  );
}

function Figure({ n, says, tone = "" }: { n: number; says: string; tone?: string }) {
  return (
    <div>
      <p className="figure" style={tone ? { color: `var(--${tone})` } : undefined}>{n.toLocaleString()}</p>
      <p className="small quiet">{says}</p>
    </div>
  );
}

const PRESENCE: Record<Schemas["Presence"], string> = { comes: "is new", goes: "would be gone", stays: "" };
const EFFECTS: Record<Effect, readonly [string, string]> = { opens: ["wait", "more"], closes: ["", "less"], asks: ["seal", "others asked"] };

function Person({ of }: { of: Schemas["PersonChange"] }) {
  return (
    <li className="stack">
      <div className="row" style={{ gap: 12 }}>
        <Face name={of.display} />
        <span><b>{of.display}</b> {of.display !== of.id && <span className="small quiet">{of.id}</span>}</span>
        {PRESENCE[of.state] && <span className={of.state === "goes" ? "mark no" : "mark seal"}>{PRESENCE[of.state]}</span>}
      </div>
      {of.changes.map((one, i) => {
        const [tone, word] = EFFECTS[toneOf(one)];
        return (
          <div key={i} className="stack tight" style={{ paddingLeft: 44 }}>
            <p><span className={`mark ${tone}`}>{word}</span> {what(one)}</p>
            <div className="was small">
              <span className="quiet">{told(one.before)}</span>
              <IconArrowRight size={15} stroke={2} aria-label="becomes" />
              <span>{told(one.after)}</span>
            </div>
          </div>
        );
      })}
    </li>
  );
}

function what(of: Schemas["PolicyChange"]) {
  if (of.scope === "ask") return <>asking for <b>{of.role}</b></>;
  if (of.scope === "see") return <>seeing <span className="mono small">{of.column}</span> on <b>{of.resource}</b> as it is, acting as {of.role}</>;
  const actions = <span className="mono small">{of.actions.join(", ")}</span>;
  if (of.scope === "at") return <>{actions} on <b>{of.resource}</b></>;
  return of.scope === "do" ? <>{actions} on <b>{of.resource}</b>, acting as {of.role}</> : actions;
}

const DAYS = [7, 30, 90] as const;

export function Past({ files }: { files: Files }) {
  const [days, setDays] = useState<number>(30);
  const open = may(useMe(), "ledger.read");
  const run = useMutation({ mutationFn: () => body(api.POST("/bundle/replay", { body: { files: { ...files }, days } })) });
  if (!open) return <Note>What was done is in the ledger, and you may not read that (<span className="mono">ledger.read</span>). Somebody who may can judge the past again from the bundle that you propose.</Note>;
  return (
    <div className="stack">
      <div className="row">
        <div className="pick" role="radiogroup" aria-label="How far back">
          {DAYS.map((one) => (
            <label key={one}><input type="radio" name="days" checked={days === one} onChange={() => setDays(one)} /><span>{one} days</span></label>
          ))}
        </div>
        <Button variant="default" loading={run.isPending} onClick={() => run.mutate()}>Judge them again</Button>
      </div>
      {run.error ? <Fault error={run.error} /> : run.data
        ? <Replay of={run.data} />
        : <div className="sheet"><Blank icon={IconClockSearch} title="What would have been said?">Every request for a role and every statement is judged again, under the bundle in force and under the draft. Reading them is a line in the ledger.</Blank></div>}
    </div>
  );
}

function Replay({ of }: { of: Schemas["Replay"] }) {
  return (
    <div className="stack">
      <p className="said">
        Of {of.judged.toLocaleString()} actions since <When at={of.since} />, {of.newly_held.toLocaleString()} would now be held,{" "}
        {of.newly_denied.toLocaleString()} denied, {of.newly_allowed.toLocaleString()} newly allowed
        {of.held_otherwise > 0 && <>, {of.held_otherwise.toLocaleString()} held by other rules</>}.
      </p>
      {of.state === "cut" && <Note tone="warn">There is more than is judged at a time: this is the newest part.</Note>}
      {of.examples.length > 0 && (
        <div className="sheet">
          <ul className="list">
            {of.examples.map((one) => (
              <li key={one.seq} className="stack tight">
                <div className="row apart">
                  <span className="row"><State of={one.before} /><IconArrowRight size={15} stroke={2} aria-label="becomes" /><State of={one.after} /> <b>{one.by.display}</b> <span className="mono small">{one.action}</span> <span className="quiet small">{one.resource ? `on ${one.resource} as ${one.role}` : one.role}</span></span>
                  <span className="row small quiet"><When at={one.at} /><Link href={`/ledger/${one.seq}`} className="figures">line {one.seq}</Link></span>
                </div>
                {one.text !== undefined && <SqlLine text={one.text} />}
                {one.reason !== "" && <p className="small quiet">{one.reason}</p>}
              </li>
            ))}
          </ul>
        </div>
      )}
      <p className="small quiet">
        Statements are understood as in a session that has just begun, with today's tables; both bundles are asked in the same circumstances.
        {of.unknown > 0 && <> {of.unknown.toLocaleString()} could not be judged again: their text was erased, or whoever did it is gone.</>}
      </p>
    </div>
  );
}
