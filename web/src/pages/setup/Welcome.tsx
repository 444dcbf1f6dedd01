// First steps: from a gateway that was just set up to a first statement that waits.

import { Button } from "@mantine/core";
import { IconCheck, IconDatabaseOff } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "wouter";

import "../../style/setup.css";
import { grants, requests, resources, roles } from "../../api/queries";
import { Command } from "../../parts/Bits";
import { Blank, Bones, Head, Reading } from "../../parts/Page";

/** Harmless, needs no table, and may not be proved to be a read: so it waits. */
const FIRST = "SELECT pg_notify('countersign', 'a first statement')";

export default function Welcome() {
  const bases = useQuery(resources);
  return (
    <>
      <Head title="First steps">From here to a statement that waits for somebody’s word: four steps, for two people.</Head>
      <Reading of={bases} bones={<Bones rows={4} height={110} />}>
        {(items) => {
          const first = items.find((one) => one.kind === "postgres");
          return first ? <Steps resource={first.id} /> : (
            <div className="sheet"><Blank icon={IconDatabaseOff} title="There is no database that you may see">Whoever looks after the policies can change that.</Blank></div>
          );
        }}
      </Reading>
    </>
  );
}

function Steps({ resource }: { resource: string }) {
  const offered = useQuery(roles);
  const held = useQuery(grants({ mine: true, state: "live" }));
  const asked = useQuery(requests({ mine: true, state: "all", limit: 50 }));
  const role = (offered.data ?? []).find((one) => one.resources.includes(resource) && one.actions.some((action) => action === "sql.call"));
  const access = (asked.data ?? []).find((one) => one.kind === "access");
  const holds = (held.data ?? []).some((one) => one.resources.includes(resource));
  const statement = (asked.data ?? []).find((one) => one.kind === "action");
  const wish = new URLSearchParams({ role: role?.id ?? "", for: "30m", reason: "See a first statement that waits" });
  const waits = access?.state === "pending";
  return (
    <ol className="first-steps">
      <Part title="Ask for access" done={access !== undefined}>
        <p>Nobody has access for good, you neither. Ask for <b className="mono">{role?.id ?? "a role"}</b>, for half an hour.</p>
        {!access && <div><Button component={Link} href={`/ask?${wish}`}>Ask for it</Button></div>}
      </Part>
      <Part title="Have it approved" done={holds || access?.state === "approved"}>
        <p>Whoever you invited finds it in their inbox, as soon as they have opened their link and made a passkey. Nobody answers their own request.</p>
        {waits && access && <div><Button component={Link} href={`/requests/${access.id}`} variant="default">See how it stands</Button></div>}
      </Part>
      <Part title="Run something that may change something" done={statement !== undefined}>
        <p>In the console’s own SQL page, or with <span className="mono">psql</span>. This one changes nothing, but nobody can prove that of any function, so it waits:</p>
        <Command text={FIRST} what="the statement" prompt={false} />
        {holds && !statement && <div><Button component={Link} href={`/sql/${encodeURIComponent(resource)}`}>Open SQL</Button></div>}
      </Part>
      <Part title="See it wait, and go on" done={statement?.state === "approved"}>
        <p>It waits in place. The other one sees exactly what will run, and says yes; then exactly that runs, once. All of it is in the <Link href="/ledger">ledger</Link>.</p>
        {statement && <div><Button component={Link} href={`/requests/${statement.id}`} variant="default">Look at the request</Button></div>}
      </Part>
    </ol>
  );
}

function Part({ title, done, children }: { title: string; done: boolean; children: ReactNode }) {
  return (
    <li className={done ? "sheet pad done" : "sheet pad"}>
      <h2>{title}{done && <span className="mark yes"><IconCheck size={14} stroke={2.4} aria-hidden="true" /> done</span>}</h2>
      <div className="stack">{children}</div>
    </li>
  );
}
