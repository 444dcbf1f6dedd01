// How the console says things. One word for one thing, as everywhere in the product.

import type { Event, Grant, Request, Schemas } from "../api/client";
import { words } from "./time";

/** What somebody wants, as the rest of a sentence that begins with their name. */
export function wants(request: Request): string {
  const where = request.resource ? ` on ${request.resource}` : "";
  if (request.kind === "access") {
    return `asks for ${request.role ?? "a role"}${request.for_s ? ` for ${words(request.for_s)}` : ""}`;
  }
  if (request.kind === "apply") return "wants to change the policy";
  if (request.kind === "script") return `wants to run a script of ${(request.steps ?? []).length} statements${where}`;
  return `wants to run ${article(what(request))}${where}`;
}

const article = (noun: string): string => (/^[aeiou]/i.test(noun) ? `an ${noun}` : `a ${noun}`);

/** `DELETE`, or `DELETE and UPDATE` for a text of several statements. */
function what(request: Request): string {
  const verbs = [...new Set(request.verbs)].map((one) => one.replaceAll("_", " ").toUpperCase());
  return verbs.length > 0 && request.action.startsWith("sql.") ? verbs.join(" and ") : verb(request.action);
}

/** `DELETE` for `sql.delete`; the action's own name for what is no SQL. */
export function verb(action: string): string {
  if (action === "sql.unknown") return "statement that is not understood";
  return action.startsWith("sql.") ? action.slice(4).replaceAll("_", " ").toUpperCase() : action;
}

/** `12 rows, counted`. */
export function rows(known: Schemas["Rows"]): { figure: string; note: string } {
  const count = (n: number): string => `${n.toLocaleString()} ${n === 1 ? "row" : "rows"}`;
  const plan = known.estimate === undefined ? "" : `; the server's plan expects ${known.estimate.toLocaleString()}`;
  if (known.count !== undefined) return { figure: count(known.count), note: `counted when it was asked${plan}` };
  if (known.most !== undefined) {
    return { figure: `${(known.least ?? 0).toLocaleString()} to ${count(known.most)}`, note: `counted when it was asked${plan}` };
  }
  const why = known.unknown ?? "how many rows it would touch cannot be told beforehand";
  if (known.estimate === undefined) return { figure: "unknown", note: why };
  return { figure: `about ${count(known.estimate)}`, note: `as the server's plan expects, not counted: ${why}` };
}

const VERDICTS: Record<string, string> = {
  "action.allowed": "allow", "action.blocked": "deny", "action.held": "hold", "decision.approved": "approved",
  "decision.denied": "denied",
};

/** What a line of the ledger says of how it went, as a state; nothing when its type says it already. */
export function verdict(line: Event): string | undefined {
  const known = VERDICTS[line.type];
  return known ?? (line.outcome === "failure" ? line.outcome : undefined);
}

/** `bigint`; what cannot be read is said to be bytes. */
export function typed(parameter: Schemas["Parameter"]): string {
  const name = parameter.type_name ?? (parameter.type === 0 ? "type not known" : `type ${parameter.type}`);
  return parameter.encoding === "hex" ? `${name}, bytes in hexadecimal` : name;
}

/** What a yes covers. */
export function bound(known: Schemas["Rows"]): string {
  if (known.unbounded) return "No bound can be kept: a yes covers however many rows it touches.";
  if (known.bound === undefined) return "";
  return `A yes covers at most ${known.bound.toLocaleString()}; beyond that it is rolled back.`;
}

/** How far a yes reaches at most. */
export function most(known: Schemas["Most"]): string {
  const often = known.uses === 1 ? "one execution" : `up to ${known.uses.toLocaleString()} executions`;
  const wide = known.envelope ? `; or bounds of up to ${known.envelope.total.toLocaleString()} rows in all, if you give them` : "";
  return `${often} of exactly this, within ${words(known.for_s)}${wide}`;
}

/** `1 of 3 times`. */
export const used = (known: Schemas["Receipt"]): string => `${known.used.toLocaleString()} of ${known.uses === 1 ? "1 time" : `${known.uses.toLocaleString()} times`}`;

/** The bounds of a receipt, and what of them is gone. */
export function within(known: Schemas["Receipt"]): string {
  if (!known.envelope) return "";
  const { rows, total } = known.envelope;
  const spent = (known.rows_spent ?? 0).toLocaleString();
  return `${rows.toLocaleString()} rows a statement, ${total.toLocaleString()} in all, ${spent} of them spent or set aside`;
}

/** What is left of a grant's budget: `37,600 of 50,000 rows`. */
export function budgetLeft(grant: Grant): string[] {
  const { budget, spent } = grant;
  if (!budget) return [];
  const of = (limit: number | undefined, taken: number, unit: string, size = 1): string | undefined => {
    if (limit === undefined) return undefined;
    const count = (n: number): string => Math.floor(n / size).toLocaleString();
    return `${count(Math.max(0, limit - taken))} of ${count(limit)} ${unit}`;
  };
  return [
    of(budget.statements, spent.statements, "statements"),
    of(budget.rows, spent.rows, "rows"),
    of(budget.bytes, spent.bytes, "KiB", 1024),
    of(budget.time_ms, spent.time_ms, "seconds", 1000),
    of(budget.relations, spent.relations ?? 0, "relations"),
  ].filter((one) => one !== undefined);
}

const ENDINGS: Record<string, string> = {
  user: "closed by the client", revoked: "the grant was revoked", grant_end: "the grant ended", expired: "the grant expired",
  killed: "ended by somebody", disabled: "the principal was disabled", relinquished: "the grant was given back",
  cancelled: "cancelled by the requester", policy_stricter: "the policy became stricter", stopped: "it has stopped before its end", disconnected: "the client went away",
  policy: "the policy no longer permits it", stopping: "the gateway stopped", restart: "the gateway restarted",
};

/** A reason in one word, as a phrase. */
export const ending = (word: string): string => ENDINGS[word] ?? word.replaceAll("_", " ");

/** How what was approved ended. */
export function outcome(known: Schemas["Outcome"]): string {
  const touched = known.rows === undefined ? "" : `, ${known.rows.toLocaleString()} ${known.rows === 1 ? "row" : "rows"}`;
  switch (known.result) {
    case "running": return "it runs now";
    case "done": return `it ran${touched}${took(known)}${stands(known.transaction)}`;
    case "failed": return `it failed${known.code ? ` with ${known.code}` : ""}${stands(known.transaction)}`;
    case "beyond_bound": return `it was rolled back: it would have touched more than was approved${touched}`;
    case "unknown": return "its outcome is unknown";
  }
}

const STANDS: Record<string, string> = {
  open: "its transaction is still open", committed: "committed", rolled_back: "its transaction was rolled back: nothing of it stands",
  unknown: "nobody knows what became of its transaction",
};

const stands = (transaction: string | undefined): string => (transaction ? `; ${STANDS[transaction] ?? transaction}` : "");

function took(known: Schemas["Outcome"]): string {
  const bytes = known.bytes ? `, ${known.bytes.toLocaleString()} bytes` : "";
  return known.micros === undefined ? bytes : `${bytes}, in ${milliseconds(known.micros)}`;
}

const milliseconds = (micros: number): string =>
  `${micros < 10_000 ? (micros / 1000).toFixed(1) : Math.round(micros / 1000).toLocaleString()} ms`;

const RESULTS: Record<string, string> = {
  done: "done", failed: "failed", beyond_bound: "rolled back: more rows than were approved", unknown: "outcome unknown",
};

/** How an action ended, as its line in the ledger says: `12 rows, 18 bytes, 4 ms`. */
export function completion(line: Event): string | undefined {
  if (line.result === undefined) return line.transaction && STANDS[line.transaction];
  const count = (n: number, noun: string): string => `${n.toLocaleString()} ${noun}${n === 1 ? "" : "s"}`;
  return [
    line.result === "done" && line.rows !== undefined ? undefined : RESULTS[line.result] ?? line.result,
    line.code && `error ${line.code}`,
    line.rows !== undefined && count(line.rows, "row"),
    line.bytes && count(line.bytes, "byte"),
    line.micros !== undefined && milliseconds(line.micros),
    line.transaction && STANDS[line.transaction],
  ].filter(Boolean).join(", ");
}

/** `group:dba` as `group dba`. */
export const party = (from: string): string => from.replace(/^group:/, "group ");

/** `group:dba or owner (bob)` as `group dba or owner (bob)`; says so where nobody may answer. */
export const askedOf = (words: string): string =>
  words.replaceAll("group:", "group ").replace(/\(nobody\)$/, "(nobody who may answer)");

/** Two letters to stand for a name. */
export const initials = (name: string): string =>
  name.split(/[\s._-]+/).filter(Boolean).slice(0, 2).map((part) => part[0]?.toUpperCase() ?? "").join("") || "?";

/** What an approver has said of what their yes covers: `, for 2 uses, for 5 minutes`. */
export function given(approval: Schemas["Approval"]): string {
  const parts: string[] = [];
  if (approval.uses !== undefined) parts.push(`for ${approval.uses.toLocaleString()} ${approval.uses === 1 ? "use" : "uses"}`);
  if (approval.for_s !== undefined) parts.push(`for ${words(approval.for_s)}`);
  if (approval.envelope) {
    parts.push(`within ${approval.envelope.rows.toLocaleString()} rows a statement, ${approval.envelope.total.toLocaleString()} in all`);
  }
  return parts.length > 0 ? `, ${parts.join(", ")}` : "";
}
