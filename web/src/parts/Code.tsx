// A file of a bundle for reading and for writing: coloured, with its lines counted, and with what is wrong in its place.

import { useEffect, useMemo, useRef, type ReactNode } from "react";

import type { Schemas } from "../api/client";
import { colour, languageOf, type Language } from "../lib/code";
import { counts, diff, hunks, type Line } from "../lib/diff";
import { lines, type Part } from "../lib/sql";
import { Piece } from "./Sql";

import "../style/code.css";

export type Mark = Pick<Schemas["Diagnostic"], "severity" | "line" | "column" | "message" | "hint">;

function useRows(text: string, language: Language): Part[][] {
  return useMemo(() => lines(colour(text, language)), [text, language]);
}

const toneOf = (marks: readonly Mark[], line: number): string => {
  const here = marks.filter((mark) => mark.line === line);
  return here.some((mark) => mark.severity === "error") ? "bad" : here.length > 0 ? "warn" : "";
};

/** A file, whole. `at` is the line that the reader was sent to. */
export function Code({ text, path, at }: { text: string; path: string; at?: number | undefined }) {
  const rows = useRows(text.replace(/\n$/, ""), languageOf(path));
  const line = useRef<HTMLLIElement>(null);
  useEffect(() => line.current?.scrollIntoView({ block: "center" }), [at, path]);
  return (
    <div className="sql code" tabIndex={0} role="region" aria-label={path}>
      <ol>
        {rows.map((row, i) => (
          <li key={i} className={at === i + 1 ? "here" : ""} ref={at === i + 1 ? line : undefined}>
            <code>{row.map((part, j) => <Piece key={j} part={part} />)}</code>
          </li>
        ))}
      </ol>
    </div>
  );
}

/** A file that is being written. What is typed lies, unseen, over the same text in colours. */
export function Editor({ value, set, path, marks, at, save }: {
  value: string; set: (text: string) => void; path: string; marks: readonly Mark[]; at?: { line: number; column: number } | undefined; save: () => void;
}) {
  const rows = useRows(value, languageOf(path));
  const box = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    const field = box.current;
    if (!at || !field) return;
    const before = field.value.split("\n").slice(0, at.line - 1).reduce((sum, row) => sum + row.length + 1, 0);
    const place = before + Math.max(0, at.column - 1);
    field.focus({ preventScroll: true });
    field.setSelectionRange(place, place);
    field.parentElement?.querySelectorAll("li")[at.line - 1]?.scrollIntoView({ block: "center" });
  }, [at]);
  return (
    <div className="sql code editor">
      <ol aria-hidden="true">
        {rows.map((row, i) => (
          <li key={i} className={toneOf(marks, i + 1)}>
            <code>{row.map((part, j) => <Piece key={j} part={part} />)}{row.length === 0 && "\u200b"}</code>
          </li>
        ))}
      </ol>
      <textarea
        ref={box} value={value} aria-label={path} spellCheck={false} autoCapitalize="off" autoCorrect="off" wrap="soft"
        onChange={(event) => set(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "s" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            save();
          }
        }}
      />
    </div>
  );
}

const SIGNS: Record<Line["kind"], string> = { same: " ", in: "+", out: "−" };
const SAID: Record<Line["kind"], string> = { same: "", in: "added: ", out: "removed: " };

/** What differs in one file. */
export function Changes({ before, after, path, children }: { before: string; after: string; path: string; children?: ReactNode }) {
  const all = useMemo(() => diff(before, after), [before, after]);
  const parts = useMemo(() => hunks(all), [all]);
  const count = counts(all);
  const language = languageOf(path);
  return (
    <section className="sheet changes" aria-label={`Changes in ${path}`}>
      <header className="row apart">
        <b className="mono small">{path}</b>
        <span className="row small figures">
          {children}
          <span className="plus">+{count.in}<span className="unseen"> lines</span></span>
          <span className="minus">−{count.out}<span className="unseen"> lines</span></span>
        </span>
      </header>
      <div className="diff" tabIndex={0} role="region" aria-label={`The lines that differ in ${path}`}>
        {parts.map((part, i) => (
          <table key={i}>
            <tbody>
              {part.lines.map((line, j) => (
                <tr key={j} className={line.kind}>
                  <td className="n">{line.before}</td>
                  <td className="n">{line.after}</td>
                  <td className="s"><span aria-hidden="true">{SIGNS[line.kind]}</span></td>
                  <td><code>{SAID[line.kind] && <span className="unseen">{SAID[line.kind]}</span>}{colour(line.text, language).map((piece, k) => <Piece key={k} part={piece} />)}</code></td>
                </tr>
              ))}
            </tbody>
          </table>
        ))}
      </div>
    </section>
  );
}
