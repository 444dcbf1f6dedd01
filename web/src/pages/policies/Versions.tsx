// How the bundle came to be: every version, who applied it, who said yes, and what it changed.

import { IconHistory } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";

import type { Schemas } from "../../api/client";
import { bundleFiles, bundleVersions } from "../../api/queries";
import { Copy, Face, Facts, Hash } from "../../parts/Bits";
import { BundleDiff, FilesDiff } from "../../parts/BundleDiff";
import { Blank, Bones, Note, Reading } from "../../parts/Page";
import { Plain } from "../../parts/Sql";
import { Ago, When } from "../../parts/Time";
import { may, useMe } from "../../parts/who";

export function Versions() {
  const list = useQuery(bundleVersions);
  return (
    <Reading of={list} bones={<Bones rows={3} height={76} />}>
      {(items) => (
        <div className="sheet">
          {items.length === 0
            ? <Blank icon={IconHistory} title="No bundle was ever in force" />
            : <ul className="list">{items.map((one) => <Row key={one.version} of={one} />)}</ul>}
        </div>
      )}
    </Reading>
  );
}

function Row({ of }: { of: Schemas["BundleVersion"] }) {
  return (
    <li className="go">
      <Link href={`/policies/versions/${of.version}`}>
        <span className="row apart">
          <span className="row" style={{ gap: 12 }}>
            <Face name={of.by.display} />
            <span>
              <b>Version {of.version}</b>{" "}
              {of.state === "active" && <span className="mark yes">in force</span>}
              <span className="small quiet" style={{ display: "block" }}>
                applied by {of.by.display}
                {of.approvals.length > 0 && <>, approved by {of.approvals.map((one) => one.display).join(", ")}</>}
                {of.approvals.length === 0 && (of.previous === undefined ? ", the first" : ", nobody had to be asked")}
              </span>
            </span>
          </span>
          <Ago at={of.at} />
        </span>
      </Link>
    </li>
  );
}

export function Version({ id }: { id: string }) {
  const list = useQuery(bundleVersions);
  return (
    <Reading of={list} bones={<Bones rows={2} height={200} />}>
      {(items) => {
        const one = items.find((version) => String(version.version) === id);
        return one ? <Shown of={one} /> : <Note tone="warn">There is no version {id}. <Link href="/policies/versions">All versions</Link></Note>;
      }}
    </Reading>
  );
}

function Shown({ of }: { of: Schemas["BundleVersion"] }) {
  const ledgerOpen = may(useMe(), "ledger.read");
  return (
    <div className="stack wide">
      <div className="sheet pad stack">
        <h2>Version {of.version}</h2>
        <Facts
          of={[
            ["Since", <When at={of.at} />],
            ["Applied by", of.by.display],
            ["Approved by", of.approvals.length === 0
              ? of.previous === undefined ? "nobody: the first bundle is a one-time act" : "nobody had to be asked"
              : <ul className="stack tight">{of.approvals.map((one) => (
                <li key={one.by}>{one.display}{one.signed && ", signed"}, <Ago at={one.at} />{one.comment && <p className="said" style={{ fontSize: 15 }}><Plain text={one.comment} /></p>}</li>
              ))}</ul>],
            of.request && ["Request", <Link href={`/requests/${of.request}`} className="mono small">{of.request}</Link>],
            ledgerOpen && ["Record", <Link href={`/ledger/${of.line}`}>line {of.line.toLocaleString()}</Link>],
            ["Hash", <span className="row" style={{ flexWrap: "nowrap" }}><Hash of={of.id} /><Copy value={of.id} what="the hash" /></span>],
          ]}
        />
      </div>
      <section className="part">
        <h2>{of.previous ? `What changed since version ${of.version - 1}` : "What it began with"}</h2>
        {!of.kept
          ? <Note tone="warn">Its files are not in the store any more. The ledger proves by its hash which they were.</Note>
          : of.previous ? <BundleDiff before={of.previous} after={of.id} /> : <First id={of.id} />}
      </section>
    </div>
  );
}

function First({ id }: { id: string }) {
  const read = useQuery(bundleFiles(id));
  return <Reading of={read} bones={<Bones rows={2} height={120} />}>{(of) => <FilesDiff before={{}} after={of.files} />}</Reading>;
}
