// SQL for an approver's eyes: coloured, nothing left out, and nothing that hides. What cannot be seen, or can be
// mistaken for something else, is marked. The parts put together are exactly the text.
//
// A scanner by PostgreSQL's lexical rules (nested comments, dollar quotes, escape strings), so that what looks like a
// comment here is one there. It colours; it decides nothing.

export type Kind = "plain" | "word" | "string" | "name" | "number" | "comment" | "parameter" | "hidden" | "lookalike";

export interface Part {
  readonly kind: Kind;
  readonly text: string;
  /** What to show in place of a character that cannot be seen. */
  readonly shown?: string;
  /** What to say of a character that hides or deceives. */
  readonly told?: string;
}

const WORDS = new Set(
  `all alter analyze and any as asc begin between by call cascade case cast check collate column comment commit
constraint copy create cross current database default delete desc distinct do drop else end except execute exists explain
false fetch for foreign from full function grant group having if ilike in index inner insert intersect into is join key
language lateral left like limit lock materialized merge natural not nothing null offset on only or order outer over
partition prepare primary procedure references returning revoke right role rollback row rows savepoint schema select
sequence session set show similar table temporary then to trigger true truncate union unique update user using vacuum
values view when where window with`.split(/\s+/),
);

// Controls, unassigned and private characters, blanks other than the space, and whatever a font may draw as nothing or
// that changes the direction of what follows.
const HIDDEN = /(?![ \n\t])[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/u;

// Letters of alphabets that resemble the Latin one, compatibility forms, combining marks, and punctuation that is taken
// for quotes, dashes, slashes or stops.
const LOOKALIKE =
  /[\p{Script=Greek}\p{Script=Cyrillic}\p{Script=Armenian}\p{Script=Cherokee}\p{Script=Coptic}\p{Script=Lisu}\p{M}\u01c0-\u01c3\u02b0-\u02ff\u2010-\u201f\u2024\u2032-\u203a\u2044\u2100-\u214f\u2212\u2215\u2217\u2236\u2460-\u24ff\ua4f8\uff01-\uffee\u{1d400}-\u{1d7ff}]/u;

const TOLD: Record<string, string> = {
  "0000": "null", "0007": "bell", "0008": "backspace", "000D": "carriage return", "001B": "escape", "007F": "delete",
  "00A0": "no-break space", "00AD": "soft hyphen", "200B": "zero-width space", "200C": "zero-width non-joiner",
  "200D": "zero-width joiner", "200E": "left-to-right mark", "200F": "right-to-left mark", "2028": "line separator",
  "202A": "left-to-right embedding", "202B": "right-to-left embedding", "202C": "end of direction change",
  "202D": "left-to-right override", "202E": "right-to-left override", "2066": "left-to-right isolate",
  "2067": "right-to-left isolate", "2068": "isolate", "2069": "end of isolate", "FEFF": "zero-width no-break space",
};

const QUOTED = /'(?:[^']|'')*(?:'|$)/y;
const ESCAPED = /'(?:[^'\\]|''|\\[\s\S]|\\$)*(?:'|$)/y;
const NAME = /"(?:[^"]|"")*(?:"|$)/y;
const DOLLAR = /\$(?:[A-Za-z_\u0080-\u{10ffff}][\w\u0080-\u{10ffff}]*)?\$/uy;
const PARAMETER = /\$\d+/y;
const NUMBER = /(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/y;
const WORD = /[A-Za-z_\u0080-\u{10ffff}][\w$\u0080-\u{10ffff}]*/uy;
const LINE = /--[^\n\r]*/y;

/** Splits a statement into parts to colour. */
export function highlight(sql: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  while (at < sql.length) {
    const [kind, end] = token(sql, at);
    push(parts, kind, sql.slice(at, end));
    at = end;
  }
  return parts;
}

function token(sql: string, at: number): [Kind, number] {
  const here = sql[at] ?? "";
  const next = sql[at + 1] ?? "";
  if (here === "-" && next === "-") return ["comment", ends(LINE, sql, at)];
  if (here === "/" && next === "*") return ["comment", endOfComment(sql, at)];
  if (here === "'") return ["string", ends(QUOTED, sql, at)];
  if (here === '"') return ["name", ends(NAME, sql, at)];
  if ((here === "e" || here === "E") && next === "'") return ["string", ends(ESCAPED, sql, at + 1)];
  if (/[bBxXnN]/.test(here) && next === "'") return ["string", ends(QUOTED, sql, at + 1)];
  if (/[uU]/.test(here) && next === "&" && sql[at + 2] === "'") return ["string", ends(QUOTED, sql, at + 2)];
  if (here === "$") return dollar(sql, at);
  if (/\d/.test(here) || (here === "." && /\d/.test(next))) return ["number", ends(NUMBER, sql, at)];
  const end = ends(WORD, sql, at);
  if (end > at) return [WORDS.has(sql.slice(at, end).toLowerCase()) ? "word" : "plain", end];
  return ["plain", at + ((sql.codePointAt(at) ?? 0) > 0xffff ? 2 : 1)];
}

function dollar(sql: string, at: number): [Kind, number] {
  const parameter = ends(PARAMETER, sql, at);
  if (parameter > at) return ["parameter", parameter];
  const open = ends(DOLLAR, sql, at);
  if (open === at) return ["plain", at + 1];
  const close = sql.indexOf(sql.slice(at, open), open);
  return ["string", close < 0 ? sql.length : close + (open - at)];
}

/** Comments nest in PostgreSQL. */
function endOfComment(sql: string, at: number): number {
  let depth = 0;
  for (let i = at; i < sql.length; i += 1) {
    if (sql.startsWith("/*", i)) {
      depth += 1;
      i += 1;
    } else if (sql.startsWith("*/", i)) {
      depth -= 1;
      i += 1;
      if (depth === 0) return i + 1;
    }
  }
  return sql.length;
}

/** Where a sticky pattern that matches at `at` ends; `at` when it does not match. */
function ends(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}

/** Whether a text has characters that hide or deceive. */
export const deceives = (text: string): boolean => HIDDEN.test(text) || LOOKALIKE.test(text);

/** A text without a language, with what hides made visible. */
export function reveal(text: string): Part[] {
  const parts: Part[] = [];
  push(parts, "plain", text);
  return parts;
}

/** Adds a text to the parts, with what hides or deceives in it made visible. */
export function push(parts: Part[], kind: Kind, text: string): void {
  let run = "";
  const flush = (): void => {
    const last = parts[parts.length - 1];
    if (run !== "" && last?.kind === kind && kind === "plain") parts[parts.length - 1] = { kind, text: last.text + run };
    else if (run !== "") parts.push({ kind, text: run });
    run = "";
  };
  for (const character of text) {
    const hidden = HIDDEN.test(character);
    if (!hidden && !LOOKALIKE.test(character)) {
      run += character;
      continue;
    }
    flush();
    const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    const name = TOLD[code];
    parts.push(
      hidden
        ? { kind: "hidden", text: character, shown: `U+${code}`, told: name ?? "cannot be seen" }
        : { kind: "lookalike", text: character, told: `U+${code}: can be mistaken for another character` },
    );
  }
  flush();
}

/** The parts of each line; a line's end belongs to no line. */
export function lines(parts: readonly Part[]): Part[][] {
  const out: Part[][] = [[]];
  for (const part of parts) {
    const pieces = part.text.split("\n");
    pieces.forEach((piece, i) => {
      if (i > 0) out.push([]);
      if (piece !== "") out[out.length - 1]?.push({ ...part, text: piece });
    });
  }
  return out;
}
