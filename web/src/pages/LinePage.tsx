// One line of the ledger: what it says, what it commits to, and the proof that it stands where it stands.

import { Button } from "@mantine/core";
import { IconDownload } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "wouter";

import type { Schemas } from "../api/client";
import { line } from "../api/queries";
import { check, type Finding } from "../lib/proof";
import { ledgerKeeper } from "../parts/Keeping";
import { baseOf, titleOf } from "../lib/controls";
import { completion } from "../lib/words";
import { Command, Copy, Facts, State, Verdict } from "../parts/Bits";
import { Bones, Head, Note, Reading } from "../parts/Page";
import { Plain, SqlLine } from "../parts/Sql";
import { When } from "../parts/Time";

type Detail = Schemas["EventDetail"];

export default function LinePage({ seq }: { seq: string }) {
  const number = /^\d{1,15}$/.test(seq) ? Number(seq) : Number.NaN;
  const one = useQuery({ ...line(number), enabled: !Number.isNaN(number) });
  if (Number.isNaN(number)) return <><Head title="No such line" /><Note tone="warn">Lines are counted from 0.</Note></>;
  return (
    <>
      <Head
        title={`Line ${number.toLocaleString()}`}
        aside={
          <>
            {number > 0 && <Button component={Link} href={`/ledger/${number - 1}`} variant="default" size="sm">Line before</Button>}
            <Button component={Link} href={`/ledger/${number + 1}`} variant="default" size="sm">Line after</Button>
          </>
        }
      />
      <Reading of={one} bones={<Bones rows={3} height={160} />}>{(of) => <Shown of={of} again={() => void one.refetch()} />}</Reading>
    </>
  );
}

function Shown({ of, again }: { of: Detail; again: () => void }) {
  const [found, setFound] = useState<Finding>();
  useEffect(() => {
    let current = true;
    const unable = (error: unknown): Finding => ({ holds: false, pending: true, says: "It could not be checked here", more: (error as Error).message });
    void check(of, ledgerKeeper).catch(unable).then((finding) => current && setFound(finding));
    return () => {
      current = false;
    };
  }, [of]);
  return (
    <div className="stack wide">
      <div className="sheet pad">
        <Facts
          of={[
            ["What", <span className="row"><b className="mono">{of.type}</b><Verdict of={of} /></span>],
            ["When", <When at={of.at} />],
            of.actor && ["Who", <>{of.actor}{of.person && of.person !== of.actor && <span className="quiet"> (person {of.person})</span>}</>],
            of.result !== undefined && ["Outcome", completion(of)],
            of.subject && ["To whom", of.subject],
            of.resource && ["Resource", of.resource],
            of.role && ["Role", of.role],
            of.request && ["Request", <Link href={`/requests/${of.request}`} className="mono small">{of.request}</Link>],
            of.session && ["Session", <Link href={`/sessions/${of.session}`} className="mono small">{of.session}</Link>],
            of.grant && ["Grant", <span className="mono small">{of.grant}</span>],
            of.controls.length > 0 && ["Evidence for", <Evidence of={of.controls} />],
          ]}
        />
      </div>
      {of.content.length > 0 && (
        <section className="part">
          <h2>What it commits to</h2>
          <div className="stack">{of.content.map((one) => <Kept key={one.pointer} of={one} sql={of.type.startsWith("action.")} />)}</div>
        </section>
      )}
      {found ? (
        <>
          <Proof of={of} found={found} again={again} />
          <section className="part">
            <div className="row apart">
              <h2>The stored bytes</h2>
              <Copy value={of.line} what="the line" />
            </div>
            <pre className="bytes" tabIndex={0} aria-label="The stored bytes"><Plain text={of.line} /></pre>
            <p className="small quiet" style={{ marginTop: 6 }}>Canonical JSON (RFC 8785). Exactly these bytes are hashed.</p>
          </section>
        </>
      ) : <Bones rows={1} height={320} />}
    </div>
  );
}

function Evidence({ of }: { of: readonly string[] }) {
  return (
    <span className="tags">
      {of.map((one) => <Link key={one} href={`/ledger?control=${encodeURIComponent(baseOf(one))}`} className="tag" title={titleOf(one) ?? one}>{one}</Link>)}
    </span>
  );
}

function Kept({ of, sql }: { of: Schemas["Content"]; sql: boolean }) {
  return (
    <div className="stack tight">
      <span className="small quiet mono">{of.pointer}</span>
      {of.text === undefined
        ? <p className="quiet">{of.state === "erased" ? "Erased. The proof of the line still holds." : "It is no text."}</p>
        : sql && /text|statement/.test(of.pointer) ? <SqlLine text={of.text} /> : <p className="bytes"><Plain text={of.text} /></p>}
    </div>
  );
}

function Proof({ of, found, again }: { of: Detail; found: Finding; again: () => void }) {
  const save = (): void => {
    const url = URL.createObjectURL(new Blob([of.proof ?? ""], { type: "text/plain" }));
    const link = Object.assign(document.createElement("a"), { href: url, download: `line-${of.seq}.tlog-proof` });
    link.click();
    URL.revokeObjectURL(url);
  };
  return (
    <section className="part">
      <h2>Proof</h2>
      <div className="sheet pad stack">
        <Note tone={found.holds ? "good" : found.pending ? "calm" : "bad"}><b>{found.says}</b><p className="small">{found.more}</p></Note>
        <Facts
          of={[
            ["State", <State of={of.state} />],
            ["Leaf hash", <span className="mono small">{of.leaf}</span>],
            found.size !== undefined && ["Checkpoint", <>{found.size.toLocaleString()} lines, root <span className="mono small">{found.root}</span></>],
          ]}
        />
        <div className="row">
          {of.proof
            ? <Button variant="default" size="sm" leftSection={<IconDownload size={16} />} onClick={save}>Save the proof</Button>
            : <Button variant="default" size="sm" onClick={again}>Look again</Button>}
        </div>
        <p className="small quiet">The same from the command line. Any verifier of c2sp.org/tlog-proof checks it, with no server and no secret:</p>
        <Command text={`countersign audit prove ${of.seq} > line-${of.seq}.tlog-proof`} what="the command" />
        {of.proof && <pre className="bytes" tabIndex={0} aria-label="The proof">{of.proof}</pre>}
      </div>
    </section>
  );
}
