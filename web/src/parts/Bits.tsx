// Small things that stand in many places.

import { ActionIcon, CopyButton, Tooltip } from "@mantine/core";
import {
  IconBan, IconCheck, IconClockPause, IconCopy, IconHourglass, IconPlayerPause, IconPlayerStop, IconPlugConnected, IconX, type Icon,
} from "@tabler/icons-react";
import { Fragment, type ReactNode } from "react";
import { Link } from "wouter";

import type { Event, Grant } from "../api/client";
import { budgetLeft, initials, verdict } from "../lib/words";

type Tone = "yes" | "wait" | "no" | "seal" | "";

const MARKS: Record<string, readonly [Tone, Icon, string?]> = {
  pending: ["wait", IconHourglass, "waiting"],
  hold: ["wait", IconHourglass, "held"],
  approved: ["yes", IconCheck],
  allow: ["yes", IconCheck, "allowed"],
  success: ["yes", IconCheck],
  denied: ["no", IconX],
  deny: ["no", IconX, "denied"],
  failure: ["no", IconX],
  lapsed: ["", IconClockPause],
  withdrawn: ["", IconBan],
  void: ["no", IconBan],
  live: ["yes", IconPlugConnected],
  expired: ["", IconClockPause],
  revoked: ["no", IconBan],
  relinquished: ["", IconBan, "given back"],
  paused: ["wait", IconPlayerPause],
  ended: ["", IconPlayerStop],
  open: ["yes", IconPlugConnected],
  held: ["yes", IconCheck],
  asked: ["wait", IconHourglass],
  closed: ["", IconBan],
  enabled: ["yes", IconCheck],
  disabled: ["no", IconBan],
  heard: ["yes", IconCheck],
  silent: ["wait", IconClockPause],
  lost: ["no", IconX],
  sequenced: ["wait", IconHourglass],
  integrated: ["seal", IconCheck],
  published: ["yes", IconCheck],
};

/** A state: a sign, a colour and a word, so that none of them carries it alone. */
export function State({ of, say }: { of: string; say?: string }) {
  const [tone, Sign, word] = MARKS[of] ?? ["", IconCheck];
  return (
    <span className={`mark ${tone}`}>
      <Sign size={14} stroke={2.2} aria-hidden="true" />
      {say ?? word ?? of}
    </span>
  );
}

/** How a line of the ledger says it went. */
export function Verdict({ of }: { of: Event }) {
  const said = verdict(of);
  return said ? <State of={said} /> : null;
}

export function Face({ name, big = false }: { name: string; big?: boolean }) {
  return <span className={big ? "face big" : "face"} aria-hidden="true">{initials(name)}</span>;
}

/** Somebody in a list: how people call them, and the name that commands take. */
export function Named({ id, display, to }: { id: string; display: string; to?: string }) {
  return (
    <span>
      {to ? <Link href={to}><b>{display}</b></Link> : <b>{display}</b>}
      {display !== id && <span className="small quiet" style={{ display: "block" }}>{id}</span>}
    </span>
  );
}

/** What is left to take under a grant, where that is limited. */
export function Budget({ of }: { of: Grant }) {
  const left = budgetLeft(of);
  if (left.length === 0) return null;
  return <p className="small quiet">{left.join(", ")} left</p>;
}

export function Tags({ of }: { of: readonly string[] }) {
  return <span className="tags">{of.map((tag) => <span key={tag} className="tag">{tag}</span>)}</span>;
}

export function Copy({ value, what }: { value: string; what: string }) {
  return (
    <CopyButton value={value} timeout={1600}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? "Copied" : `Copy ${what}`}>
          <ActionIcon variant="subtle" color="gray" size={36} onClick={copy} aria-label={copied ? "Copied" : `Copy ${what}`}>
            {copied ? <IconCheck size={17} /> : <IconCopy size={17} />}
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  );
}

/** Something to type or paste elsewhere. */
export function Command({ text, what, prompt = true, shown }: {
  text: string; what: string; prompt?: boolean; shown?: string;
}) {
  return (
    <div className="command">
      <code>{prompt && <span className="prompt" aria-hidden="true">$ </span>}{shown ?? text}</code>
      <Copy value={text} what={what} />
    </div>
  );
}

/** A digest, which may be broken between its quarters only. */
export function Hash({ of }: { of: string }) {
  const quarters = of.match(/.{1,16}/g) ?? [of];
  return <span className="mono small hash">{quarters.map((one, i) => <Fragment key={i}>{i > 0 && <wbr />}{one}</Fragment>)}</span>;
}

export function Facts({ of }: { of: readonly (readonly [string, ReactNode] | false | undefined | null | "")[] }) {
  return (
    <dl className="facts">
      {of.map((fact) => fact && fact[1] !== undefined && fact[1] !== null && (
        <div key={fact[0]} style={{ display: "contents" }}>
          <dt>{fact[0]}</dt>
          <dd>{fact[1]}</dd>
        </div>
      ))}
    </dl>
  );
}
