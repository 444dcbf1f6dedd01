// A stand-in for the gateway: the API's shapes with believable data, held in memory, and the built console under the
// page policy that the gateway sends. For developing pages and for driving them in a browser. It judges nothing.

import { createHash, randomBytes } from "node:crypto";
import { createReadStream, existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { createGzip } from "node:zlib";

import { makeLog, tile } from "./log.mjs";

const dist = fileURLToPath(new URL("../dist", import.meta.url));
const TYPES = { ".js": "text/javascript", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".html": "text/html; charset=utf-8",
  ".webmanifest": "application/manifest+json", ".png": "image/png" };

const at = (seconds = 0) => new Date(Date.now() + seconds * 1000).toISOString();
const id = (kind) => `${kind}_${randomBytes(16).toString("hex").toUpperCase().slice(0, 26)}`;
const hash = (...parts) => createHash("sha256").update(Buffer.concat(parts.map((part) => Buffer.from(part)))).digest();

const PEOPLE = [
  { id: "alice", name: "Alice Archer", kind: "user", groups: ["engineers"] },
  { id: "bob", name: "Bob Baker", kind: "user", groups: ["dba"] },
  { id: "carol", name: "Carol Cooper", kind: "user", groups: ["security"] },
  { id: "dave", name: "Dave Dyer", kind: "user", groups: ["admins"] },
  { id: "ci", name: "Nightly report", kind: "service", groups: [], owner: "dave" },
];
const RUN = ["policy.read", "principal.disable", "principal.read"];
const CAN = {
  alice: [],
  bob: ["ledger.export", "ledger.read", "principal.enable", ...RUN],
  carol: ["ledger.export", "ledger.read", ...RUN],
  dave: ["policy.apply", "principal.enable", ...RUN],
};
/** Whether somebody sees and ends what is others'. */
const runs = (who) => CAN[who]?.includes("policy.read") ?? false;
const ROLES = [
  { id: "shop-reader", title: "Read the shop", resources: ["shop"], impact: "high", actions: ["sql.read"], longest_s: 14400 },
  { id: "shop-writer", title: "Read and change the shop", resources: ["shop"], impact: "high",
    actions: ["sql.read", "sql.write", "sql.ddl", "sql.call", "sql.unknown"], longest_s: 14400 },
];
/** The sample bundle, and what it was before somebody changed it. */
const FOLDER = fileURLToPath(new URL("../../demo/bundle", import.meta.url));
const FILES = Object.fromEntries(readdirSync(FOLDER).sort().map((name) => [name, readFileSync(join(FOLDER, name), "utf8")]));
const EARLIER = { ...FILES,
  "rules.toml": FILES["rules.toml"].replace('pending_for = "15m"', 'pending_for = "1h"').replace(/^envelope.*\n/m, ""),
  "statements.cedar": FILES["statements.cedar"].slice(0, FILES["statements.cedar"].indexOf("// No gate")) };
const hashOf = (files) => createHash("sha256").update(JSON.stringify(files)).digest("hex");
const LOG = makeLog("countersign.local/demo");

/** What a run of the workbench tells: names for completion, or rows with everything that a database may put into one. */
function told(text, rowsMax) {
  const say = { severity: "NOTICE", code: "00000", message: "the stand-in runs nothing" };
  if (text.includes("pg_attribute")) {
    const names = [["customers", "id bigint", "email text"], ["orders", "id bigint", "status text", "total numeric(12,2)"]];
    const rows = names.flatMap(([table, ...columns]) => columns.map((column) => ["public", table, "r", ...column.split(" ")]));
    return [{ event: "statement", number: 0, of: 1, at: 0, text }, { event: "columns", columns: ["n", "r", "k", "a", "t"].map((name) => ({ name, type_oid: 25 })) },
      { event: "rows", rows }, { event: "done", tag: `SELECT ${rows.length}`, more: false }, { event: "over", transaction: "none" }];
  }
  const odd = ["<img src=x onerror=alert(1)>", "\u202eright to left", "", null, "=1+1", "\u001b[31mred"];
  const rows = Array.from({ length: Math.min(rowsMax ?? 1000, 20_000) }, (_, i) => [String(i + 1), odd[i % odd.length], `${(i * 37) % 900}.50`]);
  return [{ event: "statement", number: 0, of: 2, at: 0, text: "SELECT * FROM orders;" }, { event: "columns", columns: [{ name: "id", type_oid: 20 }, { name: "status", type_oid: 25 }, { name: "total", type_oid: 1700 }] },
    { event: "notice", said: say }, { event: "rows", rows, cut: [[0, 1, 70_000]] }, { event: "done", tag: `SELECT ${rows.length}`, more: true },
    { event: "statement", number: 1, of: 2, at: 22, text: "SELECT nonsense FROM orders" },
    { event: "failed", said: { severity: "ERROR", code: "42703", message: "column \"nonsense\" does not exist", position: 8 } }, { event: "over", transaction: "none" }];
}

/** A gateway with a little history. */
function gateway() {
  const state = { proposed: [], devices: [], requests: [], grants: [], sessions: [], lines: [], tokens: new Map(), streams: new Set(), disabled: new Set(),
    places: new Map([["alice", [{ id: "sgn_9", state: "live", at: at(-4000), address: "203.0.113.7", program: "curl/8.5.0" }]]]) };
  const changed = (...topics) => {
    for (const stream of state.streams) stream.write(`event: change\ndata: ${JSON.stringify({ index: state.lines.length, topics })}\n\n`);
  };
  const record = (type, fields = {}, text) => {
    const seq = state.lines.length;
    const line = JSON.stringify({ v: 1, seq, at: at(fields.ago ? -fields.ago : 0), type, ...fields.line,
      ...(text ? { text: createHash("sha256").update(text).digest("hex") } : {}) });
    const { ago, line: _, ...known } = fields;
    state.lines.push({ id: String(seq), seq, at: at(-(ago ?? 0)), type, outcome: "success", controls: controls(type), ...known, line, ...(text ? { text } : {}) });
  };
  return { state, changed, record };
}

const controls = (type) => ({ request: ["AC-2", "AC-3", "AC-24", "AU-12"], grant: ["AC-2", "AC-6"], action: ["AC-3", "AU-2", "AU-3", "AU-12"],
  session: ["AC-12", "AU-14"], ledger: ["AU-6", "AU-9"], system: ["AU-5", "SI-13"] })[type.split(".")[0]] ?? ["AU-12"];

const person = (name) => PEOPLE.find((one) => one.id === name);
const party = (name) => ({ name, display: person(name).name });
const by = (name) => ({ by: name, display: person(name).name });

function ask(world, { by, role, for_s, reason, ticket, ago = 0, ...more }) {
  const one = {
    id: id("req"), state: "pending", kind: "access", by: { name: by, display: person(by).name, person: person(by).owner ?? by },
    action: "access.request", role, for_s, reason, ticket, verbs: [], settings: [], erased: false, parameters: [], relations: [], notes: [],
    digest: hash(String(Math.random())).toString("hex"),
    held_by: [{ rule: "shop-access", policies: [{ id: "access-to-the-shop-needs-the-dba", reason: "roles of the shop are held with the approval of a DBA" }] }],
    stages: [{ rule: "shop-access", need: 1, from: ["group:dba"], people: [party("bob")], given: [] }],
    missing: "1 of group:dba (bob)", approvals: [], asked_at: at(-ago), lapses_at: at(1800 - ago), locked: false, ...more,
  };
  world.state.requests.unshift(one);
  world.record("request.created", { ago, actor: by, person: one.by.person, role, request: one.id, resource: one.resource }, reason);
  return one;
}

function hold(world, { by, text, action, session, grant, verbs, rows, relations, notes = [], parameters = [], ago = 0, ...more }) {
  const one = ask(world, { by, role: "shop-writer", reason: grant.purpose, ticket: "SHOP-481", ago });
  Object.assign(one, {
    kind: "action", action, verbs, settings: [{ name: "search_path", value: "public" }], resource: "shop", text, parameters, relations, rows, notes, session: session.id, grant: grant.id,
    most: { uses: 3, for_s: 600, envelope: { rows: 100, total: 500, uses: 20, for_s: 1800 } }, ...more,
    held_by: [{ rule: "prod-write", policies: [{ id: "writes-to-high-impact-need-the-dba", reason: "changes to a resource of high impact need a second pair of eyes" }] }],
    stages: [{ rule: "prod-write", need: 1, from: ["group:dba", "owner"], people: [party("bob")], given: [] }],
    missing: "1 of group:dba or owner (bob)", lapses_at: at(900 - ago),
  });
  delete one.for_s;
  world.record("action.held", { ago, actor: by, person: by, resource: "shop", role: "shop-writer", session: session.id, request: one.id, outcome: "pending" }, text);
  return one;
}

function give(world, request, by, ago = 0) {
  const grant = {
    id: id("gra"), state: "live", principal: request.by.name, display: request.by.display, person: request.by.person, role: request.role, resources: ["shop"],
    request: request.id, not_before: at(), not_after: at(request.for_s), purpose: request.reason,
    spent: { statements: 214, rows: 12_400, bytes: 3_481_600, time_ms: 92_000 }, budget: { rows: 50_000, time_ms: 1_800_000 },
  };
  request.grant = grant.id;
  world.state.grants.unshift(grant);
  world.record("grant.issued", { ago, actor: by, person: by, subject: request.by.name, role: request.role, grant: grant.id, request: request.id });
  return grant;
}

function history(world) {
  const { state, record } = world;
  record("system.started", { ago: 5400 });
  record("policy.activated", { ago: 5390, actor: "dave", person: "dave" });
  const no = ask(world, { by: "alice", role: "shop-writer", for_s: 14400, reason: "Look around", ago: 5200 });
  Object.assign(no, { state: "denied", answer: { ...by("bob"), at: at(-5100), comment: "Four hours to look around is too long. Ask for shop-reader." }, ended_at: at(-5100), missing: "" });
  record("decision.denied", { ago: 5100, actor: "bob", person: "bob", request: no.id, subject: "alice", outcome: "failure" });
  const old = ask(world, { by: "carol", role: "shop-reader", for_s: 3600, reason: "Check the export that the auditors asked about", ago: 5000 });
  Object.assign(old, { state: "approved", approvals: [{ ...by("bob"), at: at(-4900) }], missing: "" });
  const gone = give(world, old, "bob", 4900);
  Object.assign(gone, { state: "expired", not_before: at(-4900), not_after: at(-1300) });
  const first = ask(world, { by: "alice", role: "shop-writer", for_s: 3600, reason: "Remove the twelve duplicate orders that the March import left behind", ticket: "SHOP-481", ago: 1500 });
  Object.assign(first, { state: "approved", approvals: [{ ...by("bob"), at: at(-1380), comment: "Fine. Delete by status, please, not by id." }], missing: "", valid_until: at(-800) });
  first.stages[0].given = [party("bob")];
  const grant = give(world, first, "bob", 1380);
  Object.assign(grant, { not_before: at(-1380), not_after: at(2220) });
  ask(world, { by: "ci", role: "shop-reader", for_s: 900, reason: "Nightly report of 22 November", ago: 700 });
  const session = { id: id("ses"), state: "live", principal: "alice", display: person("alice").name, person: "alice", role: "shop-writer", resource: "shop", door: "postgres",
    address: "127.0.0.1:52144", application: "psql", opened_at: at(-1200), grant: grant.id, purpose: grant.purpose };
  const past = { ...session, id: id("ses"), principal: "carol", display: person("carol").name, person: "carol", role: "shop-reader", application: "DBeaver 24.3", state: "ended",
    address: "127.0.0.1:51022", opened_at: at(-4800), ended_at: at(-3900), ending: "user", grant: gone.id, purpose: gone.purpose };
  state.sessions.push(session, past);
  const did = (ago, type, text, outcome, more = {}) => record(type, { ago, actor: "carol", person: "carol", resource: "shop", role: "shop-reader", session: past.id, outcome, ...more }, text);
  did(4790, "action.allowed", "select max(created_at) from orders", "success", { result: "done", rows: 1, bytes: 24, micros: 900 });
  did(4788, "action.allowed", "select count(*) from orders where created_at > now() - interval '1 day'", "success", { result: "done", rows: 1, bytes: 8, micros: 2100 });
  did(4300, "action.blocked", "copy (select * from customers) to program 'curl'", "failure");
  did(4296, "action.allowed", "select id, email from customers limit 10", "success", { result: "done", rows: 10, bytes: 410, micros: 1300 });
  record("session.opened", { ago: 1200, actor: "alice", person: "alice", resource: "shop", session: session.id });
  const act = (ago, type, text, outcome) => record(type, { ago, actor: "alice", person: "alice", resource: "shop", role: "shop-writer", session: session.id, outcome }, text);
  act(1180, "action.allowed", "select status, count(*) from orders group by status order by 2 desc", "success");
  act(1100, "action.allowed", "select id, customer_id, total, created_at\nfrom orders\nwhere status = 'duplicate'", "success");
  record("action.completed", { ago: 1099, actor: "alice", person: "alice", resource: "shop", role: "shop-writer", session: session.id,
    result: "done", rows: 12, bytes: 486, micros: 3120 });
  act(1020, "action.blocked", "drop table orders", "failure");
  hold(world, {
    by: "alice", session, grant, action: "sql.write", verbs: ["delete"], ago: 130,
    text: "-- the import of 3 March wrote these twice\ndelete from orders\nwhere status = 'duplicate'\n  and created_at < now() - interval '30 days'",
    rows: { count: 12, estimate: 11, bound: 12, unbounded: false },
    relations: [
      { name: "public.orders", owner: "shop_owner", estimate_rows: 24012, access: "write", impact: "high", responsible: "group:dba" },
      { name: "public.customers", owner: "shop_owner", estimate_rows: 6000, access: "read", impact: "high", responsible: "group:security",
        title: "People who bought, or wanted to", labels: ["personal"] },
    ],
    effects: {
      cascades: [
        { relation: "public.order_items", from: "public.orders", constraint: "order_items_order_id_fkey", does: "delete", depth: 1, rows: 36 },
        { relation: "public.order_tree", from: "public.order_items", constraint: "tree_fkey", does: "set null", depth: 2,
          unknown: "it leads back to where it came from, and how often is not counted" },
      ],
      triggers: [{ name: "audit_orders", relation: "public.orders", timing: "after", events: "update or delete", level: "row",
        function: "audit.remember", definer: "shop_owner", enabled: "origin",
        definition: "CREATE TRIGGER audit_orders AFTER UPDATE OR DELETE ON public.orders FOR EACH ROW EXECUTE FUNCTION audit.remember()" }],
      rules: [],
      row_security: [{ relation: "public.customers", applies: false, policies: [{ name: "own_land", command: "all", restrictive: false, using: "(country = current_setting('app.land'))" }] }],
    },
    so_far: { since: at(-1200), more: true, statements: [
      { at: at(-300), action: "sql.select", verdict: "allow", text: "select count(*) from orders where status = 'duplicate'", result: "done", rows: 1, line: 61 },
      { at: at(-420), action: "sql.drop", verdict: "deny", text: "drop table orders_old", line: 58 },
      { at: at(-600), action: "sql.update", verdict: "hold", text: "update orders set status = 'paid' where id = 17", result: "failed", code: "23514", line: 52, request: "req_1" },
    ] },
    earlier: { by_person: 1, by_anybody: 2, last: [
      { id: "req_1", by: "alice", at: at(-86400), state: "approved", answered: ["bob"], outcome: { result: "done", rows: 12, bytes: 96, micros: 4200 } },
      { id: "req_2", by: "erin", at: at(-864000), state: "denied", answered: ["bob"] },
    ] },
  });
  hold(world, {
    by: "alice", session, grant, action: "sql.write", verbs: ["update"], ago: 40,
    text: "update customers set email = $1 where id = $2 -- \u202eyas ot ysae\u202c\u200b",
    rows: { estimate: 1, unbounded: true },
    parameters: [{ position: 1, type: 25, type_name: "text", encoding: "text", value: "p\u0430ul.weber@example.com" },
      { position: 2, type: 20, type_name: "bigint", encoding: "decoded", value: "4117" }],
    relations: [{ name: "public.customers", owner: "shop_owner", estimate_rows: 6000, access: "write" }],
    notes: ["a column holds personal data: customers.email", "a foreign key refers to it: orders.customer_id"],
  });
}

function tree(lines) {
  const leaves = lines.map((one) => hash([0], one.line));
  const split = (n) => 2 ** Math.floor(Math.log2(n - 1));
  const root = (from, to) => {
    if (to - from === 1) return leaves[from];
    const k = split(to - from);
    return hash([1], root(from, from + k), root(from + k, to));
  };
  const path = (index, from, to) => {
    if (to - from === 1) return [];
    const k = split(to - from);
    return index < from + k
      ? [...path(index, from, from + k), root(from + k, to)]
      : [...path(index, from + k, to), root(from, from + k)];
  };
  return { leaves, root: root(0, lines.length), path: (index) => path(index, 0, lines.length) };
}

class Refused extends Error {
  constructor(status, detail, hint) {
    super(detail);
    Object.assign(this, { status, hint });
  }
}

/** What each call does, by method and path. */
function routes(world, passwords) {
  const { state, record, changed } = world;
  const view = (one, who) => ({
    ...one,
    can: {
      approve: one.state === "pending" && one.stages.some((stage) => stage.people.some((one) => one.name === who)) && one.by.person !== who,
      deny: one.state === "pending" && one.stages.some((stage) => stage.people.some((one) => one.name === who)) && one.by.person !== who,
      withdraw: one.state === "pending" && one.by.name === who,
    },
  });
  const sees = (who, owner) => who === owner || runs(who);
  const canOf = (who, one) => {
    const live = one.state === "live";
    return { end: live, pause: live && !one.paused, resume: live && one.paused !== undefined && (one.paused.by === who || one.principal !== who) };
  };
  const held = (grant, who) => ({ ...grant, can: { revoke: grant.state === "live" && runs(who) && grant.principal !== who, relinquish: grant.state === "live" && grant.principal === who } });
  const live = (who) => state.grants.filter((grant) => grant.principal === who && grant.state === "live" && grant.not_after > at());
  const find = (list, wanted, what) => list.find((one) => one.id === wanted) ?? refuse(404, `there is no ${what} \`${wanted}\` that you may see`);
  const refuse = (status, detail, hint) => {
    throw new Refused(status, detail, hint);
  };
  const governs = (who) => runs(who) || refuse(403, "policy does not permit you `policy.read`", "ask those who apply policy whether you should have it");
  const reader = (who) => CAN[who].includes("ledger.read") || refuse(403, "you may not read the ledger", "ask somebody who looks after it");
  const end = (session, ending) => Object.assign(session, { state: "ended", ended_at: at(), ending });
  const endGrant = (grant, how, who) => {
    Object.assign(grant, { state: how, ended: { at: at(), ...by(who) } });
    state.sessions.filter((one) => one.grant === grant.id && one.state === "live").forEach((one) => end(one, how));
    record(`grant.${how}`, { actor: who, person: who, subject: grant.principal, grant: grant.id, role: grant.role });
    changed("grants", "sessions", "ledger", "requests");
  };
  const open = (one) => one.state === "pending" || (one.state === "approved" && !one.outcome && one.valid_until > at());
  const listed = (one) => {
    const { line, ...rest } = one;
    return { ...rest, state: one.seq < state.lines.length - 3 ? "published" : one.seq < state.lines.length - 1 ? "integrated" : "sequenced" };
  };
  const page = (items, query) => {
    const limit = Number(query.get("limit") ?? 50);
    const before = query.get("before");
    const rest = items.filter((one) => before === null || one.seq < Number(before)).sort((a, b) => b.seq - a.seq);
    return { items: rest.slice(0, limit).map(listed), ...(rest.length > limit ? { next: rest[limit - 1].seq } : {}) };
  };
  return {
    "GET /me": (who) => ({ id: who, state: "enabled", principal: who, person: who, name: person(who).name, groups: person(who).groups,
      capabilities: CAN[who], grants: live(who).map((grant) => held(grant, who)), signed_in_at: at(-60), means: ["password", "totp"],
      new_places: state.places.get(who) ?? [], now: at() }),
    "GET /me/sign-ins": (who) => ({ items: [
      { id: "sgn_1", state: "live", principal: who, via: "console", address: "192.0.2.14", program: "Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0", means: ["password", "totp"], signed_in_at: at(-60), seen_at: at(), expires_at: at(3600), this: true },
      { id: "sgn_2", state: "live", principal: who, via: "cli", address: "198.51.100.7", program: "countersign/0.1.0", means: ["password"], signed_in_at: at(-7200), seen_at: at(-900), expires_at: at(2700), this: false },
    ] }),
    "GET /me/authenticators": () => ({ items: [
      { id: "aut_2", state: "bound", means: "passkey", name: "Laptop", bound_at: at(-86400), used_at: at(-3600) },
      { id: "aut_1", state: "bound", means: "totp", bound_at: at(-864000), used_at: at(-60) },
      { id: "recovery-codes", state: "bound", means: "recovery-code", bound_at: at(-864000), left: 9 },
    ] }),
    "GET /roles": (who) => ({ items: ROLES.map((role) => ({ ...role, state: live(who).some((grant) => grant.role === role.id) ? "held" : "open", verdict: "hold", asked: ["1 of group:dba"] })) }),
    "GET /roles/:id/preview": (who, [role], query) => {
      const text = query.get("for");
      const for_s = [...text.matchAll(/(\d+)([dhms])/g)].reduce((sum, [, n, unit]) => sum + n * { d: 86400, h: 3600, m: 60, s: 1 }[unit], 0);
      const too = for_s > 14400;
      return { id: role, state: too ? "deny" : "hold", verdict: too ? "deny" : "hold", for_s, rules: too ? [] : ["shop-access"], asked: too ? [] : ["1 of group:dba (bob)"],
        reason: too ? "nobody holds a role for longer than four hours; ask again when it is over" : "roles of the shop are held with the approval of a DBA" };
    },
    "POST /requests": (who, _, __, body) => {
      const for_s = [...body.for.matchAll(/(\d+)([dhms])/g)].reduce((sum, [, n, unit]) => sum + n * { d: 86400, h: 3600, m: 60, s: 1 }[unit], 0);
      if (for_s === 0) refuse(422, `\`${body.for}\` is no duration`, "write it like 30m or 1h30m");
      const one = ask(world, { by: who, role: body.role, for_s, reason: body.reason, ticket: body.ticket });
      changed("requests", "ledger");
      return view(one, who);
    },
    "GET /requests": (who, _, query) => ({
      items: state.requests.filter((one) => {
        if (query.get("inbox") === "true") return view(one, who).can.approve;
        if (query.get("mine") === "true" && one.by.name !== who) return false;
        if (!sees(who, one.by.name)) return false;
        return query.get("state") === "all" || (query.get("state") ? one.state === query.get("state") : open(one));
      }).map((one) => view(one, who)),
    }),
    "GET /requests/:id": (who, [wanted]) => {
      const one = find(state.requests, wanted, "request");
      return sees(who, one.by.name) ? view(one, who) : refuse(404, `there is no request \`${wanted}\` that you may see`);
    },
    "POST /requests/:id/approve": (who, [wanted], _, body) => {
      const one = find(state.requests, wanted, "request");
      if (!view(one, who).can.approve) refuse(403, "you may not approve this request", "nobody approves the request of their own person");
      if (body.digest && body.digest !== one.digest) refuse(409, "the request is no longer what you saw");
      Object.assign(one, { state: "approved", missing: "", valid_until: at(600), approvals: [{ ...by(who), at: at(), ...(body.comment ? { comment: body.comment } : {}) }] });
      one.stages[0].given = [party(who)];
      record("decision.approved", { actor: who, person: who, subject: one.by.name, request: one.id, role: one.role }, body.comment);
      if (one.kind === "access") give(world, one, who);
      else one.outcome = { result: "done", rows: one.rows?.count ?? 1 };
      changed("requests", "grants", "ledger");
      return view(one, who);
    },
    "POST /requests/:id/deny": (who, [wanted], _, body) => {
      const one = find(state.requests, wanted, "request");
      if (!view(one, who).can.deny) refuse(403, "you may not deny this request");
      Object.assign(one, { state: "denied", missing: "", ended_at: at(), answer: { ...by(who), at: at(), ...(body.comment ? { comment: body.comment } : {}) } });
      record("decision.denied", { actor: who, person: who, subject: one.by.name, request: one.id, outcome: "failure" }, body.comment);
      changed("requests", "ledger");
      return view(one, who);
    },
    "POST /requests/:id/withdraw": (who, [wanted]) => {
      const one = Object.assign(find(state.requests, wanted, "request"), { state: "withdrawn", why: "cancelled", ended_at: at(), missing: "" });
      changed("requests", "ledger");
      return view(one, who);
    },
    "GET /grants": (who, _, query) => ({
      items: state.grants.filter((grant) => grant.state === (query.get("state") ?? "live") && (query.get("mine") === "true" ? grant.principal === who : sees(who, grant.principal))).map((grant) => held(grant, who)),
    }),
    "POST /grants/:id/revoke": (who, [wanted]) => endGrant(find(state.grants, wanted, "grant"), "revoked", who),
    "POST /grants/:id/relinquish": (who, [wanted]) => endGrant(find(state.grants, wanted, "grant"), "relinquished", who),
    "GET /sessions": (who, _, query) => ({
      items: state.sessions.filter((one) => one.state === (query.get("state") ?? "live") && sees(who, one.principal)).map((one) => ({ ...one, can: canOf(who, one) })),
    }),
    "GET /sessions/:id": (who, [wanted]) => {
      const one = find(state.sessions, wanted, "session");
      return sees(who, one.principal) ? { ...one, can: canOf(who, one) } : refuse(404, `there is no session \`${wanted}\` that you may see`);
    },
    "GET /sessions/:id/actions": (who, [wanted], query) => page(state.lines.filter((one) => one.session === wanted && one.type.startsWith("action.")), query),
    "POST /sessions/:id/pause": (who, [wanted], _, body) => {
      const one = find(state.sessions, wanted, "session");
      one.paused = { ...by(who), at: at(), reason: body.reason };
      changed("sessions", "ledger");
      return { ...one, can: canOf(who, one) };
    },
    "POST /sessions/:id/resume": (who, [wanted]) => {
      const one = find(state.sessions, wanted, "session");
      delete one.paused;
      changed("sessions", "ledger");
      return { ...one, can: canOf(who, one) };
    },
    "POST /sessions/:id/end": (who, [wanted]) => {
      end(find(state.sessions, wanted, "session"), "killed");
      record("session.closed", { actor: who, person: who, session: wanted });
      changed("sessions", "ledger");
    },
    "GET /resources": (who) => ({ items: [{ id: "shop", state: live(who).length > 0 ? "open" : "closed", kind: "postgres", title: "The shop's orders, customers and payments", impact: "high",
      owner: "group:dba", labels: { env: "production", data: "personal" }, roles: ROLES.map((role) => role.id), host: "127.0.0.1", port: 5443, database: "shop" }] }),
    "GET /me/devices": (who) => ({ items: state.devices.filter((one) => one.who === who).map(({ who: _, ...one }) => one),
      key: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4" }),
    "POST /me/devices": (who) => {
      const made = { id: id("dev"), who, state: "live", program: "Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0 Safari/537.36", added_at: at() };
      state.devices.unshift(made);
      return made;
    },
    "POST /me/devices/:id/test": () => ({ outcome: "failed", why: "its push service answered 503" }),
    "POST /me/devices/:id/remove": (who, _, __, ___, ____, path) => {
      state.devices = state.devices.filter((one) => one.who !== who || !path.includes(one.id));
    },
    "GET /workbenches": () => ({ items: [] }),
    "POST /workbenches": (who, _, __, { resource, role }) => {
      const grant = state.grants.find((one) => one.principal === who && one.state === "live" && one.resources.includes(resource) && (!role || one.role === role));
      if (!grant) throw new Refused(403, `you hold no live grant that reaches \`${resource}\``, "ask for it: countersign request shop-writer");
      return { id: `wb_${randomBytes(16).toString("hex")}`, state: "idle", session: state.sessions[0].id, resource, role: grant.role, server: "17.2",
        opened_at: at(), rows_max: 50000, can: { export: grant.role === "shop-reader" } };
    },
    "POST /workbenches/:id/cancel": () => undefined,
    "POST /workbenches/:id/close": () => undefined,
    "POST /workbenches/:id/export": () => undefined,
    "POST /credentials": (who, _, __, body) => ({ id: id("cre"), state: "live", resource: body.resource, user: who, password: "kT4mXw9bQz7LdR2vNs8H", host: "127.0.0.1", port: 5443,
      database: "shop", expires_at: at(900), url: `postgresql://${who}:kT4mXw9bQz7LdR2vNs8H@127.0.0.1:5443/shop?sslmode=require` }),
    "GET /principals": (who) => {
      if (!CAN[who].includes("principal.read")) refuse(403, "you may not see who there is");
      return { items: PEOPLE.map((one) => ({ ...one, person: one.owner ?? one.id, state: state.disabled.has(one.id) ? "disabled" : "enabled", roles: live(one.id).map((grant) => grant.role),
        can: { disable: one.id !== who && !state.disabled.has(one.id), enable: state.disabled.has(one.id) } })) };
    },
    "POST /me/device": () => ({ machine: "build-7", program: "countersign/0.1.0", address: "198.51.100.9", elsewhere: true, begun_at: at(-20), expires_at: at(580) }),
    "POST /me/device/answer": () => undefined,
    "POST /me/client": (who, _, __, { redirect_uri }) => {
      const { hostname: host } = new URL(redirect_uri);
      const grants = [{ role: "report-clerk", until: at(1500) }, { role: "report-reader", until: at(900) }];
      return { client: "A client of tools", host, here: host === "127.0.0.1", registered_at: at(-20), resource: "reports", title: "The reports", impact: "moderate",
        until: at(8 * 3600), actors: [{ principal: who, agent: false, grants }, { principal: "scribe", agent: true, grants: [] }] };
    },
    "POST /me/client/answer": (_, __, ___, { request, allow }) => {
      const to = new URL(request.redirect_uri);
      to.searchParams.append(...(allow ? ["code", id("code")] : ["error", "access_denied"]));
      return { redirect_to: to.href };
    },
    "POST /me/program": () => ({ code: id("code"), expires_at: at(60) }),
    "GET /directories": () => ({ items: [
      { id: "corp", state: "heard", title: "The company's directory", heard_at: at(-4), accounts: 3, active: 2 },
      { id: "partners", state: "silent", heard_at: at(-900), since: at(-300), accounts: 1, active: 1 },
    ] }),
    "POST /principals/:id/disable": (who, [name]) => {
      state.disabled.add(name);
      changed("principals", "ledger");
    },
    "POST /principals/:id/enable": (who, [name]) => {
      state.disabled.delete(name);
      changed("principals", "ledger");
    },
    "GET /accesses": (who, _, query) => {
      reader(who);
      const [resource, person] = [query.get("resource"), query.get("person")];
      const items = state.grants.filter((grant) => (!resource || grant.resources.includes(resource)) && (!person || grant.person === person) && grant.not_after > query.get("from") && grant.not_before < query.get("until")).map((grant) => {
        const acts = state.lines.filter((one) => one.type.startsWith("action.") && one.type !== "action.completed" && one.actor === grant.principal && grant.state === "live");
        const is = (type) => acts.filter((one) => one.type === type).length;
        return { id: grant.id, state: grant.state, by: party(grant.principal), person: grant.person, role: grant.role, resources: grant.resources, from: grant.not_before, until: grant.ended?.at ?? grant.not_after,
          ...(grant.ended ? { ended_by: { name: grant.ended.by, display: grant.ended.display } } : {}), request: grant.request, purpose: grant.purpose, ticket: "SHOP-481",
          approvals: [{ ...by("bob"), at: grant.not_before, signed: true }], sessions: [...new Set(acts.map((one) => one.session))], ran: is("action.allowed"), approved: 0, held: is("action.held"), refused: is("action.blocked"), rows: 12, acts: acts.map(listed) };
      });
      record("ledger.read", { actor: who, person: who });
      changed("ledger");
      return { state: "whole", from: query.get("from"), until: query.get("until"), items, decided: person ? state.lines.filter((one) => one.type.startsWith("decision.") && one.actor === person).map(listed) : [] };
    },
    "GET /ledger/state": (who) => {
      reader(who);
      const size = Math.max(1, state.lines.length - 3);
      return { id: "countersign.local/demo", state: "ok", size: state.lines.length, integrated: state.lines.length - 1,
        checkpoint: { size, root: tree(state.lines.slice(0, size)).root.toString("base64"), at: at(-8) }, vkey: LOG.vkey };
    },
    "GET /ledger/events": (who, _, query) => {
      reader(who);
      const is = (name, field) => !query.get(name) || field === query.get(name);
      const found = page(state.lines.filter((one) =>
        (!query.get("text") || `${one.text ?? ""}`.toLowerCase().includes(query.get("text").toLowerCase()))
        && (!query.get("type") || `${one.type}.`.startsWith(`${query.get("type").replace(/\.$/, "")}.`))
        && (is("principal", one.actor) || is("principal", one.subject)) && is("session", one.session) && is("request", one.request)
        && (!query.get("control") || one.controls.includes(query.get("control")))), query);
      record("ledger.read", { actor: who, person: who });
      changed("ledger");
      return found;
    },
    "GET /ledger/events/:id": (who, [seq]) => {
      reader(who);
      const one = state.lines[Number(seq)] ?? refuse(404, `there is no line ${seq}`, `the last one is ${state.lines.length - 1}`);
      const size = Math.max(1, state.lines.length - 3);
      const hashes = tree(state.lines.slice(0, size));
      const proof = one.seq < size
        ? { proof: `c2sp.org/tlog-proof@v1\nindex ${one.seq}\n${hashes.path(one.seq).map((part) => `${part.toString("base64")}\n`).join("")}\n${LOG.note(hashes.leaves)}` } : {};
      record("ledger.read", { actor: who, person: who });
      changed("ledger");
      return { ...listed(one), line: one.line, leaf: hash([0], one.line).toString("hex"), content: one.text ? [{ pointer: "/text", text: one.text, state: "kept" }] : [], ...proof };
    },
    "GET /bundle": (who) => {
      governs(who);
      return { id: hashOf(FILES), state: "active", name: "shop", version: 2, principals: 5, groups: 4, resources: 1, roles: 2, rules: 3, warnings: [] };
    },
    "GET /bundle/versions": (who) => {
      governs(who);
      return { items: [
        { id: hashOf(FILES), state: "active", version: 2, previous: hashOf(EARLIER), by: party("dave"), at: at(-5390), line: 1, kept: true,
          approvals: [{ ...by("carol"), at: at(-5392), comment: "Nothing is dropped by hand any more. Good.", signed: true }] },
        { id: hashOf(EARLIER), state: "past", version: 1, by: party("dave"), at: at(-864000), line: 0, approvals: [], kept: true },
      ] };
    },
    "GET /bundle/files": (who, _, query) => {
      governs(who);
      const wanted = query.get("id") ?? hashOf(FILES);
      const files = [FILES, EARLIER, ...state.proposed].find((one) => hashOf(one) === wanted) ?? refuse(404, `there is no bundle \`${wanted}\` in the store`);
      return { id: wanted, state: files === FILES ? "active" : "valid", files };
    },
    "POST /bundle/check": (who, _, __, body) => {
      governs(who);
      const diagnostics = Object.entries(body.files).flatMap(([file, text]) => text.split("\n").flatMap((row, i) => (row.includes("permitt") ? [{
        severity: "error", file, line: i + 1, column: row.indexOf("permitt") + 1, message: "unexpected token `permitt`: expected `permit` or `forbid`", hint: "did you mean `permit`?" }] : [])));
      return { state: diagnostics.length > 0 ? "invalid" : "valid", diagnostics, ...(diagnostics.length > 0 ? {} : { id: hashOf(body.files) }) };
    },
    "POST /bundle/simulate": (who, _, __, { principal, attempt }) => {
      governs(who);
      const reads = attempt.kind === "statement" && /^\s*select/i.test(attempt.text);
      const base = { action: reads ? "sql.select" : attempt.kind === "statement" ? "sql.delete" : "access.request", errors: [], at: at(),
        circumstances: [{ name: "hour", value: "9" }, { name: "via", value: '"postgres"' }, { name: "weekday", value: "1" }] };
      const statement = { verbs: [reads ? "select" : "delete"], reasons: reads ? [] : ["DELETE changes `public.orders`"], catalogue: true };
      if (reads) return { ...base, state: "allow", reason: "", actions: ["sql.select"], policies: [{ id: "role/shop-writer", says: "permits" }], stages: [], statement, holds: false };
      const rule = attempt.kind === "statement" ? "prod-write" : "shop-access";
      return { ...base, state: "hold", actions: [base.action], stages: [{ rule, need: 1, from: ["group:dba", ...(attempt.kind === "statement" ? ["owner"] : [])], people: principal === "bob" ? [] : [party("bob")], given: [] }],
        reason: attempt.kind === "statement" ? "changes to a resource of high impact need a second pair of eyes" : "roles of the shop are held with the approval of a DBA",
        policies: attempt.kind === "statement"
          ? [{ id: "writes-to-high-impact-need-the-dba", says: "holds", rule, reason: "changes to a resource of high impact need a second pair of eyes" }, { id: "role/shop-writer", says: "permits" }]
          : [{ id: "access-to-the-shop-needs-the-dba", says: "holds", rule, reason: "roles of the shop are held with the approval of a DBA" }, { id: "everyone-may-ask", says: "permits" }],
        ...(attempt.kind === "statement" ? { statement, holds: live(principal).some((grant) => grant.role === attempt.role) } : {}) };
    },
    "POST /bundle/compare": (who, _, __, body) => {
      governs(who);
      const held = (asked) => ({ verdict: "hold", rules: ["shop-access"], asked: [asked] });
      return { id: hashOf(body.files), state: "hold", same: false, reason: "changes to the policy need the approval of security", compared: 5, of: 5,
        stages: [{ rule: "policy-change", need: 1, from: ["group:security"], people: [party("carol")], given: [] }],
        people: [
          { id: "carol", state: "stays", display: "Carol Cooper", changes: [
            { scope: "ask", role: "shop-writer", actions: ["access.request"], before: held("1 of group:dba (bob)"), after: { verdict: "allow" } },
            { scope: "do", role: "shop-writer", resource: "shop", actions: ["sql.delete", "sql.insert", "sql.update"], before: { verdict: "hold", rules: ["prod-write"] }, after: { verdict: "deny" } }] },
          { id: "alice", state: "goes", display: "Alice Archer", changes: [
            { scope: "ask", role: "shop-writer", actions: ["access.request"], before: held("1 of group:dba (bob)"), after: { verdict: "deny" } }] },
        ],
        ends: [...live("alice").map((grant) => ({ id: grant.id, kind: "grant", by: party("alice"), of: grant.role })),
          ...state.sessions.filter((one) => one.state === "live").map((one) => ({ id: one.id, kind: "session", by: party(one.principal), of: one.resource }))] };
    },
    "POST /bundle/replay": (who, _, __, body) => {
      reader(who);
      return { state: "whole", since: at(-86400 * body.days), judged: 4812, newly_held: 3, newly_denied: 0, newly_allowed: 0, held_otherwise: 0, unknown: 12,
        examples: state.lines.filter((one) => one.type === "action.allowed" && one.text).slice(0, 3).map((one) => ({ seq: one.seq, at: one.at, by: party(one.actor), role: one.role, resource: one.resource,
          action: "sql.select", text: one.text, before: "allow", after: "hold", reason: "reads of payments need a second pair of eyes" })) };
    },
    "POST /bundle": (who, _, __, body) => {
      if (!CAN[who].includes("policy.apply")) refuse(403, "policy does not permit you `policy.apply`");
      const one = ask(world, { by: who, role: undefined, for_s: undefined, reason: undefined });
      Object.assign(one, { kind: "apply", action: "policy.apply", bundle: hashOf(body.files), held_by: [{ rule: "policy-change", policies: [{ id: "policy-changes-need-security", reason: "changes to the policy need the approval of security" }] }],
        stages: [{ rule: "policy-change", need: 1, from: ["group:security"], people: [party("carol")], given: [] }], missing: "1 of group:security (carol)", lapses_at: at(86400) });
      state.proposed.push(body.files);
      changed("requests", "ledger");
      return { id: one.id, state: "pending", request: one.id };
    },
    "GET /catalogue": (who) => {
      governs(who);
      return { id: hashOf(FILES), state: "active",
        resources: [{ id: "shop", kind: "postgres", title: "The shop's orders, customers and payments", owner: "group:dba", impact: "high", labels: { data: "personal", env: "production" }, recording: "before-release",
          address: "127.0.0.1/shop", roles: ROLES.map((role) => role.id), relations: [
            { name: "public.customers", title: "People who bought, or wanted to", owner: "group:security", labels: ["personal"], columns: [{ name: "email", labels: ["email"], mask: "partial" }, { name: "phone", labels: ["phone"], mask: "default" }] },
            { name: "public.payments", title: "What was paid, and from which account", owner: "group:security", labels: ["payment"], columns: [{ name: "iban", labels: ["payment"], mask: "full" }] },
            { name: "public.products", title: "What is for sale", impact: "low", labels: [], columns: [] }] }],
        roles: ROLES.map((role) => ({ ...role, account: role.id.replace("-", "_"), holders: PEOPLE.filter((one) => live(one.id).some((grant) => grant.role === role.id)).map((one) => party(one.id)),
          granted: role.id === "shop-writer" ? 41 : 1, granted_at: at(role.id === "shop-writer" ? -1380 : -86400 * 120) })),
        groups: ["admins", "dba", "engineers", "security"].map((group) => ({ id: group, members: PEOPLE.filter((one) => one.groups.includes(group)).map((one) => party(one.id)), groups: [], from: {} })),
        rules: [
          { id: "policy-change", stages: [{ need: 1, from: ["group:security"] }], pending_for_s: 86400, valid_for_s: 3600, uses: 1, signed: false, escalate: [] },
          { id: "prod-write", stages: [{ need: 1, from: ["group:dba", "owner"] }], pending_for_s: 900, valid_for_s: 600, uses: 1, signed: false, escalate: [{ after_s: 300, add: ["group:security"] }] },
          { id: "shop-access", stages: [{ need: 1, from: ["group:dba"] }], pending_for_s: 1800, valid_for_s: 600, uses: 1, signed: false, escalate: [{ after_s: 600, add: ["group:security"] }] }] };
    },
    "POST /sign-out": (who, _, __, ___, token) => {
      state.tokens.delete(token);
    },
    listed,
    signIn: (body) => {
      if (!CAN[body.user] || passwords[body.user] !== body.password) refuse(401, "the name or the password is wrong");
      const token = randomBytes(16).toString("hex");
      state.tokens.set(token, body.user);
      return { token, answer: { expires_at: at(43200), principal: body.user } };
    },
  };
}

const policy = (nonce) =>
  `default-src 'none'; script-src 'self'; style-src 'self' 'nonce-${nonce}'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'`;

function page(path, response) {
  const file = normalize(join(dist, path));
  if (path !== "/" && extname(path) && file.startsWith(dist) && existsSync(file)) {
    // Compressed, as the gateway sends it: what a first load weighs is measured here too.
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "content-encoding": "gzip" });
    createReadStream(file).pipe(createGzip()).pipe(response);
    return;
  }
  const nonce = randomBytes(16).toString("hex");
  response.writeHead(200, { "content-type": TYPES[".html"], "content-security-policy": policy(nonce), "cache-control": "no-store" });
  response.end(readFileSync(join(dist, "index.html"), "utf8").replaceAll("__CSP_NONCE__", nonce));
}

async function bodyOf(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text === "" ? {} : JSON.parse(text);
}

/** Starts a stand-in; port 0 takes a free one. */
export async function start({ port = 0, passwords = { alice: "demo", bob: "demo", carol: "demo", dave: "demo" } } = {}) {
  const world = gateway();
  history(world);
  const table = routes(world, passwords);
  const server = createServer((request, response) => void serve(request, response));
  const send = (response, status, value, headers = {}) => {
    response.writeHead(value === undefined ? 204 : status, { "content-type": status < 400 ? "application/json" : "application/problem+json", ...headers });
    response.end(value === undefined ? undefined : JSON.stringify(value));
  };
  async function serve(request, response) {
    const url = new URL(request.url, "http://mock");
    if (url.pathname === "/oauth/register") return send(response, 201, { client_id: id("cli") });
    if (!url.pathname.startsWith("/api/v1/")) return page(url.pathname, response);
    const path = url.pathname.slice("/api/v1".length);
    try {
      if (path === "/sign-in") {
        const { token, answer } = table.signIn(await bodyOf(request));
        return send(response, 200, answer, { "set-cookie": `countersign=${token}; HttpOnly; SameSite=Strict; Path=/` });
      }
      if (path === "/sign-in/providers") return send(response, 200, { items: [] });
      if (path === "/health") return send(response, 200, { id: "gateway", state: "ok" });
      const token = /countersign=(\w+)/.exec(request.headers.cookie ?? "")?.[1];
      const who = world.state.tokens.get(token);
      if (!who) throw new Refused(401, "you are not signed in", "sign in");
      if (path === "/events") {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write(`retry: 1000\nevent: change\ndata: ${JSON.stringify({ index: 0, topics: ["requests", "grants", "sessions", "principals", "bundle", "ledger"] })}\n\n`);
        world.state.streams.add(response);
        response.on("close", () => world.state.streams.delete(response));
        return undefined;
      }
      if (/^\/sessions\/[^/]+\/follow$/.test(path)) {
        const session = path.split("/")[2];
        const of = () => world.state.lines.filter((one) => one.session === session && one.seq >= Number(url.searchParams.get("from") ?? 0));
        let told = -1;
        response.writeHead(200, { "content-type": "text/event-stream" });
        const tell = () => {
          const items = of().filter((one) => one.seq > told).map(table.listed);
          told = items.at(-1)?.seq ?? told;
          response.write(`event: lines\ndata: ${JSON.stringify({ items, next: told + 1 })}\n\n`);
        };
        tell();
        const timer = setInterval(tell, 700);
        response.on("close", () => clearInterval(timer));
        return undefined;
      }
      if (/^\/workbenches\/[^/]+\/run$/.test(path)) {
        const { text, rows_max } = await bodyOf(request);
        response.writeHead(200, { "content-type": "application/x-ndjson" });
        for (const event of told(text, rows_max)) response.write(`${JSON.stringify(event)}\n`);
        return response.end();
      }
      if (path.startsWith("/ledger/") && /^\/ledger\/(?:vkey$|checkpoint$|tile\/)/.test(path)) {
        const lines = world.state.lines;
        const leaves = tree(lines.slice(0, Math.max(1, lines.length - 3))).leaves;
        const answer = path.endsWith("/vkey") ? LOG.vkey : path.endsWith("/checkpoint") ? LOG.note(leaves) : tile(leaves, path.slice("/ledger/tile/".length));
        if (answer === undefined) throw new Refused(404, "the ledger has no such tile");
        response.writeHead(200, { "content-type": path.includes("/tile/") ? "application/octet-stream" : "text/plain; charset=utf-8" });
        return response.end(answer);
      }
      const parts = path.split("/");
      const call = table[`${request.method} ${path}`] ?? table[`${request.method} ${[...parts.slice(0, -1), ":id"].join("/")}`]
        ?? table[`${request.method} /${parts[1]}/:id/${parts[3]}`] ?? table[`${request.method} ${path.replace(/\/dev_[^/]+/, "/:id")}`];
      if (!call) throw new Refused(404, "there is no such endpoint");
      const wanted = path.startsWith("/ledger/") ? parts[3] : parts[2];
      return send(response, 200, call(who, [wanted], url.searchParams, await bodyOf(request), token, path));
    } catch (error) {
      const status = error.status ?? 500;
      return send(response, status, { type: "urn:countersign:problem:refused", title: "refused", status, detail: error.message, ...(error.hint ? { hint: error.hint } : {}) });
    }
  }
  await new Promise((ready) => server.listen(port, "127.0.0.1", ready));
  const bound = server.address();
  return {
    url: `http://127.0.0.1:${bound.port}`,
    /** Goes away, and comes back at the same address. */
    away: (gone) => new Promise((done) => {
      if (!gone) return server.listen(bound.port, "127.0.0.1", done);
      server.close(done);
      server.closeAllConnections();
      return undefined;
    }),
    stop: () => new Promise((done) => {
      server.close(done);
      server.closeAllConnections();
    }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await start({ port: Number(process.env.PORT ?? 7781) });
  console.log(`a stand-in for the gateway at ${url}; alice, bob, carol and dave, each with the password demo`);
}
