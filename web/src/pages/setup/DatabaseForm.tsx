// A first database: where it is, and under which accounts the gateway reaches it. It is tried before one goes on.

import { NativeSelect, PasswordInput, TextInput } from "@mantine/core";
import { useState } from "react";

import { api, body, type Schemas } from "../../api/client";
import { database, nameOf, type Typed } from "../../lib/founding";
import { Note, sentence } from "../../parts/Page";
import { Step } from "./Setup";

const TLS: readonly { value: Schemas["SetupTls"]; label: string }[] = [
  { value: "verify-full", label: "TLS, with a certificate for this host" },
  { value: "verify-ca", label: "TLS, with a certificate of the authority" },
  { value: "require", label: "TLS, whoever answers" },
  { value: "disable", label: "No TLS: in clear text" },
];

interface Passwords { readonly writer: string; readonly reader: string }

export function DatabaseForm({ code, typed, change, passwords, setPasswords, back, done }: {
  code: string; typed: Typed; change: (typed: Typed) => void; passwords: Passwords; setPasswords: (passwords: Passwords) => void;
  back: (() => void) | undefined; done: () => void;
}) {
  const said = typed.database;
  /** What was tried, and what was found; another text has not been tried. */
  const [tried, setTried] = useState<{ what: string; found: Schemas["DatabaseTried"] }>();
  const wish = database(typed, passwords);
  const what = JSON.stringify(wish);
  const found = tried?.what === what ? tried.found : undefined;
  const set = (part: Partial<Typed["database"]>): void => change({ ...typed, database: { ...said, ...part } });
  const field = (part: "title" | "host" | "port" | "database" | "ca" | "writer" | "reader" | "name") => ({
    value: said[part], onChange: ({ currentTarget: { value } }: { currentTarget: { value: string } }) => set({ [part]: value }),
    autoCapitalize: "none", spellCheck: false, autoComplete: "off", withAsterisk: false, maxLength: 120,
  });
  const secret = (part: "writer" | "reader") => ({
    value: passwords[part], autoComplete: "off", withAsterisk: false, maxLength: 1024,
    onChange: ({ currentTarget: { value } }: { currentTarget: { value: string } }) => setPasswords({ ...passwords, [part]: value }),
    visibilityToggleButtonProps: { "aria-label": "Show or hide the password", tabIndex: 0 },
  });
  const send = async (): Promise<void> => {
    if (found) return done();
    setTried({ what, found: await body(api.POST("/setup/database", { body: { code, database: wish } })) });
  };
  return (
    <Step title="A first database" label={found ? "Go on" : "Try it"} back={back} send={send}>
      <p className="quiet">A PostgreSQL database. People never see these passwords: they connect to the gateway, and the gateway connects to the server. Nothing is kept until it was reached.</p>
      <div className="pair">
        <TextInput label="What people call it" {...field("title")} required autoFocus spellCheck
          onChange={({ currentTarget: { value } }) => set({ title: value, name: said.name === nameOf(said.title) ? nameOf(value) : said.name })} />
        <TextInput label="Its name here" {...field("name")} required pattern="[a-z0-9][a-z0-9._\-]*" title="small letters, digits, . _ and -, beginning with a letter or digit" maxLength={48} classNames={{ input: "mono" }} />
      </div>
      <div className="pair most">
        <TextInput label="Host" {...field("host")} required placeholder="db.example" classNames={{ input: "mono" }} />
        <TextInput label="Port" {...field("port")} required inputMode="numeric" pattern="[0-9]{1,5}" title="a number up to 65535" classNames={{ input: "mono" }} />
      </div>
      <TextInput label="Database on that server" {...field("database")} required classNames={{ input: "mono" }} />
      <NativeSelect label="How it is reached" value={said.tls} onChange={(event) => set({ tls: event.currentTarget.value as Schemas["SetupTls"] })} data={[...TLS]} />
      {said.tls === "disable" && <Note tone="warn">Whoever is between the gateway and the server reads and changes everything. Only for a server on the gateway’s own machine.</Note>}
      {said.tls.startsWith("verify") && <TextInput label="The authority’s certificate" description="A file on the gateway’s machine, in PEM." {...field("ca")} required placeholder="/etc/countersign/db-ca.pem" classNames={{ input: "mono" }} />}
      <fieldset className="pair">
        <legend>The account under which people change</legend>
        <TextInput label="Account" {...field("writer")} required classNames={{ input: "mono" }} />
        <PasswordInput label="Its password" {...secret("writer")} required />
      </fieldset>
      <fieldset className="pair">
        <legend>An account that can only read</legend>
        <TextInput label="Reading account" {...field("reader")} classNames={{ input: "mono" }} />
        <PasswordInput label="Password of that account" {...secret("reader")} required={said.reader.trim() !== ""} disabled={said.reader.trim() === ""} />
      </fieldset>
      {said.reader.trim() === "" && <p className="small quiet">Without one there is no role that only reads, approvers are not told how many rows a statement would touch, and more statements have to wait. You can add it later.</p>}
      {found && <div role="status" className="stack">{found.accounts.map((one) => <Found key={one.account} of={one} />)}</div>}
    </Step>
  );
}

function Found({ of }: { of: Schemas["AccountTried"] }) {
  if (of.beyond.length === 0) return <Note tone="good"><code>{of.account}</code> was let in by PostgreSQL {of.server}.</Note>;
  return (
    <Note tone="warn">
      <p><code>{of.account}</code> was let in by PostgreSQL {of.server}, and can do more than people are to do under it: {sentence(of.beyond.join("; "))}</p>
      <p>An account with less is better. It can be another one later, too.</p>
    </Note>
  );
}
