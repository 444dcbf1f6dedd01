// Try it: what policy would say of one attempt, why, and who would be asked. The gateway's own judgement, and nothing is
// done by it.

import { Button, NativeSelect, Switch, Textarea, TextInput } from "@mantine/core";
import { IconBan, IconCheck, IconFlask, IconHourglass } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState, type FormEvent, type ReactNode } from "react";
import { Link, useSearchParams } from "wouter";

import { api, body, type Schemas } from "../../api/client";
import { catalogue, principals } from "../../api/queries";
import { useDraft } from "../../lib/draft";
import { seconds } from "../../lib/time";
import { party } from "../../lib/words";
import { Facts, Tags } from "../../parts/Bits";
import { Blank, Bones, Fault, Note, Reading, sentence } from "../../parts/Page";
import { Plain } from "../../parts/Sql";
import { When } from "../../parts/Time";
import { may, useMe } from "../../parts/who";

type Tried = Schemas["Tried"];
type Kind = Schemas["Attempt"]["kind"];

const KINDS: readonly (readonly [Kind, string])[] = [["access", "Ask for a role"], ["statement", "Run a statement"], ["house", "Use the gateway"]];

const HOUSE = ["policy.read", "policy.apply", "ledger.read", "ledger.export"];

const MEANS: readonly (readonly [Schemas["Means"], string])[] = [
  ["password", "Password"], ["totp", "Authenticator app"], ["passkey", "Passkey"], ["oidc", "Identity provider"],
];

export default function TryIt() {
  const said = useQuery(catalogue);
  return <Reading of={said} bones={<Bones rows={2} height={220} />}>{(of) => <Desk of={of} />}</Reading>;
}

interface Form {
  principal: string; kind: Kind; role: string; resource: string; text: string; lasting: string; reason: string;
  action: string; at: string; source: string; transaction: boolean; means: Schemas["Means"][]; ago: string; draft: boolean;
}

function Desk({ of }: { of: Schemas["Catalogue"] }) {
  const [given] = useSearchParams();
  const me = useMe();
  const draft = useDraft(me.principal);
  const [form, setForm] = useState<Form>({
    principal: given.get("principal") ?? me.principal,
    kind: KINDS.find(([kind]) => kind === given.get("kind"))?.[0] ?? "access",
    role: given.get("role") ?? of.roles[0]?.id ?? "", resource: given.get("resource") ?? "", text: given.get("text") ?? "",
    lasting: "30m", reason: "", action: "policy.apply", at: "", source: "", transaction: false, means: [], ago: "", draft: false,
  });
  const set = (change: Partial<Form>): void => setForm((had) => ({ ...had, ...change }));
  const role = of.roles.find((one) => one.id === form.role);
  const resource = role?.resources.includes(form.resource) ? form.resource : role?.resources[0] ?? "";
  const run = useMutation({
    mutationFn: () => body(api.POST("/bundle/simulate", { body: wanted({ ...form, resource }, form.draft ? draft?.files : undefined) })),
  });
  const noSpan = (text: string): string | undefined => seconds(text) === undefined ? "Write a duration like 30m or 1h30m" : undefined;
  const wrong = form.kind === "access" ? noSpan(form.lasting) : undefined;
  const agoWrong = form.means.length > 0 && form.ago.trim() !== "" ? noSpan(form.ago) : undefined;
  const ready = form.principal.trim() !== "" && !wrong && !agoWrong && (form.kind !== "statement" || (form.text.trim() !== "" && resource !== ""));
  const send = (event: FormEvent): void => {
    event.preventDefault();
    if (ready) run.mutate();
  };
  return (
    <div className="ask">
      <form className="stack" onSubmit={send}>
        <Who value={form.principal} set={(principal) => set({ principal })} />
        <fieldset>
          <legend className="unseen">What they would do</legend>
          <div className="pick">
            {KINDS.map(([kind, label]) => (
              <label key={kind}>
                <input type="radio" name="kind" checked={form.kind === kind} onChange={() => set({ kind })} />
                <span>{label}</span>
              </label>
            ))}
          </div>
        </fieldset>
        {form.kind === "house"
          ? <NativeSelect label="Action" value={form.action} onChange={(event) => set({ action: event.currentTarget.value })} data={HOUSE} />
          : (
            <div className="two">
              <NativeSelect
                label={form.kind === "access" ? "Role" : "Acting as"} value={form.role} onChange={(event) => set({ role: event.currentTarget.value })}
                data={of.roles.map((one) => ({ value: one.id, label: `${one.id}: ${one.title}` }))}
              />
              {form.kind === "access"
                ? <TextInput label="For" value={form.lasting} error={wrong} onChange={(event) => set({ lasting: event.currentTarget.value })} />
                : <NativeSelect label="On" value={resource} onChange={(event) => set({ resource: event.currentTarget.value })} data={[...(role?.resources ?? [])]} />}
            </div>
          )}
        {form.kind === "statement" && (
          <>
            <Textarea
              label="Statement" value={form.text} onChange={(event) => set({ text: event.currentTarget.value })} minRows={5} autosize
              placeholder="delete from orders where status = 'duplicate'" classNames={{ input: "mono" }} spellCheck={false}
              description="It is understood and judged, never sent anywhere."
              onKeyDown={(event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && ready) run.mutate(); }}
            />
            <Switch label="Inside a transaction of its own" checked={form.transaction} onChange={(event) => set({ transaction: event.currentTarget.checked })} />
          </>
        )}
        <details>
          <summary>Circumstances</summary>
          <div className="stack" style={{ paddingTop: 12 }}>
            <div className="two">
              <TextInput
                type="datetime-local" label="When" description="Now, if left empty; in your own time zone" value={form.at}
                onChange={(event) => set({ at: event.currentTarget.value })}
              />
              <TextInput label="From the address" description="None, if left empty" placeholder="192.0.2.7" value={form.source} onChange={(event) => set({ source: event.currentTarget.value })} />
            </div>
            {form.kind !== "house" && <TextInput label="Purpose" value={form.reason} onChange={(event) => set({ reason: event.currentTarget.value })} />}
            <fieldset>
              <legend className="small">Signed in with</legend>
              <div className="pick">
                {MEANS.map(([means, label]) => (
                  <label key={means}>
                    <input
                      type="checkbox" checked={form.means.includes(means)}
                      onChange={(event) => set({ means: event.currentTarget.checked ? [...form.means, means] : form.means.filter((one) => one !== means) })}
                    />
                    <span>{label}</span>
                  </label>
                ))}
              </div>
            </fieldset>
            {form.means.length > 0 && (
              <TextInput
                label="How long ago" description="Just now, if left empty" placeholder="20m" value={form.ago}
                error={agoWrong} onChange={(event) => set({ ago: event.currentTarget.value })}
              />
            )}
          </div>
        </details>
        {draft && <Switch label="Under my draft" description="Otherwise under the bundle in force" checked={form.draft} onChange={(event) => set({ draft: event.currentTarget.checked })} />}
        <div className="row"><Button type="submit" loading={run.isPending} disabled={!ready}>What would happen?</Button></div>
      </form>
      <section aria-live="polite" aria-label="What policy would say">
        {run.error ? <Fault error={run.error} /> : run.data
          ? <Answer of={run.data} who={form.principal} />
          : <div className="sheet"><Blank icon={IconFlask} title="Nothing is done by trying">You see the verdict, every policy that mattered, and who would be asked.</Blank></div>}
      </section>
    </div>
  );
}

function Who({ value, set }: { value: string; set: (name: string) => void }) {
  const open = may(useMe(), "principal.read");
  const list = useQuery({ ...principals, enabled: open }).data;
  if (!list) return <TextInput label="Who" value={value} onChange={(event) => set(event.currentTarget.value)} spellCheck={false} />;
  return (
    <NativeSelect
      label="Who" value={value} onChange={(event) => set(event.currentTarget.value)}
      data={list.map((one) => ({ value: one.id, label: one.name === one.id ? one.id : `${one.name} (${one.id})` }))}
    />
  );
}

function wanted(form: Form, files: Readonly<Record<string, string>> | undefined): Schemas["Trial"] {
  const reason = form.reason.trim() ? { reason: form.reason.trim() } : {};
  const attempt: Schemas["Attempt"] = form.kind === "access"
    ? { kind: "access", role: form.role, for: form.lasting.trim(), ...reason }
    : form.kind === "statement"
      ? { kind: "statement", role: form.role, resource: form.resource, text: form.text, ...reason, ...(form.transaction ? { in_transaction: true } : {}) }
      : { kind: "house", action: form.action };
  const instant = form.at === "" ? Number.NaN : new Date(form.at).getTime();
  return {
    principal: form.principal.trim(), attempt,
    ...(Number.isNaN(instant) ? {} : { at: new Date(instant).toISOString() }),
    ...(form.source.trim() ? { source: form.source.trim() } : {}),
    ...(form.means.length > 0 ? { means: form.means, ...(form.ago.trim() ? { signed_in_ago: form.ago.trim() } : {}) } : {}),
    ...(files ? { files: { ...files } } : {}),
  };
}

const VERDICTS: Record<Schemas["Verdict"], { tone: string; sign: ReactNode; says: string }> = {
  allow: { tone: "yes", sign: <IconCheck size={24} stroke={2} />, says: "It would be allowed" },
  hold: { tone: "wait", sign: <IconHourglass size={24} stroke={1.8} />, says: "It would wait for somebody's yes" },
  deny: { tone: "no", sign: <IconBan size={24} stroke={1.8} />, says: "It would be denied" },
};

function Answer({ of, who }: { of: Tried; who: string }) {
  const { tone, sign, says } = VERDICTS[of.state];
  return (
    <div className="sheet pad stack wide">
      <div className="verdict-of">
        <span className={`sign ${tone}`} aria-hidden="true">{sign}</span>
        <div>
          <h2>{says}</h2>
          {of.reason !== "" && <p><Plain text={sentence(of.reason)} /></p>}
          {of.state === "allow" && <p>Nobody needs to be asked.</p>}
          {of.holds === false && <p className="small quiet">{who} does not hold this role now. This is what would be said if they did.</p>}
        </div>
      </div>
      {of.stages.length > 0 && <Asked of={of.stages} />}
      <Matched of={of} />
      {of.statement && <Understood of={of.statement} actions={of.actions} />}
      <details>
        <summary>What policies were told ({of.circumstances.length})</summary>
        <div style={{ paddingTop: 10 }}>
          <Facts of={of.circumstances.map((one) => [one.name, <span className="mono small"><Plain text={one.value} /></span>] as const)} />
        </div>
      </details>
      <p className="small quiet">Asked of the gateway for <When at={of.at} />. What counts is what it says when it is done.</p>
    </div>
  );
}

export function Asked({ of, level = 3 }: { of: readonly Schemas["Stage"][]; level?: 2 | 3 }) {
  const Tag = level === 2 ? "h2" : "h3";
  return (
    <section className="stack tight">
      <Tag className="label">Who would be asked</Tag>
      <ul className="places">
        {of.map((stage, i) => (
          <li key={`${stage.rule} ${i}`}>
            <span className="tick" aria-hidden="true" />
            <div>
              <p><b>{stage.need}</b> of {stage.from.map(party).join(" or ")}</p>
              <p className="small quiet">
                {stage.people.length > 0 ? stage.people.map((one) => one.display).join(", ") : "nobody may fill this place: it could not be approved"}; rule <span className="mono">{stage.rule}</span>
              </p>
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}

const SAYS: Record<Schemas["Says"], readonly [string, string]> = { permits: ["yes", "permits"], forbids: ["no", "forbids"], holds: ["wait", "holds"] };

function Matched({ of }: { of: Tried }) {
  return (
    <section className="stack tight">
      <h3 className="label">What mattered</h3>
      {of.policies.length === 0 && of.errors.length === 0 && <p>No policy matched. What nothing permits is denied.</p>}
      <ul className="stack">
        {of.errors.map((one) => (
          <li key={one} className="says"><span className="mark no">fails</span><span><Plain text={one} /></span></li>
        ))}
        {of.policies.map((one) => {
          const [tone, word] = SAYS[one.says];
          return (
            <li key={`${one.says} ${one.id}`} className="says">
              <span className={`mark ${tone}`}>{word}</span>
              <span>
                <Link href={`/policies?policy=${encodeURIComponent(one.id)}`} className="mono small">{one.id}</Link>
                {one.reason && <span className="small" style={{ display: "block" }}><Plain text={sentence(one.reason)} /></span>}
                {one.rule && <span className="small quiet" style={{ display: "block" }}>lifted by rule <span className="mono">{one.rule}</span></span>}
              </span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function Understood({ of, actions }: { of: Schemas["Understood"]; actions: readonly string[] }) {
  return (
    <section className="stack tight">
      <h3 className="label">How the statement is understood</h3>
      <Tags of={actions} />
      {of.reasons.length > 0 && <ul className="stack tight small">{of.reasons.map((one) => <li key={one}><Plain text={sentence(one)} /></li>)}</ul>}
      {!of.catalogue && <Note tone="warn">The target's catalogue is not known, so nothing that it names could be looked up: the stricter reading counts.</Note>}
      <p className="small quiet">As in a session that has just begun, with the server's ordinary settings.</p>
    </section>
  );
}
