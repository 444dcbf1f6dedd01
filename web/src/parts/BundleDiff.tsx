// What differs between two bundles, file by file: for the history, for a draft, and for whoever must say yes to a change.

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Button } from "@mantine/core";

import { bundleFiles } from "../api/queries";
import { changed, type Files } from "../lib/diff";
import { Changes } from "./Code";
import { Bones, Note, Reading } from "./Page";

/** How many files are shown at once. */
const SHOWN = 12;

export function FilesDiff({ before, after }: { before: Files; after: Files }) {
  const [all, setAll] = useState(false);
  const paths = changed(before, after);
  if (paths.length === 0) return <Note>Both are the same, letter by letter.</Note>;
  return (
    <div className="stack">
      {paths.slice(0, all ? undefined : SHOWN).map((path) => (
        <Changes key={path} before={before[path] ?? ""} after={after[path] ?? ""} path={path}>
          {before[path] === undefined && <span className="mark seal">new file</span>}
          {after[path] === undefined && <span className="mark no">removed</span>}
        </Changes>
      ))}
      {!all && paths.length > SHOWN && <div><Button variant="default" onClick={() => setAll(true)}>Show {paths.length - SHOWN} more files</Button></div>}
    </div>
  );
}

/** The difference between two bundles by name; the first is the one in force without one. */
export function BundleDiff({ before, after }: { before?: string | undefined; after: string }) {
  const old = useQuery(bundleFiles(before));
  const next = useQuery(bundleFiles(after));
  return (
    <Reading of={old} bones={<Bones rows={2} height={120} />}>
      {(from) => <Reading of={next} bones={<Bones rows={2} height={120} />}>{(to) => <FilesDiff before={from.files} after={to.files} />}</Reading>}
    </Reading>
  );
}
