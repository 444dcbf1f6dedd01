// What the bundle in force says there is: resources and what is inside them, roles and who holds them, groups, rules. And
// what nobody uses.

import { IconDatabase, IconGavel, IconKey, IconUsers } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";

import type { Schemas } from "../api/client";
import { catalogue } from "../api/queries";
import { useNow } from "../lib/clock";
import { words } from "../lib/time";
import { party } from "../lib/words";
import { Facts, Tags } from "../parts/Bits";
import { Blank, Bones, Reading } from "../parts/Page";
import { Plain } from "../parts/Sql";
import { Ago } from "../parts/Time";
import { may, useMe } from "../parts/who";

type Said = Schemas["Catalogue"];

const IMPACT: Record<Schemas["Impact"], string> = { high: "wait", moderate: "seal", low: "" };

/** Not granted for so long, a role is shown as unused. */
const UNUSED_DAYS = 90;
const DAY_MS = 86_400_000;

export default function Catalogue({ part }: { part: string }) {
  const said = useQuery(catalogue);
  return (
    <Reading of={said} bones={<Bones rows={3} height={160} />}>
      {(of) => part === "roles" ? <Roles of={of} /> : part === "groups" ? <Groups of={of} /> : part === "rules" ? <Rules of={of} /> : <All of={of} />}
    </Reading>
  );
}

function All({ of }: { of: Said }) {
  if (of.resources.length === 0) return <div className="sheet"><Blank icon={IconDatabase} title="Nothing is protected yet" /></div>;
  return <div className="stack wide">{of.resources.map((one) => <Protected key={one.id} of={one} />)}</div>;
}

function Protected({ of }: { of: Schemas["DescribedResource"] }) {
  const told = may(useMe(), "ledger.read");
  return (
    <article className="sheet pad stack" aria-label={of.id}>
      <div className="row apart">
        <div><h2>{of.id}</h2><p className="quiet">{of.title}</p></div>
        {told && <Link href={`/accesses?resource=${encodeURIComponent(of.id)}&from=${new Date(Date.now() - 30 * DAY_MS).toISOString()}&until=${new Date().toISOString()}`} className="small">Who could, who did</Link>}
      </div>
      <div className="two">
        <Facts
          of={[
            ["Kind", of.kind],
            ["Impact", <span className={`mark ${IMPACT[of.impact]}`}>{of.impact}</span>],
            ["Owner", of.owner ? party(of.owner) : "nobody is named"],
            Object.keys(of.labels).length > 0 && ["Labels", <Tags of={Object.entries(of.labels).map(([key, value]) => `${key}: ${value}`)} />],
          ]}
        />
        <Facts
          of={[
            ["Address", <span className="mono small">{of.address}</span>],
            ["Roles", of.roles.length > 0 ? of.roles.join(", ") : "no role reaches it"],
            ["Reads", of.recording === "alongside" ? "recorded alongside, within 100 ms" : "recorded before their answer is released"],
          ]}
        />
      </div>
      {of.relations.length > 0 && (
        <table className="grid fold">
          <thead><tr><th>Relation</th><th>What it is</th><th>Owner</th><th>Impact</th><th>Labels</th><th>Masked columns</th></tr></thead>
          <tbody>
            {of.relations.map((one) => (
              <tr key={one.name}>
                <td data-label="Relation"><span className="mono small"><Plain text={one.name} /></span></td>
                <td data-label="What it is">{one.title && <Plain text={one.title} />}</td>
                <td data-label="Owner">{one.owner ? party(one.owner) : <span className="quiet">as the resource</span>}</td>
                <td data-label="Impact">{one.impact ? <span className={`mark ${IMPACT[one.impact]}`}>{one.impact}</span> : <span className="quiet">as the resource</span>}</td>
                <td data-label="Labels">{one.labels.length > 0 && <Tags of={one.labels} />}</td>
                <td data-label="Masked columns">{one.columns.some((column) => column.mask) && <Columns of={one.columns} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </article>
  );
}

function Columns({ of }: { of: readonly Schemas["DescribedColumn"][] }) {
  return (
    <ul className="stack tight small">
      {of.filter((one) => one.mask).map((one) => (
        <li key={one.name}><span className="mono"><Plain text={one.name} /></span> <span className="quiet">{one.mask === "default" ? "by its label" : one.mask}{one.labels.length > 0 && `, ${one.labels.join(", ")}`}</span></li>
      ))}
    </ul>
  );
}

function Roles({ of }: { of: Said }) {
  const now = useNow("minute");
  if (of.roles.length === 0) return <div className="sheet"><Blank icon={IconKey} title="There is no role" /></div>;
  const unused = of.roles.filter((one) => one.holders.length === 0 && (one.granted_at === undefined || now - Date.parse(one.granted_at) > UNUSED_DAYS * DAY_MS));
  const standing = of.roles.reduce((sum, one) => sum + one.holders.length, 0);
  return (
    <div className="stack">
      <div className="sheet figures-of">
        <div><p className="figure">{of.roles.length}</p><p className="small quiet">{of.roles.length === 1 ? "role" : "roles"}</p></div>
        <div><p className="figure">{standing}</p><p className="small quiet">held now, each for a while</p></div>
        <div><p className="figure" style={unused.length > 0 ? { color: "var(--wait)" } : undefined}>{unused.length}</p><p className="small quiet">not granted in {UNUSED_DAYS} days: are they needed?</p></div>
      </div>
      <div className="sheet">
        <table className="grid fold">
          <thead><tr><th>Role</th><th>Permits</th><th>Reaches</th><th>As</th><th>Held now by</th><th>Granted</th></tr></thead>
          <tbody>
            {of.roles.map((one) => (
              <tr key={one.id}>
                <td data-label="Role"><span><b>{one.id}</b><span className="small quiet" style={{ display: "block" }}>{one.title}</span></span></td>
                <td data-label="Permits"><Tags of={one.actions} /></td>
                <td data-label="Reaches">{one.resources.join(", ")}</td>
                <td data-label="As"><span><span className="mono small nowrap">{one.account}</span><span className="small quiet" style={{ display: "block" }}>up to {words(one.longest_s)}</span></span></td>
                <td data-label="Held now by">{one.holders.length > 0 ? one.holders.map((who) => who.display).join(", ") : <span className="quiet">nobody</span>}</td>
                <td data-label="Granted">
                  <span>
                    {one.granted_at === undefined ? "never" : <>{one.granted.toLocaleString()} {one.granted === 1 ? "time" : "times"}, last <Ago at={one.granted_at} /></>}
                    {unused.includes(one) && <span style={{ display: "block" }}><span className="mark wait">unused</span></span>}
                  </span>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function Groups({ of }: { of: Said }) {
  if (of.groups.length === 0) return <div className="sheet"><Blank icon={IconUsers} title="There is no group" /></div>;
  return (
    <div className="sheet">
      <table className="grid fold">
        <thead><tr><th>Group</th><th>Who is in it</th><th>Asked by the rules</th><th>Comes from</th></tr></thead>
        <tbody>
          {of.groups.map((one) => {
            const rules = of.rules.filter((rule) => [...rule.stages.flatMap((stage) => stage.from), ...rule.escalate.flatMap((step) => step.add)].includes(`group:${one.id}`));
            const from = Object.entries(one.from).flatMap(([directory, theirs]) => theirs.map((name) => `${name} of ${directory}`));
            return (
              <tr key={one.id}>
                <td data-label="Group"><b>{one.id}</b></td>
                <td data-label="Who is in it">
                  <span>{one.members.length === 0 ? <span className="quiet">nobody</span> : <>{one.members.slice(0, 12).map((who) => who.display).join(", ")}{one.members.length > 12 && ` and ${(one.members.length - 12).toLocaleString()} more`}</>}</span>
                </td>
                <td data-label="Asked by the rules">{rules.length > 0 ? <Tags of={rules.map((rule) => rule.id)} /> : <span className="quiet">none</span>}</td>
                <td data-label="Comes from"><span>{[...from, ...one.groups.map((group) => `group ${group}`)].join(", ") || <span className="quiet">the bundle</span>}</span></td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Rules({ of }: { of: Said }) {
  if (of.rules.length === 0) return <div className="sheet"><Blank icon={IconGavel} title="There is no approval rule">Nothing is held. That is a choice of the policies.</Blank></div>;
  return <div className="cards">{of.rules.map((one) => <Rule key={one.id} of={one} />)}</div>;
}

function Rule({ of }: { of: Schemas["DescribedRule"] }) {
  const places = (from: readonly string[]): string => from.map(party).join(" or ");
  return (
    <article className="sheet held" aria-label={of.id}>
      <h2>{of.id}</h2>
      <ul className="places">
        {of.stages.map((stage, i) => <li key={i}><span className="tick" aria-hidden="true" /><div><b>{stage.need}</b> of {places(stage.from)}</div></li>)}
      </ul>
      <Facts
        of={[
          ["Unanswered", `it lapses after ${words(of.pending_for_s)}`],
          ["A yes", `may be used ${of.uses === 1 ? "once" : `${of.uses.toLocaleString()} times`}, within ${words(of.valid_for_s)}`],
          of.escalate.length > 0 && ["Added", <ul>{of.escalate.map((step) => <li key={step.after_s}>{places(step.add)} after {words(step.after_s)}</li>)}</ul>],
          of.signed && ["Signed", "each yes by a passkey"],
        ]}
      />
    </article>
  );
}
