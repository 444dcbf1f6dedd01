// Beside the last one of its kind that was approved: what is other about this one.

import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link } from "wouter";

import type { Request } from "../api/client";
import { requests } from "../api/queries";
import { lastAlike, laid } from "../lib/alike";
import { diff } from "../lib/diff";
import { highlight } from "../lib/sql";
import { Piece } from "./Sql";
import { Ago } from "./Time";

import "../style/code.css";

/** How many approved requests are looked through. */
const LOOKED_MAX = 200;

export default function Alike({ of }: { of: Request }) {
  const approved = useQuery({ ...requests({ state: "approved", limit: LOOKED_MAX }), staleTime: 60_000 }).data;
  const last = useMemo(() => approved && lastAlike(of, approved), [approved, of]);
  if (!last) return null;
  return (
    <details className="small">
      <summary>Beside the last of its kind that was approved{last.approvals[0] && <>, by {last.approvals.map((one) => one.display).join(", ")}</>}</summary>
      <div className="stack tight" style={{ paddingTop: 8 }}>
        <p className="quiet"><Link href={`/requests/${last.id}`}>{last.by.display} asked</Link> <Ago at={last.asked_at} />. What is only in that one is red, what is only in this one is green.</p>
        <Lines before={laid(last)} after={laid(of)} />
      </div>
    </details>
  );
}

const SAID = { same: "", in: "only in this one: ", out: "only in the earlier one: " } as const;

function Lines({ before, after }: { before: string; after: string }) {
  const lines = useMemo(() => diff(before, after), [before, after]);
  return (
    <div className="sheet diff" tabIndex={0} role="region" aria-label="What differs from the last of its kind">
      <table>
        <tbody>
          {lines.map((line, i) => (
            <tr key={i} className={line.kind}>
              <td className="s"><span aria-hidden="true">{line.kind === "in" ? "+" : line.kind === "out" ? "−" : " "}</span></td>
              <td><code>{SAID[line.kind] && <span className="unseen">{SAID[line.kind]}</span>}{highlight(line.text).map((part, j) => <Piece key={j} part={part} />)}</code></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
