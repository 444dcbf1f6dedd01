// What is typed into the set-up, kept for as long as the tab is open so that a reload or a restart of the gateway loses
// nothing of it. The code and passwords are not kept.

import type { Schemas } from "../api/client";

export interface Typed {
  readonly house: string;
  readonly display: string;
  readonly name: string;
  readonly email: string;
  readonly database: {
    readonly name: string;
    readonly title: string;
    readonly host: string;
    readonly port: string;
    readonly database: string;
    readonly tls: Schemas["SetupTls"];
    readonly ca: string;
    readonly writer: string;
    readonly reader: string;
  };
  readonly second: { readonly display: string; readonly name: string; readonly email: string };
}

export const NOTHING: Typed = {
  house: "", display: "", name: "", email: "",
  database: { name: "", title: "", host: "", port: "5432", database: "", tls: "verify-full", ca: "", writer: "", reader: "" },
  second: { display: "", name: "", email: "" },
};

const STORED = "countersign-setup";

export function read(): Typed {
  try {
    const kept = JSON.parse(sessionStorage.getItem(STORED) ?? "{}") as Partial<Typed>;
    return {
      ...NOTHING, ...kept,
      database: { ...NOTHING.database, ...kept.database }, second: { ...NOTHING.second, ...kept.second },
    };
  } catch {
    return NOTHING;
  }
}

export function keep(typed: Typed | undefined): void {
  if (typed) sessionStorage.setItem(STORED, JSON.stringify(typed));
  else sessionStorage.removeItem(STORED);
}

/** A name for an account or a database, after what people call it: `Ada Adler` is `ada`. */
export const nameOf = (words: string): string =>
  (words.trim().split(/\s+/)[0] ?? "").normalize("NFD").toLowerCase().replace(/[^a-z0-9._-]/g, "").replace(/^[._-]+/, "").slice(0, 48);

const person = ({ display, name, email }: { display: string; name: string; email: string }): Schemas["SetupPerson"] =>
  ({ name: name.trim(), display: display.trim(), ...(email.trim() ? { email: email.trim() } : {}) });

export const administrator = (typed: Typed): Schemas["SetupPerson"] => person(typed);
export const second = (typed: Typed): Schemas["SetupPerson"] => person(typed.second);

/** A database as the gateway is told of it. */
export function database({ database: said }: Typed, passwords: { writer: string; reader: string }): Schemas["SetupDatabase"] {
  return {
    name: said.name.trim(), title: said.title.trim() || said.name.trim(), host: said.host.trim(), port: Number(said.port),
    database: said.database.trim(), tls: said.tls,
    ...(said.tls.startsWith("verify") && said.ca.trim() ? { tls_ca: said.ca.trim() } : {}),
    writer: { name: said.writer.trim(), password: passwords.writer },
    ...(said.reader.trim() ? { reader: { name: said.reader.trim(), password: passwords.reader } } : {}),
  };
}

/** Where whoever was invited makes their passkey. What is behind the `#` stays in the browser. */
export const invitationLink = (origin: string, of: Pick<Schemas["Invited"], "user" | "code">): string =>
  `${origin}/invited#${new URLSearchParams({ user: of.user, code: of.code })}`;

/** What an invitation's link says. */
export function invited(hash: string): { user: string; code: string } | undefined {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const [user, code] = [said.get("user"), said.get("code")];
  return user && code ? { user, code } : undefined;
}
