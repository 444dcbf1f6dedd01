// My access: what I can use now, what waits for me, what I asked for, what I may ask for.

import { Button } from "@mantine/core";
import { IconInbox, IconKeyOff, IconSend, IconTerminal2 } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "wouter";

import { api, type Grant, type Role } from "../api/client";
import { forget } from "../api/live";
import { grants, inbox, requests, roles } from "../api/queries";
import { words } from "../lib/time";
import { askedOf } from "../lib/words";
import { MINE } from "../parts/answers";
import { Budget, Command, State, Tags } from "../parts/Bits";
import { useConfirm } from "../parts/Confirm";
import { MintButton } from "../parts/Credential";
import { Blank, Bones, Head, Reading } from "../parts/Page";
import { RequestRow } from "../parts/RequestRow";
import { Plain } from "../parts/Sql";
import { Fuse, Left, When } from "../parts/Time";
import { failed, said } from "../parts/toast";
import { useMe } from "../parts/who";

/** How many requests the side shows before it leads to the page that has them all. */
const SHOWN = 4;

export default function Home() {
  const me = useMe();
  return (
    <>
      <Head title="My access" aside={<Button component={Link} href="/ask" leftSection={<IconSend size={17} />}>Ask for access</Button>}>
        What {me.name} can use now, and what is on its way.
      </Head>
      <div className="home">
        <div className="stack" style={{ gap: 32 }}>
          <Usable />
          <Askable />
        </div>
        <div className="stack" style={{ gap: 32 }}>
          <Waiting />
          <Mine />
        </div>
      </div>
    </>
  );
}

function Usable() {
  const held = useQuery(grants({ mine: true, state: "live" }));
  return (
    <section className="part">
      <h2>What you can use now</h2>
      <Reading of={held} bones={<Bones rows={1} height={230} />}>
        {(items) => items.length === 0 ? (
          <div className="sheet">
            <Blank icon={IconKeyOff} title="You hold no role" action={{ to: "/ask", label: "Ask for one" }}>
              Nobody holds access for good. Ask for what you need, for as long as you need it.
            </Blank>
          </div>
        ) : <div className="cards">{items.map((grant) => <Held key={grant.id} grant={grant} />)}</div>}
      </Reading>
    </section>
  );
}

function Held({ grant }: { grant: Grant }) {
  const client = useQueryClient();
  const { ask, confirm } = useConfirm();
  const giveBack = async (): Promise<void> => {
    try {
      await api.POST("/grants/{id}/relinquish", { params: { path: { id: grant.id } } });
      said(`${grant.role} given back`);
    } catch (error) {
      failed(error as Error);
    }
    forget(client, ["grants"]);
  };
  return (
    <article className="sheet held" aria-label={grant.role}>
      <div className="row apart">
        <h3>{grant.role}</h3>
        <Tags of={grant.resources} />
      </div>
      <div className="stack tight">
        <div className="row apart" style={{ alignItems: "baseline" }}>
          <span className="clock"><Left until={grant.not_after} sign={false} /></span>
          <span className="small quiet">until <When at={grant.not_after} /></span>
        </div>
        <Fuse from={grant.not_before} until={grant.not_after} />
      </div>
      {grant.purpose && <p className="small quiet"><Plain text={grant.purpose} /></p>}
      <Budget of={grant} />
      {grant.resources.map((resource) => (
        <div key={resource} className="stack" style={{ gap: 10 }}>
          <Command text={`countersign connect ${resource}`} what="the command" />
          <div className="row apart">
            <span className="row">
              <Button component={Link} href={`/sql/${encodeURIComponent(resource)}`} size="sm" variant="default" leftSection={<IconTerminal2 size={16} />}>Open SQL</Button>
              <MintButton resource={resource} />
            </span>
            {grant.can.relinquish && (
              <Button
                variant="subtle" size="sm"
                onClick={() => ask({
                  title: `Give back ${grant.role}?`, label: "Give back", danger: true, run: giveBack,
                  children: "Sessions that stand on it end within a second. You can ask again at any time.",
                })}
              >
                Give back
              </Button>
            )}
          </div>
        </div>
      ))}
      {confirm}
    </article>
  );
}

function Waiting() {
  const list = useQuery(inbox);
  return (
    <section className={list.data?.length ? "part waits" : "part waits none"}>
      <div className="row apart">
        <h2>Waits for you</h2>
        {(list.data?.length ?? 0) > 0 && <Link href="/inbox" className="small">Open the inbox</Link>}
      </div>
      <div className="sheet">
        <Reading of={list} bones={<Bones rows={1} height={92} />}>
          {(items) => items.length === 0 ? (
            <div className="blank" style={{ padding: "22px 20px" }}>
              <IconInbox size={24} stroke={1.4} aria-hidden="true" />
              <p>Nothing waits for your word.</p>
            </div>
          ) : (
            <ul className="list">
              {items.slice(0, SHOWN).map((one) => <RequestRow key={one.id} of={one} to={`/requests/${one.id}`} />)}
            </ul>
          )}
        </Reading>
      </div>
    </section>
  );
}

function Mine() {
  const list = useQuery(requests(MINE));
  return (
    <section className="part mine">
      <div className="row apart">
        <h2>You asked for</h2>
        <Link href="/requests?mine" className="small">All your requests</Link>
      </div>
      <div className="sheet">
        <Reading of={list} bones={<Bones rows={1} height={92} />}>
          {(items) => items.length === 0 ? (
            <div className="blank" style={{ padding: "22px 20px" }}><p>None of your requests is open.</p></div>
          ) : (
            <ul className="list">
              {items.slice(0, SHOWN).map((one) => <RequestRow key={one.id} of={one} to={`/requests/${one.id}`} mine />)}
            </ul>
          )}
        </Reading>
      </div>
    </section>
  );
}

function Askable() {
  const list = useQuery(roles);
  return (
    <section className="part askable">
      <h2>What you may ask for</h2>
      <Reading of={list} bones={<Bones rows={2} height={88} />}>
        {(items) => (
          <div className="sheet">
            {items.length === 0
              ? <div className="blank"><p>There is no role that you may ask for.</p></div>
              : <ul className="list">{items.map((role) => <Offer key={role.id} role={role} />)}</ul>}
          </div>
        )}
      </Reading>
    </section>
  );
}

function Offer({ role }: { role: Role }) {
  return (
    <li className="row apart">
      <div style={{ flex: "1 1 240px" }}>
        <p className="row"><b>{role.title}</b> {role.state !== "open" && <State of={role.state} />}</p>
        <p className="small quiet">
          {role.id}, up to {words(role.longest_s)},{" "}
          {role.verdict === "hold" ? <>asks {role.asked.map(askedOf).join(" and ")}</> : "given at once"}
        </p>
      </div>
      <Button component={Link} href={`/ask?role=${encodeURIComponent(role.id)}`} variant="default" size="sm" aria-label={`Ask for ${role.id}`}>
        Ask
      </Button>
    </li>
  );
}
