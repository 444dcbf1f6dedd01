// One request in a list.

import { Link } from "wouter";

import type { Request } from "../api/client";
import { wants } from "../lib/words";
import { Face, State } from "./Bits";
import { Plain } from "./Sql";
import { Ago, Left } from "./Time";

export function RequestRow({ of, to, current, mine = false }: { of: Request; to: string; current?: boolean; mine?: boolean }) {
  return (
    <li className="go">
      <Link href={to} aria-current={current ? "true" : undefined} data-request={of.id}>
        <span className="row apart" style={{ flexWrap: "nowrap", alignItems: "flex-start" }}>
          <span className="row" style={{ flexWrap: "nowrap", alignItems: "flex-start", gap: 12 }}>
            {!mine && <Face name={of.by.display} />}
            <span>
              <b>{mine ? what(of) : of.by.display}</b>
              {!mine && <> {wants(of)}</>}
              <span className="small quiet clip">
                {of.text ? <span className="mono"><Plain text={of.text} /></span> : <Plain text={of.reason ?? ""} />}
              </span>
            </span>
          </span>
          {of.state === "pending" ? <Left until={of.lapses_at} over="lapses" /> : <State of={of.state} />}
        </span>
        {mine && (
          <span className="small quiet" style={{ display: "block", marginTop: 4 }}>
            {of.state === "pending" && of.missing ? <>waiting for {of.missing.replaceAll("group:", "group ")}</> : <>asked <Ago at={of.asked_at} /></>}
          </span>
        )}
      </Link>
    </li>
  );
}

/** What somebody asked for, to themselves. */
const what = (of: Request): string => wants(of).replace(/^asks for |^wants to run an? |^wants to /, "");
