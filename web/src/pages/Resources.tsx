// What is protected, as far as one can reach it or could with a role.

import { Button } from "@mantine/core";
import { IconDatabaseOff } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { Link } from "wouter";

import type { Schemas } from "../api/client";
import { resources } from "../api/queries";
import { party } from "../lib/words";
import { Command, Facts, State, Tags } from "../parts/Bits";
import { MintButton } from "../parts/Credential";
import { Blank, Bones, Head, Reading } from "../parts/Page";
import { may, useMe } from "../parts/who";
import Nowhere from "./Nowhere";

const Catalogue = lazy(() => import("./Catalogue"));

const PARTS = [[undefined, "Yours"], ["all", "All resources"], ["roles", "Roles"], ["groups", "Groups"], ["rules", "Approval rules"]] as const;

export default function Resources({ part }: { part: string | undefined }) {
  const open = may(useMe(), "policy.read");
  if (part !== undefined && (!open || !PARTS.some(([one]) => one === part))) return <Nowhere />;
  return (
    <>
      <Head title={open ? "Catalogue" : "Resources"}>{part === undefined ? "What you can reach through the gateway, or could with a role." : "What the bundle in force says there is, who holds what of it, and what is not used."}</Head>
      {open && (
        <nav className="parts-of" aria-label="Parts of the catalogue">
          {PARTS.map(([to, label]) => <Link key={label} href={to ? `/resources/${to}` : "/resources"} aria-current={to === part ? "page" : undefined}>{label}</Link>)}
        </nav>
      )}
      {part === undefined ? <Yours /> : <Suspense fallback={<Bones rows={3} height={120} />}><Catalogue part={part} /></Suspense>}
    </>
  );
}

function Yours() {
  const list = useQuery(resources);
  return (
    <>
      <Reading of={list} bones={<Bones rows={2} height={220} />}>
        {(items) => items.length === 0
          ? <div className="sheet"><Blank icon={IconDatabaseOff} title="None">No role that you hold or may ask for reaches a resource.</Blank></div>
          : <div className="cards" style={{ gridTemplateColumns: "repeat(auto-fill, minmax(min(100%, 420px), 1fr))" }}>{items.map((one) => <Card key={one.id} of={one} />)}</div>}
      </Reading>
    </>
  );
}

const IMPACT: Record<Schemas["Impact"], string> = { high: "wait", moderate: "seal", low: "" };

function Card({ of }: { of: Schemas["Resource"] }) {
  return (
    <article className="sheet held" aria-label={of.id}>
      <div>
        <div className="row apart">
          <h2>{of.id}</h2>
          <State of={of.state} say={of.state === "open" ? "you can connect" : "no live grant"} />
        </div>
        <p className="quiet">{of.title}</p>
      </div>
      <Facts
        of={[
          ["Kind", of.kind],
          ["Impact", <span className={`mark ${IMPACT[of.impact]}`}>{of.impact}</span>],
          of.owner && ["Owner", party(of.owner)],
          of.host && ["Address", <span className="mono small">{of.host}:{of.port}/{of.database}</span>],
          Object.keys(of.labels).length > 0 && ["Labels", <Tags of={Object.entries(of.labels).map(([key, value]) => `${key}: ${value}`)} />],
          ["Roles", <span className="row">{of.roles.map((role) => <Link key={role} href={`/ask?role=${encodeURIComponent(role)}`}>{role}</Link>)}</span>],
        ]}
      />
      {of.host && <Command text={`countersign connect ${of.id}`} what="the command" />}
      <div className="row">
        {of.host && <MintButton resource={of.id} />}
        {of.state === "closed" && of.roles[0] && (
          <Button component={Link} href={`/ask?role=${encodeURIComponent(of.roles[0])}`} size="sm">Ask for access</Button>
        )}
      </div>
    </article>
  );
}
