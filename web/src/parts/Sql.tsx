// A statement as an approver must see it: whole, coloured, and with everything that hides made visible.

import { useMemo } from "react";

import { deceives, highlight, lines, reveal, type Part } from "../lib/sql";
import { Note } from "./Page";

export function Piece({ part }: { part: Part }) {
  if (part.kind === "plain") return part.text;
  const told = part.told ? { title: part.told, "aria-label": part.shown ? `${part.shown}, ${part.told}` : part.text } : {};
  return <span className={`k-${part.kind}`} {...told} {...(part.told ? { role: "img" } : {})}>{part.shown ?? part.text}</span>;
}

/** Any text from outside: a reason, a parameter, a name. */
export function Plain({ text }: { text: string }) {
  const parts = useMemo(() => reveal(text), [text]);
  return <>{parts.map((part, i) => <Piece key={i} part={part} />)}</>;
}

export function Sql({ text }: { text: string }) {
  const rows = useMemo(() => lines(highlight(text)), [text]);
  return (
    <div className="stack">
      {deceives(text) && (
        <Note tone="warn">
          <b>This text has characters that cannot be seen or can be mistaken for others.</b> They are marked below.
        </Note>
      )}
      <div className="sql">
        <ol>
          {rows.map((row, i) => (
            <li key={i}><code>{row.map((part, j) => <Piece key={j} part={part} />)}</code></li>
          ))}
        </ol>
      </div>
    </div>
  );
}

/** A statement in a list, still whole. */
export function SqlLine({ text }: { text: string }) {
  const parts = useMemo(() => highlight(text), [text]);
  return <div className="sql one"><code>{parts.map((part, i) => <Piece key={i} part={part} />)}</code></div>;
}
