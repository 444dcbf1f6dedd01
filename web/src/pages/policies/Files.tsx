// The files of the bundle in force.

import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "wouter";

import type { Schemas } from "../../api/client";
import { bundle, bundleFiles } from "../../api/queries";
import { placeOf } from "../../lib/code";
import { Code } from "../../parts/Code";
import { Bones, Note, Reading, sentence } from "../../parts/Page";

export function FilesPage() {
  const read = useQuery(bundleFiles());
  const warnings = useQuery(bundle).data?.warnings ?? [];
  return (
    <div className="stack wide">
      {warnings.length > 0 && <Warnings of={warnings} />}
      <Reading of={read} bones={<Bones rows={1} height={520} />}>{(of) => <Shelf files={of.files} />}</Reading>
    </div>
  );
}

function Shelf({ files }: { files: Readonly<Record<string, string>> }) {
  const [params] = useSearchParams();
  const policy = params.get("policy");
  const place = policy === null ? undefined : placeOf(files, policy);
  const names = Object.keys(files).sort();
  const file = place?.file ?? names.find((name) => name === params.get("file")) ?? names[0];
  if (file === undefined) return <Note>There is no file in this bundle.</Note>;
  const line = place?.line ?? (Number(params.get("line")) || undefined);
  return (
    <div className="shelf">
      <nav aria-label="Files">
        <ul className="files">
          {names.map((name) => (
            <li key={name}>
              <Link href={`/policies?file=${encodeURIComponent(name)}`} aria-current={name === file ? "page" : undefined}>
                {name}<span className="quiet figures">{(files[name] ?? "").split("\n").length}<span className="unseen"> lines</span></span>
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <div>
        {policy !== null && !place && <Note tone="warn">No file of the bundle in force has a policy <span className="mono">{policy}</span>.</Note>}
        <Code text={files[file] ?? ""} path={file} at={line} />
      </div>
    </div>
  );
}

/** What was noticed in the bundle in force, and on the servers that it speaks of. */
function Warnings({ of }: { of: readonly Schemas["Diagnostic"][] }) {
  return (
    <Note tone="warn">
      <b>{of.length === 1 ? "Somebody should look at this" : `Somebody should look at these ${of.length}`}</b>
      <ul className="stack tight" style={{ marginTop: 6 }}>
        {of.map((one, i) => (
          <li key={i}>
            {one.line > 0
              ? <Link href={`/policies?file=${encodeURIComponent(one.file)}&line=${one.line}`} className="mono small">{one.file}:{one.line}</Link>
              : <span className="mono small">{one.file}</span>}{" "}
            {sentence(one.message)} {one.hint && <span className="quiet">{sentence(one.hint)}</span>}
          </li>
        ))}
      </ul>
    </Note>
  );
}
