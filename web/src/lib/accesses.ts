// Reports of who could and who did: put together by people, drawn over time, written for other programs.

import type { Schemas } from "../api/client";
import { csv } from "./csv";

type Access = Schemas["Access"];
type Report = Schemas["AccessReport"];

/** Grants of one account, and where they lie in the period, in parts of it from 0 to 1. */
export interface Row {
  readonly by: Schemas["Party"];
  readonly bars: readonly { of: Access; from: number; to: number }[];
  readonly acts: readonly { of: Schemas["Event"]; at: number }[];
}

const within = (part: number): number => Math.min(1, Math.max(0, part));

export function rows(report: Report): Row[] {
  const from = Date.parse(report.from);
  const whole = Math.max(1, Date.parse(report.until) - from);
  const part = (instant: string): number => within((Date.parse(instant) - from) / whole);
  const people = new Map<string, { by: Schemas["Party"]; bars: Row["bars"][number][]; acts: Row["acts"][number][] }>();
  for (const one of report.items) {
    const row = people.get(one.by.name) ?? { by: one.by, bars: [], acts: [] };
    people.set(one.by.name, row);
    row.bars.push({ of: one, from: part(one.from), to: part(one.until) });
    row.acts.push(...one.acts.map((act) => ({ of: act, at: part(act.at) })));
  }
  return [...people.values()].sort((a, b) => a.by.display.localeCompare(b.by.display));
}

export interface Totals { people: number; grants: number; ran: number; approved: number; refused: number; rows: number; held: number }

export function totals(report: Report): Totals {
  const sum = (of: (one: Access) => number): number => report.items.reduce((all, one) => all + of(one), 0);
  return {
    people: new Set(report.items.map((one) => one.person)).size, grants: report.items.length, ran: sum((one) => one.ran),
    approved: sum((one) => one.approved), refused: sum((one) => one.refused), rows: sum((one) => one.rows), held: sum((one) => one.held),
  };
}

const HEAD = [
  "grant", "principal", "name", "person", "role", "resources", "from", "until", "state", "ended_by", "purpose", "ticket", "approved_by",
  "request", "line", "at", "what", "result", "rows", "text",
];

/** One row for each act, and one for each grant under which nothing was done. */
export function table(report: Report): string {
  const lines = report.items.flatMap((one) => {
    const grant = [
      one.id, one.by.name, one.by.display, one.person, one.role, one.resources.join(" "), one.from, one.until, one.state, one.ended_by?.name,
      one.purpose, one.ticket, one.approvals.map((said) => said.by).join(" "), one.request,
    ];
    return one.acts.length === 0 ? [grant] : one.acts.map((act) => [...grant, act.seq, act.at, act.type, act.result, act.rows, act.text]);
  });
  return csv(HEAD, lines.map((line) => [...line, ...Array<undefined>(HEAD.length - line.length)]));
}
