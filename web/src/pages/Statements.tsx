// Statements by whoever sent them, on what, with what words, when, and what was said to them. Read from the ledger, and that
// is a line: so it is read when somebody asks.

import { Button, NativeSelect, TextInput } from "@mantine/core";
import { IconListSearch } from "@tabler/icons-react";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { Link, useSearchParams } from "wouter";

import type { Event } from "../api/client";
import { catalogue, lines, type Looked } from "../api/queries";
import { completion } from "../lib/words";
import { Verdict } from "../parts/Bits";
import { Blank, Bones, Reading } from "../parts/Page";
import { SqlLine } from "../parts/Sql";
import { When } from "../parts/Time";
import { may, useMe } from "../parts/who";

const VERDICTS = [["", "any"], ["allowed", "allowed"], ["held", "held"], ["blocked", "denied"]] as const;
const PERIODS = [["", "any time"], ["1", "the last 24 hours"], ["7", "the last 7 days"], ["30", "the last 30 days"], ["90", "the last 90 days"]] as const;
const FIELDS = ["text", "principal", "resource", "relation", "verdict", "from"] as const;
const DAY_MS = 86_400_000;

type Wanted = Partial<Record<(typeof FIELDS)[number], string>>;

export default function Statements() {
  const [params, setParams] = useSearchParams();
  const wanted: Wanted = {};
  for (const field of FIELDS) {
    const value = params.get(field);
    if (value) wanted[field] = value;
  }
  const asked = Object.keys(wanted).length > 0;
  return (
    <div className="stack">
      <Form key={params.toString()} given={wanted} look={(next) => setParams({ state: "statements", ...next })} />
      {asked ? <Found of={wanted} /> : (
        <div className="sheet"><Blank icon={IconListSearch} title="Look for statements">By who sent them, on what, what they say, and what was said to them. Looking is a line in the ledger.</Blank></div>
      )}
    </div>
  );
}

function Form({ given, look }: { given: Wanted; look: (next: Record<string, string>) => void }) {
  const said = useQuery({ ...catalogue, enabled: may(useMe(), "policy.read") }).data;
  const [form, setForm] = useState<Wanted>(given);
  const [days, setDays] = useState("");
  const set = (field: keyof Wanted, value: string): void => setForm((had) => ({ ...had, [field]: value }));
  const send = (event: FormEvent): void => {
    event.preventDefault();
    const { from: kept, ...rest } = form;
    const from = days === "" ? kept : new Date(Date.now() - Number(days) * DAY_MS).toISOString();
    look(Object.fromEntries(Object.entries({ ...rest, from }).map(([key, value]) => [key, value?.trim() ?? ""]).filter(([, value]) => value)));
  };
  return (
    <form className="sheet pad" onSubmit={send} role="search" aria-label="Statements">
      <div className="filters seeking">
        <TextInput label="Text" placeholder="delete from" value={form.text ?? ""} onChange={(event) => set("text", event.currentTarget.value)} spellCheck={false} />
        <TextInput label="Relation" placeholder="orders" value={form.relation ?? ""} onChange={(event) => set("relation", event.currentTarget.value)} spellCheck={false} />
        <TextInput label="Who" placeholder="alice" value={form.principal ?? ""} onChange={(event) => set("principal", event.currentTarget.value)} spellCheck={false} />
        {said
          ? <NativeSelect label="On" value={form.resource ?? ""} onChange={(event) => set("resource", event.currentTarget.value)} data={[{ value: "", label: "anything" }, ...said.resources.map((one) => one.id)]} />
          : <TextInput label="On" placeholder="shop" value={form.resource ?? ""} onChange={(event) => set("resource", event.currentTarget.value)} spellCheck={false} />}
        <NativeSelect label="Verdict" value={form.verdict ?? ""} onChange={(event) => set("verdict", event.currentTarget.value)} data={VERDICTS.map(([value, label]) => ({ value, label }))} />
        <NativeSelect
          label="When" value={days} onChange={(event) => setDays(event.currentTarget.value)}
          data={PERIODS.map(([value, label]) => ({ value, label: value === "" && form.from ? `since ${new Date(form.from).toLocaleDateString()}` : label }))}
        />
      </div>
      <div className="row"><Button type="submit" size="sm">Find</Button>{Object.keys(given).length > 0 && <Button variant="subtle" size="sm" onClick={() => look({})}>Clear</Button>}</div>
    </form>
  );
}

function Found({ of }: { of: Wanted }) {
  const { verdict, ...rest } = of;
  const looked: Looked = { ...rest, type: verdict ? `action.${verdict}` : "action" };
  const read = useInfiniteQuery(lines(looked));
  return (
    <Reading of={read} bones={<Bones rows={5} height={72} />}>
      {({ pages }) => {
        const items = pages.flatMap((page) => page.items).filter((one) => one.type !== "action.completed" && one.type !== "action.concluded");
        return (
          <div className="sheet">
            {items.length === 0
              ? <Blank icon={IconListSearch} title={read.hasNextPage ? "None among these" : "None was found"}>{read.hasNextPage ? "There are older ones to look through." : "Take something away, or look for something else."}</Blank>
              : <ul className="list">{items.map((one) => <Row key={one.seq} of={one} />)}</ul>}
            {read.hasNextPage && (
              <div className="row" style={{ justifyContent: "center", padding: 14 }}>
                <Button variant="default" loading={read.isFetchingNextPage} onClick={() => void read.fetchNextPage()}>Look through older ones</Button>
              </div>
            )}
          </div>
        );
      }}
    </Reading>
  );
}

function Row({ of }: { of: Event }) {
  const how = completion(of);
  return (
    <li className="stack tight">
      <span className="row apart">
        <span className="row"><Verdict of={of} /><b>{of.actor}</b><span className="quiet small">on {of.resource}{of.role && <> as {of.role}</>}</span></span>
        <span className="row small quiet">
          <When at={of.at} />
          {of.session && <Link href={`/sessions/${of.session}`}>session</Link>}
          {of.request && <Link href={`/requests/${of.request}`}>request</Link>}
          <Link href={`/ledger/${of.seq}`} className="figures">line {of.seq}</Link>
        </span>
      </span>
      {of.text === undefined ? <p className="small quiet">Its text was erased, or is with the request.</p> : <SqlLine text={of.text} />}
      {how && <p className="small quiet">{how}</p>}
    </li>
  );
}
