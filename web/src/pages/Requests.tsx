// Requests in every state, as far as one may see them.

import { Switch } from "@mantine/core";
import { IconStack2 } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useSearchParams } from "wouter";

import { requests, type RequestStates } from "../api/queries";
import { Blank, Bones, Head, Reading } from "../parts/Page";
import { RequestRow } from "../parts/RequestRow";

const STATES: readonly (readonly [RequestStates | "", string])[] = [
  ["", "Open"], ["approved", "Approved"], ["denied", "Denied"], ["lapsed", "Lapsed"], ["withdrawn", "Withdrawn"], ["void", "Void"],
  ["all", "All"],
];

export default function Requests() {
  const [params, setParams] = useSearchParams();
  const mine = params.has("mine");
  const state = STATES.find(([state]) => state === (params.get("state") ?? ""))?.[0] ?? "";
  const list = useQuery(requests({ ...(mine ? { mine } : {}), ...(state ? { state } : {}), limit: 200 }));
  const show = (to: { mine: boolean; state: string }): void =>
    setParams({ ...(to.mine ? { mine: "" } : {}), ...(to.state ? { state: to.state } : {}) }, { replace: true });
  return (
    <>
      <Head title="Requests">Questions that needed another person's word.</Head>
      <div className="row apart" style={{ marginBottom: 16 }}>
        <div className="pick" role="radiogroup" aria-label="State">
          {STATES.map(([one, label]) => (
            <label key={label}>
              <input type="radio" name="state" checked={state === one} onChange={() => show({ mine, state: one })} />
              <span>{label}</span>
            </label>
          ))}
        </div>
        <Switch label="Only mine" checked={mine} onChange={(event) => show({ mine: event.currentTarget.checked, state })} />
      </div>
      <Reading of={list} bones={<Bones rows={4} height={88} />}>
        {(items) => (
          <div className="sheet">
            {items.length === 0
              ? <Blank icon={IconStack2} title="None">No request in this state that you may see.</Blank>
              : <ul className="list">{items.map((one) => <RequestRow key={one.id} of={one} to={`/requests/${one.id}`} mine={mine} />)}</ul>}
          </div>
        )}
      </Reading>
    </>
  );
}
