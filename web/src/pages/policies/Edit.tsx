// Changing the bundle: a draft with what is wrong in its place, what it would make of everybody and of what was done, and
// applying it, which is an action like any other.

import { Button, Modal, NativeSelect, TextInput } from "@mantine/core";
import { IconCheck, IconFilePlus, IconTrash } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState, type FormEvent } from "react";
import { useLocation } from "wouter";

import { api, body, type Schemas } from "../../api/client";
import { forget } from "../../api/live";
import { bundleFiles } from "../../api/queries";
import { changed, type Files } from "../../lib/diff";
import { drop, keep, useDraft } from "../../lib/draft";
import { FilesDiff } from "../../parts/BundleDiff";
import { Editor } from "../../parts/Code";
import { useConfirm } from "../../parts/Confirm";
import { Bones, Fault, Note, Reading, sentence } from "../../parts/Page";
import { failed, said } from "../../parts/toast";
import { may, useMe } from "../../parts/who";
import { Everybody, Past } from "./Effect";

/** How long after the last key a draft is checked. */
const CHECK_MS = 500;

export default function Edit() {
  const inForce = useQuery(bundleFiles());
  return <Reading of={inForce} bones={<Bones rows={1} height={520} />}>{(of) => <Desk of={of} />}</Reading>;
}

type Checked = { files: Files; found: readonly Schemas["Diagnostic"][]; valid: boolean } | { files: Files; error: Error };

/** What the gateway finds in a draft, a moment after the last key. */
function useCheck(files: Files | undefined): Checked | undefined {
  const [checked, setChecked] = useState<Checked>();
  useEffect(() => {
    if (!files) return undefined;
    let current = true;
    const later = setTimeout(() => {
      body(api.POST("/bundle/check", { body: { files: { ...files } } })).then(
        (answer) => current && setChecked({ files, found: answer.diagnostics, valid: answer.state === "valid" }),
        (error: unknown) => current && setChecked({ files, error: error as Error }),
      );
    }, CHECK_MS);
    return () => {
      current = false;
      clearTimeout(later);
    };
  }, [files]);
  return files && checked;
}

function Desk({ of }: { of: Schemas["BundleFiles"] }) {
  const by = useMe().principal;
  const draft = useDraft(by);
  const files = draft?.files ?? of.files;
  const names = Object.keys(files).sort();
  const [chosen, setChosen] = useState(changed(of.files, files).find((name) => name in files) ?? names.find((name) => name.endsWith(".cedar")) ?? names[0] ?? "");
  const [at, setAt] = useState<{ line: number; column: number }>();
  const [adding, setAdding] = useState(false);
  const checked = useCheck(draft?.files);
  const differ = useMemo(() => changed(of.files, files), [of.files, files]);
  const write = (next: Files): void => {
    if (changed(of.files, next).length === 0) drop();
    else keep({ by, base: draft?.base ?? of.id, files: next });
  };
  const found = checked && "found" in checked ? checked.found : [];
  const marks = found.filter((one) => one.file === chosen);
  const { ask, confirm } = useConfirm();
  const shown = files[chosen] === undefined ? names[0] ?? "" : chosen;
  return (
    <div className="stack wide">
      <div className="shelf">
        <nav aria-label="Files of the draft">
          <ul className="files">
            {names.map((name) => (
              <li key={name}>
                <button type="button" aria-current={name === shown ? "true" : undefined} onClick={() => { setChosen(name); setAt(undefined); }}>
                  {name}
                  {found.some((one) => one.file === name && one.severity === "error")
                    ? <span className="dot bad" role="img" aria-label="has mistakes" />
                    : differ.includes(name) && <span className="dot" role="img" aria-label="changed" />}
                </button>
              </li>
            ))}
          </ul>
          <div className="row" style={{ marginTop: 10 }}>
            <Button size="xs" variant="default" leftSection={<IconFilePlus size={15} />} onClick={() => setAdding(true)}>New file</Button>
            <Button
              size="xs" variant="subtle" color="brick" leftSection={<IconTrash size={15} />}
              onClick={() => ask({ title: `Leave ${shown} out of the draft?`, label: "Leave it out", danger: true, run: async () => {
                const { [shown]: _, ...rest } = files;
                write(rest);
              } })}
            >Remove</Button>
          </div>
        </nav>
        <div className="stack">
          <Editor key={shown} value={files[shown] ?? ""} set={(text) => write({ ...files, [shown]: text })} path={shown} marks={marks} at={at} save={() => undefined} />
          <Found of={checked} go={(one) => { setChosen(one.file); setAt({ line: one.line, column: one.column }); }} />
        </div>
      </div>
      {draft
        ? <Effect before={of.files} draft={draft.files} valid={checked !== undefined && "valid" in checked && checked.valid && checked.files === draft.files} />
        : <Note>Nothing is changed yet. Whatever you write stays in this tab until you apply it or throw it away; what it would mean for everybody is shown here.</Note>}
      <Modal opened={adding} onClose={() => setAdding(false)} title="A new file" centered>
        {adding && <Add names={names} add={(name) => { write({ ...files, [name]: name.endsWith(".cedar") ? "// What is permitted, forbidden or held here, and why.\n" : "" }); setChosen(name); setAdding(false); }} />}
      </Modal>
      {confirm}
    </div>
  );
}

function Add({ names, add }: { names: readonly string[]; add: (name: string) => void }) {
  const [name, setName] = useState("");
  const [kind, setKind] = useState(".cedar");
  const path = `${name.trim()}${kind}`;
  const wrong = name.trim() === "" ? undefined : !/^[a-z0-9][a-z0-9/_-]*$/i.test(name.trim()) ? "Letters, digits, dashes and slashes" : names.includes(path) ? "There is such a file" : undefined;
  const send = (event: FormEvent): void => {
    event.preventDefault();
    if (name.trim() !== "" && !wrong) add(path);
  };
  return (
    <form className="stack" onSubmit={send}>
      <div className="two" style={{ gridTemplateColumns: "minmax(0, 1fr) 130px" }}>
        <TextInput label="Name" value={name} onChange={(event) => setName(event.currentTarget.value)} error={wrong} data-autofocus spellCheck={false} />
        <NativeSelect label="Kind" value={kind} onChange={(event) => setKind(event.currentTarget.value)} data={[{ value: ".cedar", label: "policies" }, { value: ".toml", label: "toml" }]} />
      </div>
      <div><Button type="submit" disabled={name.trim() === "" || wrong !== undefined}>Add it</Button></div>
    </form>
  );
}

function Found({ of, go }: { of: Checked | undefined; go: (one: Schemas["Diagnostic"]) => void }) {
  if (!of) return null;
  if ("error" in of) return <Fault error={of.error} />;
  if (of.found.length === 0) {
    return <p className="row small" role="status"><span className="mark yes"><IconCheck size={14} stroke={2.2} aria-hidden="true" />it compiles</span></p>;
  }
  return (
    <section className="sheet" aria-label="What was found" aria-live="polite">
      <ul className="list">
        {of.found.map((one, i) => (
          <li key={i} className="says">
            <span className={one.severity === "error" ? "mark no" : "mark wait"}>{one.severity === "error" ? "mistake" : "look"}</span>
            <span>
              <button type="button" className="plain mono small" onClick={() => go(one)}>{one.file}{one.line > 0 && `:${one.line}:${one.column}`}</button>{" "}
              {sentence(one.message)}
              {one.hint && <span className="small quiet" style={{ display: "block" }}>{sentence(one.hint)}</span>}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

const VIEWS = [["text", "The text"], ["people", "Who would get in"], ["past", "The past, judged again"]] as const;

/** What a draft would change, and applying it. */
function Effect({ before, draft, valid }: { before: Files; draft: Files; valid: boolean }) {
  const me = useMe();
  const [view, setView] = useState<(typeof VIEWS)[number][0]>("text");
  const { ask, confirm } = useConfirm();
  const [busy, setBusy] = useState(false);
  const [, go] = useLocation();
  const client = useQueryClient();
  const apply = async (): Promise<void> => {
    setBusy(true);
    try {
      const answer = await body(api.POST("/bundle", { body: { files: { ...draft } } }));
      drop();
      forget(client, ["bundle", "requests"]);
      if (answer.request) {
        said("It waits for a yes", "It is in force as soon as it is approved.");
        go(`/requests/${answer.request}`);
      } else {
        said(`Version ${answer.version ?? ""} is in force`);
        go("/policies/versions");
      }
    } catch (error) {
      failed(error as Error);
    }
    setBusy(false);
  };
  return (
    <section className="stack" aria-label="What the draft changes">
      <div className="row apart">
        <div className="pick" role="radiogroup" aria-label="What the draft changes">
          {VIEWS.map(([one, label]) => (
            <label key={one}>
              <input type="radio" name="effect" checked={view === one} onChange={() => setView(one)} />
              <span>{label}</span>
            </label>
          ))}
        </div>
        <div className="row">
          <Button variant="subtle" color="brick" onClick={() => ask({ title: "Throw the draft away?", label: "Throw it away", danger: true, run: async () => drop() })}>Throw away</Button>
          {may(me, "policy.apply") && (
            <Button
              disabled={!valid} loading={busy}
              onClick={() => ask({ title: "Apply this bundle?", label: "Apply", run: apply,
                children: "It replaces all of the bundle in force, at once and for everybody. Where a gate or the floor wants it, somebody has to say yes first." })}
            >Apply</Button>
          )}
        </div>
      </div>
      {view === "text" && <FilesDiff before={before} after={draft} />}
      {view !== "text" && !valid && <Note tone="warn">The draft has mistakes. What it would mean can be said when it compiles.</Note>}
      {view === "people" && valid && <Everybody files={draft} />}
      {view === "past" && valid && <Past files={draft} />}
      {confirm}
    </section>
  );
}
