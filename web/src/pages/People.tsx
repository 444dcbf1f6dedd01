// Who there is: people, services and agents, and who answers for whom.

import { Button, TextInput } from "@mantine/core";
import { IconUserOff } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas } from "../api/client";
import { forget } from "../api/live";
import { directories, principals } from "../api/queries";
import { Face, State, Tags } from "../parts/Bits";
import { useConfirm } from "../parts/Confirm";
import { Blank, Bones, Head, Reading } from "../parts/Page";
import { Ago } from "../parts/Time";
import { failed, said } from "../parts/toast";
import { may, useMe } from "../parts/who";

type Principal = Schemas["Principal"];

const KINDS: Record<Schemas["PrincipalKind"], string> = { user: "person", service: "service", agent: "agent" };

export default function People() {
  const list = useQuery(principals);
  // The directories stand above the people, who would be pushed down by them: both come together.
  const known = useQuery(directories);
  const bones = <Bones rows={5} height={60} />;
  const [sought, setSought] = useState("");
  const fits = (one: Principal): boolean =>
    [one.id, one.name, one.person, one.directory ?? "", ...one.groups, ...one.roles].join(" ").toLowerCase().includes(sought.trim().toLowerCase());
  return (
    <>
      <Head title="People" aside={
        <TextInput aria-label="Find by name, group or role" placeholder="Name, group or role" value={sought} onChange={(event) => setSought(event.currentTarget.value)} />
      }>
        People, services and agents. A service or an agent always has somebody who answers for it.
      </Head>
      {known.isPending ? bones : (
      <Reading of={list} bones={bones}>
        {(items) => {
          const found = items.filter(fits);
          return (
            <>
              <Directories of={known.data ?? []} />
              <div className="sheet">
                {found.length === 0
                  ? <Blank icon={IconUserOff} title="Nobody matches" />
                  : (
                    <table className="grid fold">
                      <thead>
                        <tr><th>Name</th><th>Kind</th><th>Groups</th><th>Holds now</th><th>State</th><th className="end"><span className="unseen">What you can do</span></th></tr>
                      </thead>
                      <tbody>{found.map((one) => <Row key={one.id} of={one} />)}</tbody>
                    </table>
                  )}
              </div>
            </>
          );
        }}
      </Reading>
      )}
    </>
  );
}

/** What follows from how a directory stands, for the people who come from it. */
const FOLLOWS: Record<Schemas["Hearing"], string> = {
  heard: "",
  silent: "Its people begin nothing new until it answers; what they have goes on.",
  lost: "What its people had has ended; they begin again when it answers.",
};

/** Where people come from, if the bundle names any directory. */
function Directories({ of: items }: { of: readonly Schemas["Directory"][] }) {
  if (items.length === 0) return null;
  return (
    <section aria-label="Directories" className="sheet" style={{ marginBottom: 20 }}>
      <table className="grid fold">
        <thead><tr><th>Directory</th><th>Accounts</th><th>Last heard</th><th>State</th></tr></thead>
        <tbody>
          {items.map((one) => (
            <tr key={one.id}>
              <td data-label="Directory"><span><b>{one.title ?? one.id}</b>{one.title && <span className="small quiet" style={{ display: "block" }}>{one.id}</span>}</span></td>
              <td data-label="Accounts"><span>{one.accounts.toLocaleString()}{one.active < one.accounts && <span className="quiet">, {one.active.toLocaleString()} let in</span>}</span></td>
              <td data-label="Last heard">{one.heard_at ? <Ago at={one.heard_at} /> : <span className="quiet">never</span>}</td>
              <td data-label="State"><span><State of={one.state} />{FOLLOWS[one.state] && <span className="small quiet" style={{ display: "block" }}>{FOLLOWS[one.state]}</span>}</span></td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Row({ of }: { of: Principal }) {
  const client = useQueryClient();
  const me = useMe();
  const { ask, confirm } = useConfirm();
  const call = async (how: "disable" | "enable", reason: string): Promise<void> => {
    const params = { path: { name: of.id } };
    try {
      if (how === "disable") await api.POST("/principals/{name}/disable", { params, body: reason ? { reason } : {} });
      else await api.POST("/principals/{name}/enable", { params });
      said(how === "disable" ? `${of.name} is shut out` : `${of.name} is let in again`);
    } catch (error) {
      failed(error as Error);
    }
    forget(client, ["principals", "grants", "sessions"]);
  };
  const disable = (): void => ask({
    title: `Disable ${of.name}?`, label: "Disable", danger: true, run: (reason) => call("disable", reason), reason: { label: "Reason" },
    children: "Their grants end, their sessions are cut within a second, and they are signed out.",
  });
  const enable = (): void => ask({
    title: `Enable ${of.name}?`, label: "Enable", run: () => call("enable", ""),
    children: "They can sign in and ask again. Grants that ended stay ended.",
  });
  const reset = (): void => ask({
    title: `Take away what ${of.name} has bound?`, label: "Take it away", danger: true,
    children: "For somebody who lost their passkeys or their app. They are signed out everywhere, and a password is enough until they bind something again. Make sure that it is they who ask.",
    run: async () => {
      try {
        await api.POST("/principals/{name}/authenticators/reset", { params: { path: { name: of.id } } });
        said(`What ${of.name} had bound counts no more`);
      } catch (error) {
        failed(error as Error);
      }
    },
  });
  // Nobody does it to themselves; whether policy lets it be done to this very person, the gateway judges.
  const resettable = of.kind === "user" && of.person !== me.person && may(me, "authenticator.reset");
  return (
    <tr>
      <td data-label="Name">
        <span className="row" style={{ gap: 10, flexWrap: "nowrap" }}>
          <Face name={of.name} />
          <span><b>{of.name}</b><span className="small quiet" style={{ display: "block" }}>{of.id}</span></span>
        </span>
      </td>
      <td data-label="Kind"><span>{KINDS[of.kind]}{of.owner && <span className="small quiet" style={{ display: "block" }}>{of.owner} answers</span>}{of.directory && <span className="small quiet" style={{ display: "block" }}>from {of.directory}</span>}</span></td>
      <td data-label="Groups">{of.groups.length > 0 && <Tags of={of.groups} />}</td>
      <td data-label="Holds now">{of.roles.length > 0 ? <Tags of={[...new Set(of.roles)]} /> : <span className="quiet">nothing</span>}</td>
      <td data-label="State"><State of={of.state} /></td>
      <td className="end">
        {resettable && <Button size="xs" variant="subtle" onClick={reset}>Reset sign-in</Button>}
        {of.state === "enabled" && of.can.disable && <Button size="xs" variant="default" onClick={disable}>Disable</Button>}
        {of.state === "disabled" && of.can.enable && <Button size="xs" variant="default" onClick={enable}>Enable</Button>}
        {confirm}
      </td>
    </tr>
  );
}
