// Connections through the doors: who is on what, and who was.

import { Button } from "@mantine/core";
import { IconPlugConnectedX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useSearchParams } from "wouter";

import type { Session } from "../api/client";
import { sessions } from "../api/queries";
import { ending } from "../lib/words";
import { Named } from "../parts/Bits";
import { useEndSession } from "../parts/endSession";
import { Blank, Bones, Head, Reading } from "../parts/Page";
import { Plain } from "../parts/Sql";
import { Ago } from "../parts/Time";

export default function Sessions() {
  const [params, setParams] = useSearchParams();
  const state = params.get("state") === "ended" ? "ended" : "live";
  const list = useQuery(sessions(state));
  return (
    <>
      <Head title="Sessions">One client connection through a door.</Head>
      <div className="pick" role="radiogroup" aria-label="State" style={{ marginBottom: 16 }}>
        {(["live", "ended"] as const).map((one) => (
          <label key={one}>
            <input type="radio" name="state" checked={state === one} onChange={() => setParams({ state: one }, { replace: true })} />
            <span>{one === "live" ? "Live" : "Ended"}</span>
          </label>
        ))}
      </div>
      <Reading of={list} bones={<Bones rows={3} height={64} />}>
        {(items) => items.length === 0 ? (
          <div className="sheet">
            <Blank icon={IconPlugConnectedX} title={state === "live" ? "Nobody is connected" : "None has ended"}>
              Sessions that you may see appear here by themselves.
            </Blank>
          </div>
        ) : <Table items={items} />}
      </Reading>
    </>
  );
}

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
