// The files of a bundle for reading: Cedar and TOML, coloured, nothing left out, and nothing that hides.
//
// Scanners by the lexical rules of both. They colour; they decide nothing. The parts put together are exactly the text.

import { push, type Kind, type Part } from "./sql";

const CEDAR_WORDS = new Set("permit forbid when unless if then else in is like has true false principal action resource context".split(" "));

const STRING = /"(?:[^"\\\n]|\\.)*(?:"|$)/y;
const NUMBER = /\d[\d_]*(?:\.\d+)?/y;
const WORD = /[A-Za-z_][\w-]*/y;
const CEDAR_WORD = /[A-Za-z_]\w*/y;
const NOTE = /@[A-Za-z_]\w*/y;
const TABLE = /\[\[?[^\]\n]*\]\]?/y;
const KEY = /[A-Za-z0-9_."-]+(?=\s*=)/y;

const until = (pattern: RegExp, text: string, at: number): number => {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
};

const lineEnd = (text: string, at: number): number => {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
};

type Token = readonly [Kind, number];

function cedarToken(text: string, at: number): Token {
  const here = text[at] ?? "";
  if (text.startsWith("//", at)) return ["comment", lineEnd(text, at)];
  if (here === '"') return ["string", Math.max(at + 1, until(STRING, text, at))];
  if (here === "@") return ["parameter", Math.max(at + 1, until(NOTE, text, at))];
  if (/\d/.test(here)) return ["number", until(NUMBER, text, at)];
  const end = until(CEDAR_WORD, text, at);
  if (end === at) return ["plain", at + (text.codePointAt(at)! > 0xffff ? 2 : 1)];
  if (CEDAR_WORDS.has(text.slice(at, end))) return ["word", end];
  return [text.startsWith("::", end) ? "name" : "plain", end];
}

function tomlToken(text: string, at: number): Token {
  const here = text[at] ?? "";
  const first = at === 0 || /^[ \t]*$/.test(text.slice(text.lastIndexOf("\n", at - 1) + 1, at));
  if (here === "#") return ["comment", lineEnd(text, at)];
  if (first && here === "[") return ["word", Math.max(at + 1, until(TABLE, text, at))];
  if (text.startsWith('"""', at)) {
    const close = text.indexOf('"""', at + 3);
    return ["string", close < 0 ? text.length : close + 3];
  }
  const key = until(KEY, text, at);
  if (key > at && (first || /[{,]\s*$/.test(text.slice(0, at)))) return ["name", key];
  if (here === '"') return ["string", Math.max(at + 1, until(STRING, text, at))];
  if (here === "'") {
    const close = text.indexOf("'", at + 1);
    return ["string", close < 0 || close > lineEnd(text, at) ? lineEnd(text, at) : close + 1];
  }
  if (/\d/.test(here)) return ["number", until(NUMBER, text, at)];
  const end = until(WORD, text, at);
  if (end > at) return [/^(?:true|false)$/.test(text.slice(at, end)) ? "word" : "plain", end];
  return ["plain", at + (text.codePointAt(at)! > 0xffff ? 2 : 1)];
}

export type Language = "cedar" | "toml";

/** What a file of a bundle is written in. */
export const languageOf = (path: string): Language => (path.endsWith(".cedar") ? "cedar" : "toml");

/** Longer texts are shown without colours: they would take longer to colour than anybody reads. */
const COLOURED_MAX = 200_000;

/** Splits a file into parts to colour. */
export function colour(text: string, language: Language): Part[] {
  const parts: Part[] = [];
  if (text.length > COLOURED_MAX) {
    push(parts, "plain", text);
    return parts;
  }
  const token = language === "cedar" ? cedarToken : tomlToken;
  let at = 0;
  while (at < text.length) {
    const [kind, end] = token(text, at);
    push(parts, kind, text.slice(at, end));
    at = end;
  }
  return parts;
}

/** Where a policy stands: in which file, and in which line, counted from one. */
export function placeOf(files: Readonly<Record<string, string>>, policy: string): { file: string; line: number } | undefined {
  const role = policy.startsWith("role/") ? policy.slice("role/".length) : undefined;
  const marks = role === undefined ? [`@id("${policy}")`] : [`[role.${role}]`, `[role."${role}"]`];
  for (const [file, text] of Object.entries(files)) {
    if ((role === undefined) !== file.endsWith(".cedar")) continue;
    const at = marks.map((mark) => text.indexOf(mark)).find((found) => found >= 0);
    if (at !== undefined) return { file, line: text.slice(0, at).split("\n").length };
  }
  return undefined;
}
