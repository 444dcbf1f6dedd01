// SQL for an approver's eyes: coloured, nothing left out, and nothing that hides. What cannot be seen, or can be
// mistaken for something else, is marked. The parts put together are exactly the text.

export type Kind = "plain" | "word" | "string" | "number" | "comment" | "parameter" | "hidden" | "lookalike";

export interface Part {
  readonly kind: Kind;
  readonly text: string;
  /** What to show in place of a character that cannot be seen. */
  readonly shown?: string;
}

const WORDS = new Set(
  `all alter analyze and any as asc begin between by call cascade case cast check column comment commit constraint copy
create cross current database default delete desc distinct do drop else end except execute exists explain false fetch
for foreign from full function grant group having if ilike in index inner insert intersect into is join key lateral
left like limit lock materialized merge natural not null offset on only or order outer over partition prepare primary
procedure references returning revoke right role rollback row rows savepoint schema select sequence session set show
table temporary then to trigger true truncate union unique update user using vacuum values view when where window
with`.split(/\s+/),
);

const TOKEN =
  /(--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|((?:[eEbBxXnN]|[uU]&)?'(?:[^']|'')*(?:'|$)|\$([A-Za-z_]\w*)?\$[\s\S]*?(?:\$\3\$|$))|("(?:[^"]|"")*(?:"|$))|(\$\d+)|(\b\d+(?:\.\d+)?\b)|([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)/g;

// Control characters, invisible spaces, and marks that change the direction of what follows.
// eslint-disable-next-line no-control-regex
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]/u;
// Letters of other alphabets that look like Latin ones.
const LOOKALIKE = /[\u0370-\u03ff\u0400-\u052f\u0531-\u058f\u13a0-\u13ff\u1d00-\u1d7f\uff01-\uff5e\u2100-\u214f]/u;

/** Splits a statement into parts to colour. */
export function highlight(sql: string): Part[] {
  const parts: Part[] = [];
  let end = 0;
  for (const match of sql.matchAll(TOKEN)) {
    push(parts, "plain", sql.slice(end, match.index));
    const [text, comment, string, , , parameter, number, word] = match;
    const kind: Kind = comment
      ? "comment"
      : string
        ? "string"
        : parameter
          ? "parameter"
          : number
            ? "number"
            : word && WORDS.has(word.toLowerCase())
              ? "word"
              : "plain";
    push(parts, kind, text);
    end = match.index + text.length;
  }
  push(parts, "plain", sql.slice(end));
  return parts;
}

/** Whether a text has characters that hide or deceive. */
export const deceives = (text: string): boolean => HIDDEN.test(text) || LOOKALIKE.test(text);

/** A text without a language, with what hides made visible. */
export function reveal(text: string): Part[] {
  const parts: Part[] = [];
  push(parts, "plain", text);
  return parts;
}

function push(parts: Part[], kind: Kind, text: string): void {
  let plain = "";
  const flush = (): void => {
    if (plain !== "") parts.push({ kind, text: plain });
    plain = "";
  };
  for (const character of text) {
    const hidden = HIDDEN.test(character);
    if (!hidden && !LOOKALIKE.test(character)) {
      plain += character;
      continue;
    }
    flush();
    const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    parts.push(hidden ? { kind: "hidden", text: character, shown: `U+${code}` } : { kind: "lookalike", text: character });
  }
  flush();
}
