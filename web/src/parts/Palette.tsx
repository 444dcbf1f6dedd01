// One field for everything: where to go, what to ask for, whom to look up, what to look for.

import { Kbd, Modal } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Fragment, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { useLocation } from "wouter";

import type { Me } from "../api/client";
import { inbox, principals, resources, roles } from "../api/queries";
import { find, meant, type Item } from "../lib/palette";
import { wants } from "../lib/words";
import { may } from "./who";

import "../style/palette.css";

export default function Palette({ me, ways, close }: { me: Me; ways: readonly { to: string; label: string; key: string }[]; close: () => void }) {
  return (
    <Modal opened onClose={close} withCloseButton={false} padding={0} size={620} yOffset="12vh" title="Search or jump to" classNames={{ header: "unseen" }}>
      <Field me={me} ways={ways} close={close} />
    </Modal>
  );
}

function useItems(me: Me, ways: readonly { to: string; label: string; key: string }[]): Item[] {
  const asked = useQuery(roles).data;
  const reached = useQuery(resources).data;
  const waiting = useQuery(inbox).data;
  const people = useQuery({ ...principals, enabled: may(me, "principal.read") }).data;
  return useMemo(() => {
    const month = new Date(Date.now() - 30 * 86_400_000).toISOString();
    const period = `from=${month}&until=${new Date().toISOString()}`;
    const told = may(me, "ledger.read");
    return [
      ...ways.map((way): Item => ({ id: `go ${way.to}`, group: "Go to", label: way.label, keys: way.key, to: way.to })),
      { id: "go account", group: "Go to", label: "Account and sign-ins", to: "/account" },
      ...(may(me, "policy.read") ? [{ id: "try", group: "Go to", label: "Try what policy would say", to: "/policies/try" }] : []),
      ...(waiting ?? []).map((one): Item => ({ id: one.id, group: "Waits for your word", label: `${one.by.display} ${wants(one)}`, detail: one.reason ?? "", to: `/inbox?r=${one.id}` })),
      ...(asked ?? []).map((role): Item => ({ id: `ask ${role.id}`, group: "Ask for", label: role.id, detail: role.title, to: `/ask?role=${encodeURIComponent(role.id)}` })),
      ...(reached ?? []).map((one): Item => ({ id: `resource ${one.id}`, group: "Resources", label: one.id, detail: one.title, to: "/resources" })),
      ...(told ? (reached ?? []).map((one): Item => ({ id: `who ${one.id}`, group: "Who could, who did", label: `Who used ${one.id}`, to: `/accesses?resource=${encodeURIComponent(one.id)}&${period}` })) : []),
      ...(told ? (people ?? []).map((one): Item => ({ id: `did ${one.id}`, group: "Who could, who did", label: `What ${one.name} did`, detail: one.id, to: `/accesses?person=${encodeURIComponent(one.person)}&${period}` })) : []),
    ];
  }, [me, ways, asked, reached, waiting, people]);
}

function Field({ me, ways, close }: { me: Me; ways: readonly { to: string; label: string; key: string }[]; close: () => void }) {
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const [, go] = useLocation();
  const items = useItems(me, ways);
  const found = useMemo(() => [...find(items, query), ...meant(query, (action) => may(me, action))], [items, query, me]);
  const list = useRef<HTMLDivElement>(null);
  const shown = Math.min(at, Math.max(0, found.length - 1));
  const choose = (item: Item | undefined): void => {
    if (!item) return;
    close();
    go(item.to);
  };
  const move = (to: number): void => {
    const next = (to + found.length) % Math.max(1, found.length);
    setAt(next);
    list.current?.querySelector(`#option-${next}`)?.scrollIntoView({ block: "nearest" });
  };
  const steer = (event: KeyboardEvent): void => {
    const steps: Record<string, () => void> = {
      ArrowDown: () => move(shown + 1), ArrowUp: () => move(shown - 1), Home: () => move(0), End: () => move(found.length - 1), Enter: () => choose(found[shown]),
    };
    const step = steps[event.key];
    if (!step || event.nativeEvent.isComposing) return;
    event.preventDefault();
    step();
  };
  return (
    <div className="palette">
      <div className="field">
        <IconSearch size={19} stroke={1.8} aria-hidden="true" />
        <input
          data-autofocus value={query} placeholder="Search, or jump to" aria-label="Search or jump to" role="combobox" aria-expanded="true" aria-controls="found"
          aria-activedescendant={found.length > 0 ? `option-${shown}` : undefined} aria-autocomplete="list" spellCheck={false} autoComplete="off"
          onChange={(event) => { setQuery(event.currentTarget.value); setAt(0); }} onKeyDown={steer}
        />
        <Kbd>Esc</Kbd>
      </div>
      <div id="found" role="listbox" aria-label="What fits" ref={list} className="found">
        {found.map((item, i) => (
          <Fragment key={item.id}>
            {item.group !== found[i - 1]?.group && <p className="label" role="presentation">{item.group}</p>}
            <div id={`option-${i}`} role="option" aria-selected={i === shown} onMouseMove={() => setAt(i)} onClick={() => choose(item)}>
              <span><b>{item.label}</b>{item.detail && <span className="small quiet"> {item.detail}</span>}</span>
              {item.keys && <span className="row nowrap">{item.keys.split(" ").map((key, j) => <Kbd key={j}>{key}</Kbd>)}</span>}
            </div>
          </Fragment>
        ))}
        {found.length === 0 && <p className="quiet none" role="presentation">Nothing fits.</p>}
      </div>
    </div>
  );
}
