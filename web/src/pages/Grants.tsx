// Who holds what, until when, and why.

import { Button } from "@mantine/core";
import { IconKeyOff } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useSearchParams } from "wouter";

import { api, type Grant, type Schemas } from "../api/client";
import { forget } from "../api/live";
import { grants } from "../api/queries";
import { Budget, Named, State, Tags } from "../parts/Bits";
import { useConfirm } from "../parts/Confirm";
import { Blank, Bones, Head, Reading } from "../parts/Page";
import { Plain } from "../parts/Sql";
import { Ago, Left, When } from "../parts/Time";
import { failed, said } from "../parts/toast";

const STATES: readonly Schemas["GrantState"][] = ["live", "expired", "revoked", "relinquished"];
const WORDS: Record<Schemas["GrantState"], string> = { live: "Live", expired: "Expired", revoked: "Revoked", relinquished: "Given back" };

export default function Grants() {
  const [params, setParams] = useSearchParams();
  const state = STATES.find((one) => one === params.get("state")) ?? "live";
  const list = useQuery(grants({ state }));
  return (
    <>
      <Head title="Grants">A grant is a live, time-bound membership in a role. When it ends, what stands on it is cut.</Head>
      <div className="pick" role="radiogroup" aria-label="State" style={{ marginBottom: 16 }}>
        {STATES.map((one) => (
          <label key={one}>
            <input type="radio" name="state" checked={state === one} onChange={() => setParams({ state: one }, { replace: true })} />
            <span>{WORDS[one]}</span>
          </label>
        ))}
      </div>
      <Reading of={list} bones={<Bones rows={3} height={64} />}>
        {(items) => items.length === 0 ? (
          <div className="sheet">
            <Blank icon={IconKeyOff} title="None" action={{ to: "/ask", label: "Ask for access" }}>
              {state === "live" ? "Nobody whom you may see holds a role." : "No grant that you may see ended this way."}
            </Blank>
          </div>
        ) : <Table items={items} live={state === "live"} />}
      </Reading>
    </>
  );
}

function Table({ items, live }: { items: readonly Grant[]; live: boolean }) {
  return (
    <div className="sheet">
      <table className="grid fold">
        <thead>
          <tr>
            <th>Who</th><th>Role</th><th>Reaches</th><th>Purpose</th><th>{live ? "Time left" : "Ended"}</th>
            <th className="end"><span className="unseen">What you can do</span></th>
          </tr>
        </thead>
        <tbody>{items.map((grant) => <Row key={grant.id} grant={grant} live={live} />)}</tbody>
      </table>
    </div>
  );
}

function Row({ grant, live }: { grant: Grant; live: boolean }) {
  const client = useQueryClient();
  const { ask, confirm } = useConfirm();
  const end = async (how: "revoke" | "relinquish", reason: string): Promise<void> => {
    const params = { path: { id: grant.id } };
    try {
      if (how === "revoke") await api.POST("/grants/{id}/revoke", { params, body: reason ? { reason } : {} });
      else await api.POST("/grants/{id}/relinquish", { params });
      said(how === "revoke" ? "Revoked" : "Given back", `${grant.role} of ${grant.display}`);
    } catch (error) {
      failed(error as Error);
    }
    forget(client, ["grants", "sessions"]);
  };
  const revoke = (): void => ask({
    title: `Revoke ${grant.role} of ${grant.display}?`, label: "Revoke", danger: true, run: (reason) => end("revoke", reason),
    children: "Every session that stands on it is cut within a second, a running query is cancelled.",
    reason: { label: "Reason" },
  });
  const relinquish = (): void => ask({
    title: `Give back ${grant.role}?`, label: "Give back", danger: true, run: () => end("relinquish", ""),
    children: "Sessions that stand on it end within a second.",
  });
  return (
    <tr>
      <td data-label="Who"><Named id={grant.principal} display={grant.display} /></td>
      <td data-label="Role">{grant.role}</td>
      <td data-label="Reaches"><Tags of={grant.resources} /></td>
      <td data-label="Purpose">
        <Link href={`/requests/${grant.request}`}>{grant.purpose ? <Plain text={grant.purpose} /> : "request"}</Link>
      </td>
      <td data-label={live ? "Time left" : "Ended"}>
        {live ? <><Left until={grant.not_after} over="ends now" /><Budget of={grant} /></>
          : grant.ended ? <span className="small"><Ago at={grant.ended.at} /> by {grant.ended.display}</span>
            : <span className="row"><State of={grant.state} /><When at={grant.not_after} /></span>}
      </td>
      <td className="end">
        {grant.can.relinquish && live
          ? <Button size="xs" variant="default" onClick={relinquish}>Give back</Button>
          : grant.can.revoke && live && <Button size="xs" variant="default" onClick={revoke}>Revoke</Button>}
        {confirm}
      </td>
    </tr>
  );
}
