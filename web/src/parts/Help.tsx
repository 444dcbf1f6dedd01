// Which keys there are.

import { Kbd, Modal, Switch } from "@mantine/core";
import type { ReactNode } from "react";

import { switchKeys, useKeysOn } from "../lib/keys";

const INBOX: readonly [string, string][] = [
  ["j", "Next request"],
  ["k", "Request before"],
  ["Enter", "Open it on a page of its own"],
  ["a", "Approve what is shown"],
  ["d", "Deny with a comment"],
];

export function Help({ opened, close, ways }: {
  opened: boolean; close: () => void; ways: readonly { key: string; label: string }[];
}) {
  const on = useKeysOn();
  return (
    <Modal opened={opened} onClose={close} title="Keys" centered>
      <div className="stack wide">
        <Switch
          label="Single keys do something"
          description="Off, only Tab, Enter and what your browser knows are used"
          checked={on}
          onChange={(event) => switchKeys(event.currentTarget.checked)}
        />
        <div className="two">
          <Group title="Go to">
            {ways.map((way) => <Row key={way.key} keys={way.key.split(" ")} says={way.label} />)}
          </Group>
          <Group title="Inbox and requests">
            {INBOX.map(([key, says]) => <Row key={key} keys={[key]} says={says} />)}
            <Row keys={["Ctrl", "K"]} says="Search or jump to" />
            <Row keys={["/"]} says="The same" />
            <Row keys={["?"]} says="This help" />
          </Group>
        </div>
      </div>
    </Modal>
  );
}

function Group({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="stack tight">
      <h3>{title}</h3>
      <ul className="stack tight">{children}</ul>
    </section>
  );
}

function Row({ keys, says }: { keys: readonly string[]; says: string }) {
  return (
    <li className="row apart">
      <span>{says}</span>
      <span className="row nowrap">{keys.map((key) => <Kbd key={key}>{key}</Kbd>)}</span>
    </li>
  );
}
