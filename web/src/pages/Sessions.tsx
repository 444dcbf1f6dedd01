// Connections through the doors: who is on what, and who was; and what was sent in them.

import { Button, TextInput } from "@mantine/core";
import { IconPlugConnectedX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { useSearchParams } from "wouter";

import type { Session } from "../api/client";
import { sessions } from "../api/queries";
import { ending } from "../lib/words";
import { Named, State } from "../parts/Bits";
import { useEndSession } from "../parts/endSession";
import { Blank, Bones, Head, Reading } from "../parts/Page";
import { Plain } from "../parts/Sql";
import { Ago } from "../parts/Time";
import { may, useMe } from "../parts/who";

const Statements = lazy(() => import("./Statements"));

const STATES = [["live", "Live"], ["ended", "Ended"], ["statements", "Statements"]] as const;

/** From how many sessions on a list can be searched. */
const MANY = 5;

export default function Sessions() {
  const [params, setParams] = useSearchParams();
  const me = useMe();
  const states = STATES.filter(([state]) => state !== "statements" || may(me, "ledger.read"));
  const state = states.find(([one]) => one === params.get("state"))?.[0] ?? "live";
  return (
    <>
      <Head title="Sessions">{state === "statements" ? "What was sent in them, whatever came of it." : "One client connection through a door."}</Head>
      <div className="pick" role="radiogroup" aria-label="What is shown" style={{ marginBottom: 16 }}>
        {states.map(([one, label]) => (
          <label key={one}>
            <input type="radio" name="state" checked={state === one} onChange={() => setParams({ state: one }, { replace: true })} />
            <span>{label}</span>
          </label>
        ))}
      </div>
      {state === "statements" ? <Suspense fallback={<Bones rows={4} height={72} />}><Statements /></Suspense> : <Connections state={state} />}
    </>
  );
}

function Connections({ state }: { state: "live" | "ended" }) {
  const list = useQuery(sessions(state));
  const [wanted, setWanted] = useState("");
  return (
    <Reading of={list} bones={<Bones rows={3} height={64} />}>
      {(items) => {
        const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
        const shown = items.filter((one) => words.every((word) => searched(one).includes(word)));
        return (
          <div className="stack">
            {items.length > MANY && (
              <TextInput
                label="Narrow down" placeholder="alice shop psql" value={wanted} onChange={(event) => setWanted(event.currentTarget.value)}
                description={words.length > 0 ? `${shown.length} of ${items.length}` : `${items.length} sessions: by person, resource, role, client or purpose`}
              />
            )}
            {items.length === 0 ? (
              <div className="sheet">
                <Blank icon={IconPlugConnectedX} title={state === "live" ? "Nobody is connected" : "None has ended"}>
                  Sessions that you may see appear here by themselves.
                </Blank>
              </div>
            ) : shown.length === 0 ? <div className="sheet"><Blank icon={IconPlugConnectedX} title="None fits">Take a word away.</Blank></div> : <Table items={shown} />}
          </div>
        );
      }}
    </Reading>
  );
}

/** What a session is found by. */
const searched = (of: Session): string =>
  [of.principal, of.display, of.person, of.resource, of.role, of.application, of.address, of.purpose].filter(Boolean).join(" ").toLowerCase();

function Table({ items }: { items: readonly Session[] }) {
  const { end, confirm } = useEndSession();
  return (
    <div className="sheet">
      <table className="grid fold">
        <thead>
          <tr>
            <th>Who</th><th>On</th><th>As</th><th>Client</th><th>Since</th>
            <th className="end"><span className="unseen">What you can do</span></th>
          </tr>
        </thead>
        <tbody>
          {items.map((one) => (
            <tr key={one.id}>
              <td data-label="Who"><Named id={one.principal} display={one.display} to={`/sessions/${one.id}`} /></td>
              <td data-label="On"><span>{one.resource} <span className="quiet">through {one.door}</span></span></td>
              <td data-label="As">{one.role}</td>
              <td data-label="Client"><span>{one.application && <Plain text={one.application} />} <span className="quiet">{one.address}</span></span></td>
              <td data-label="Since">
                <span>
                  <Ago at={one.opened_at} />
                  {one.paused && <span className="small" style={{ display: "block" }}><State of="paused" /> <span className="quiet">by {one.paused.display}, <Ago at={one.paused.at} /></span></span>}
                  {one.state === "ended" && <span className="small quiet">, {one.ending ? ending(one.ending) : "ended"}</span>}
                </span>
              </td>
              <td className="end">{one.can.end && <Button size="xs" variant="default" onClick={() => end(one)}>End</Button>}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {confirm}
    </div>
  );
}
