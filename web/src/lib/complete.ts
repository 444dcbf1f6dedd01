// What somebody may mean by the beginning of a word in a statement: names of the database they work on, and SQL's own words.
//
// It reads the text around the caret as far as a person would: which relations the statement names, and under which short
// names. It decides nothing and understands no grammar; a wrong guess costs a key.

import { highlight, type Part } from "./sql";

export interface Relation {
  readonly schema: string;
  readonly name: string;
  /** `r` a table, `p` a partitioned one, `v` a view, `m` a materialised one, `f` a foreign table. */
  readonly kind: string;
  readonly columns: readonly Field[];
}

export interface Field {
  readonly name: string;
  readonly type: string;
}

export interface Offer {
  /** What is put in place of the word. */
  readonly text: string;
  readonly kind: "relation" | "column" | "word" | "schema";
  readonly detail: string;
}

export interface Offers {
  /** Where the word begins that is put in place. */
  readonly from: number;
  readonly items: readonly Offer[];
}

/** How many are offered. */
const OFFERS_MAX = 12;

const WORDS = `SELECT FROM WHERE JOIN LEFT INNER ON GROUP BY ORDER HAVING LIMIT OFFSET INSERT INTO VALUES UPDATE SET DELETE RETURNING
WITH AS AND OR NOT NULL IN EXISTS BETWEEN LIKE ILIKE IS DISTINCT UNION ALL CASE WHEN THEN ELSE END COUNT SUM AVG MIN MAX COALESCE
BEGIN COMMIT ROLLBACK EXPLAIN ANALYZE CREATE ALTER TABLE INDEX DESC ASC USING TRUE FALSE INTERVAL NOW`.split(/\s+/);

/** Words of PostgreSQL that no name may be without quotes, as far as names are apt to be one. */
const RESERVED = new Set(`all and any array as asc both case cast check collate column constraint create current_date current_user default
desc distinct do else end except false fetch for foreign from grant group having in initially intersect into leading limit not null offset
on only or order placing primary references returning select session_user some symmetric table then to trailing true union unique user
using variadic when where window with`.split(/\s+/));

/** A name as a statement has to write it. */
export const quoted = (name: string): string => (/^[a-z_][a-z0-9_$]*$/.test(name) && !RESERVED.has(name) ? name : `"${name.replaceAll('"', '""')}"`);

const WORD = /(?:"(?:[^"]|"")*"?|[\p{L}_][\p{L}\p{N}_$]*)$/u;

/** The statement around the caret: up to the semicolons outside quotes and comments. */
export function around(text: string, at: number, parts: readonly Part[] = highlight(text)): { from: number; until: number } {
  let place = 0;
  let from = 0;
  let until = text.length;
  for (const part of parts) {
    if (part.kind === "plain") {
      for (let i = part.text.indexOf(";"); i >= 0; i = part.text.indexOf(";", i + 1)) {
        const here = place + i;
        // Right behind its semicolon one is still in the statement.
        if (here + 1 < at || (here + 1 === at && text.slice(at).trim() !== "" && /^\s*\n/.test(text.slice(at)) === false && text.slice(at, at + 1).trim() !== "")) from = here + 1;
        else if (here >= at - 1) {
          until = here + 1;
          place = -1;
          break;
        }
      }
      if (place < 0) break;
    }
    place += part.text.length;
  }
  while (from < until && /\s/.test(text[from] ?? "")) from += 1;
  return { from, until };
}

const unquoted = (word: string): string => (word.startsWith('"') ? word.slice(1, word.endsWith('"') && word.length > 1 ? -1 : undefined).replaceAll('""', '"') : word.toLowerCase());

const NAMED = /\b(?:from|join|into|update|table|only)\s+((?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?)(?:\s+(?:as\s+)?("[^"]+"|[a-z_][\w$]*))?/giu;

/** Relations that a statement names, by every name that they go by in it. */
function named(statement: string, known: readonly Relation[]): Map<string, Relation> {
  const found = new Map<string, Relation>();
  for (const [, name = "", short] of statement.matchAll(NAMED)) {
    const parts = (name.match(/"[^"]+"|[\w$]+/g) ?? []).map(unquoted);
    const relation = known.find((one) => one.name === parts.at(-1) && (parts.length === 1 || one.schema === parts[0]));
    if (!relation) continue;
    found.set(relation.name, relation);
    if (short && !RESERVED.has(short.toLowerCase()) && !/^(?:set|left|right|inner|cross|natural|join|values)$/i.test(short)) found.set(unquoted(short), relation);
  }
  return found;
}

const ofColumn = (relation: Relation, field: Field): Offer => ({ text: quoted(field.name), kind: "column", detail: `${field.type}, ${relation.name}` });
const KINDS: Record<string, string> = { r: "table", p: "partitioned table", v: "view", m: "materialised view", f: "foreign table" };
const ofRelation = (relation: Relation, whole: boolean): Offer => ({
  text: whole ? `${quoted(relation.schema)}.${quoted(relation.name)}` : quoted(relation.name), kind: "relation", detail: KINDS[relation.kind] ?? "relation",
});

/** What fits at the caret. `asked` offers all where nothing was typed yet. */
export function complete(text: string, at: number, known: readonly Relation[], asked = false): Offers {
  const none: Offers = { from: at, items: [] };
  const before = text.slice(0, at);
  const word = WORD.exec(before)?.[0] ?? "";
  const from = at - word.length;
  const owner = /((?:"[^"]+"|[\p{L}_][\p{L}\p{N}_$]*))\.$/u.exec(before.slice(0, from))?.[1];
  if (word === "" && owner === undefined && !asked) return none;
  // Inside a text or a comment nothing is meant.
  const parts = highlight(text);
  let place = 0;
  for (const part of parts) {
    const end = place + part.text.length;
    if (at > place && at <= end && (part.kind === "comment" || part.kind === "string") && !(at === end && part.text.endsWith("\n"))) return none;
    place = end;
  }
  const statement = around(text, at, parts);
  const names = named(text.slice(statement.from, statement.until), known);
  const begun = unquoted(word);
  const items = owner === undefined ? free(before.slice(statement.from, from), names, known, word) : within(unquoted(owner), names, known);
  const fits = items.filter((one) => fit(one.text, begun)).filter((one) => one.text !== word);
  fits.sort((a, b) => rank(a, begun) - rank(b, begun));
  return { from, items: [...new Map(fits.map((one) => [`${one.kind} ${one.text}`, one])).values()].slice(0, OFFERS_MAX) };
}

const bare = (text: string): string => text.replaceAll('"', "").toLowerCase();
const fit = (text: string, begun: string): boolean => begun === "" || bare(text).split(/[._]/).some((part) => part.startsWith(begun.toLowerCase())) || bare(text).startsWith(begun.toLowerCase());
const RANK = { column: 0, relation: 1, schema: 2, word: 3 } as const;
const rank = (one: Offer, begun: string): number => (bare(one.text).startsWith(begun.toLowerCase()) ? 0 : 10) + RANK[one.kind];

function within(owner: string, names: ReadonlyMap<string, Relation>, known: readonly Relation[]): Offer[] {
  const relation = names.get(owner) ?? known.find((one) => one.name === owner);
  const inSchema = known.filter((one) => one.schema === owner).map((one) => ofRelation(one, false));
  return [...(relation ? relation.columns.map((field) => ofColumn(relation, field)) : []), ...inSchema];
}

function free(before: string, names: ReadonlyMap<string, Relation>, known: readonly Relation[], word: string): Offer[] {
  const last = /([a-z]+)\s+(?:"[^"]*|[\w$]*)$/i.exec(`${before}x`)?.[1]?.toLowerCase() ?? "";
  const relations = known.map((one) => ofRelation(one, one.schema !== "public"));
  if (["from", "join", "into", "update", "table", "truncate"].includes(last)) return relations;
  const columns = [...new Set(names.values())].flatMap((one) => one.columns.map((field) => ofColumn(one, field)));
  const upper = word !== "" && word === word.toUpperCase() && word !== word.toLowerCase();
  const own = WORDS.map((one): Offer => ({ text: upper ? one : one.toLowerCase(), kind: "word", detail: "" }));
  const schemas = [...new Set(known.map((one) => one.schema))].filter((one) => one !== "public").map((one): Offer => ({ text: quoted(one), kind: "schema", detail: "schema" }));
  return [...columns, ...relations, ...schemas, ...own];
}

/** The statement that tells what there is. It runs in the session like any other, and is recorded like any other. */
export const SCHEMA_SQL = `-- The console reads the names of tables and columns, for completion.
SELECT n.nspname, c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY n.nspname, c.relname, a.attnum`;

/** What its rows say. */
export function relations(rows: readonly (readonly (string | null)[])[]): Relation[] {
  const found = new Map<string, { schema: string; name: string; kind: string; columns: Field[] }>();
  for (const [schema, name, kind, column, type] of rows) {
    if (!schema || !name || !column) continue;
    const key = JSON.stringify([schema, name]);
    const one = found.get(key) ?? { schema, name, kind: kind ?? "r", columns: [] };
    one.columns.push({ name: column, type: type ?? "" });
    found.set(key, one);
  }
  return [...found.values()];
}
