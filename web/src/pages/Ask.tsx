// Ask for a role. Before sending one sees who will be asked and what policy says.

import { Button, Textarea, TextInput } from "@mantine/core";
import { IconKeyOff } from "@tabler/icons-react";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, type FormEvent } from "react";
import { useLocation, useSearchParams } from "wouter";

import { api, body, type Role, type Schemas } from "../api/client";
import { forget } from "../api/live";
import { preview, roles } from "../api/queries";
import { seconds, words } from "../lib/time";
import { askedOf } from "../lib/words";
import { State, Tags } from "../parts/Bits";
import { Blank, Bones, Fault, Head, Note, Reading, sentence } from "../parts/Page";
import { failed } from "../parts/toast";

const USUAL = ["15m", "30m", "1h", "2h", "4h", "8h"];

/** From how many roles on a list can be searched. */
const MANY = 6;

export default function Ask() {
  const list = useQuery(roles);
  return (
    <>
      <Head title="Ask">For a role, for a while, for a reason. Your clock starts when it is granted, not now.</Head>
      <Reading of={list} bones={<Bones rows={3} height={110} />}>
        {(items) => items.length === 0 ? (
          <div className="sheet">
            <Blank icon={IconKeyOff} title="There is no role that you may ask for">
              Policies say who may ask for which role. Whoever looks after them can change that.
            </Blank>
          </div>
        ) : <Form roles={items} />}
      </Reading>
    </>
  );
}

function Form({ roles: list }: { roles: readonly Role[] }) {
  const [given] = useSearchParams();
  const [, go] = useLocation();
  const client = useQueryClient();
  const named = list.find((role) => role.id === given.get("role"));
  const [role, setRole] = useState(named ?? (list.length === 1 ? list[0] : undefined));
  const [lasting, setLasting] = useState(given.get("for") ?? "30m");
  const [reason, setReason] = useState(given.get("reason") ?? "");
  const [ticket, setTicket] = useState(given.get("ticket") ?? "");
  const [busy, setBusy] = useState(false);
  const length = seconds(lasting);
  const wrong = wrongLength(length, role);

  const send = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    if (!role || wrong || reason.trim() === "") return;
    setBusy(true);
    try {
      const asked = { role: role.id, for: lasting.trim(), reason: reason.trim(), ...(ticket.trim() ? { ticket: ticket.trim() } : {}) };
      const made = await body(api.POST("/requests", { body: asked }));
      forget(client, ["requests", "grants"]);
      go(`/requests/${made.id}`);
    } catch (error) {
      failed(error as Error);
      setBusy(false);
    }
  };
  return (
    <div className="ask">
      <form onSubmit={(event) => void send(event)}>
        <Roles list={list} chosen={role} choose={setRole} missing={given.get("role") !== null && !named ? given.get("role") : null} />
        <Lasting value={lasting} set={setLasting} longest={role?.longest_s} wrong={wrong} />
        <Textarea
          label="Purpose" description="What you will do, in a sentence. Approvers decide on it, and it stays in the record."
          value={reason} onChange={(event) => setReason(event.currentTarget.value)} autosize minRows={3} maxLength={2000}
          size="md" required withAsterisk={false}
        />
        <TextInput
          label="Ticket" description="If there is one" value={ticket} maxLength={200} size="md"
          onChange={(event) => setTicket(event.currentTarget.value)}
        />
        <div className="row">
          <Button type="submit" size="md" loading={busy} disabled={!role || wrong !== undefined}>
            Ask{role ? ` for ${role.id}` : ""}
          </Button>
        </div>
      </form>
      <aside className="aside" aria-label="What follows">
        <Follows role={role} lasting={wrong ? undefined : lasting.trim()} />
      </aside>
    </div>
  );
}

function wrongLength(length: number | undefined, role: Role | undefined): string | undefined {
  if (length === undefined) return "Write a duration like 45m or 1h30m";
  if (role && length > role.longest_s) return `${role.id} is held for ${words(role.longest_s)} at most`;
  return undefined;
}

function Roles({ list, chosen, choose, missing }: {
  list: readonly Role[]; chosen: Role | undefined; choose: (role: Role) => void; missing: string | null;
}) {
  const [sought, setSought] = useState("");
  const fits = (role: Role): boolean =>
    [role.id, role.title, ...role.resources, ...role.actions].join(" ").toLowerCase().includes(sought.trim().toLowerCase());
  return (
    <fieldset>
      <legend>Role</legend>
      <div className="stack">
        {missing && <Note tone="warn">There is no role <b>{missing}</b> that you may ask for.</Note>}
        {list.length > MANY && (
          <TextInput aria-label="Find a role" placeholder="By role, resource or action" value={sought}
            onChange={(event) => setSought(event.currentTarget.value)} />
        )}
        {list.filter(fits).map((role) => (
          <label key={role.id} className="sheet card">
            <input type="radio" name="role" value={role.id} checked={chosen?.id === role.id} onChange={() => choose(role)} />
            <span className="row apart">
              <b>{role.title}</b>
              <span className="row">
                {role.state !== "open" && <State of={role.state} />}
                {role.impact && <span className="small quiet">{role.impact} impact</span>}
              </span>
            </span>
            <span className="small quiet">{role.id} on {role.resources.join(", ")}, up to {words(role.longest_s)}</span>
            <Tags of={role.actions} />
          </label>
        ))}
        {!list.some(fits) && <p className="quiet">No role matches.</p>}
      </div>
    </fieldset>
  );
}

function Lasting({ value, set, longest, wrong }: {
  value: string; set: (value: string) => void; longest: number | undefined; wrong: string | undefined;
}) {
  const usual = USUAL.filter((one) => longest === undefined || (seconds(one) ?? 0) <= longest);
  return (
    <fieldset>
      <legend>For how long</legend>
      <div className="row" style={{ alignItems: "flex-start", gap: 12 }}>
        <div className="pick">
          {usual.map((one) => (
            <label key={one}>
              <input type="radio" name="lasting" checked={value === one} onChange={() => set(one)} />
              <span>{one}</span>
            </label>
          ))}
        </div>
        <TextInput
          aria-label="Another duration" value={value} onChange={(event) => set(event.currentTarget.value)} w={130}
          error={wrong} styles={{ error: { width: "max-content", maxWidth: "60vw" } }}
        />
      </div>
    </fieldset>
  );
}

/** How long typing must rest before policy is asked. */
const REST_MS = 250;

function useRested<T>(value: T): T {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), REST_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return rested;
}

function Follows({ role, lasting }: { role: Role | undefined; lasting: string | undefined }) {
  const rested = useRested(lasting);
  const seen = useQuery({
    ...preview(role?.id ?? "", rested ?? ""),
    enabled: role !== undefined && rested !== undefined,
    placeholderData: keepPreviousData,
  });
  return (
    <div className="sheet pad stack" aria-live="polite" style={{ minHeight: 190 }}>
      <h2>What follows</h2>
      {!role || !lasting
        ? <p className="quiet">{role ? "Say for how long." : "Choose a role to see who will be asked."}</p>
        : seen.error ? <Fault error={seen.error} />
          : seen.data ? <Seen of={seen.data} /> : <Bones rows={1} height={90} />}
    </div>
  );
}

function Seen({ of }: { of: Schemas["Preview"] }) {
  const says = {
    allow: ["You get it at once", "good"],
    hold: ["Somebody has to say yes first", "calm"],
    deny: ["It would be denied", "bad"],
  } as const;
  const [title, tone] = says[of.verdict];
  return (
    <>
      <Note tone={tone}><b>{title}</b>{of.reason && <p>{sentence(of.reason)}</p>}</Note>
      {of.asked.length > 0 && (
        <div className="stack tight">
          <h3 className="quiet">Who is asked</h3>
          <ul>{of.asked.map((one) => <li key={one}>{askedOf(one)}</li>)}</ul>
        </div>
      )}
      {of.asked.some((one) => one.endsWith("(nobody)")) && (
        <Note tone="warn"><b>Nobody can say yes now.</b> Nobody answers a request of their own. It would wait until it lapses.</Note>
      )}
      {of.verdict !== "deny" && <p className="small quiet">For {words(of.for_s)}, counted from the yes.</p>}
      {of.rules.length > 0 && <p className="small quiet">Rule <span className="mono">{of.rules.join(", ")}</span></p>}
    </>
  );
}
