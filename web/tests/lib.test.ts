import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { QueryClient } from "@tanstack/react-query";
import type { Event } from "../src/api/client";
import { beforeEach, describe, expect, it } from "vitest";

import { forget, STALE, type Topic } from "../src/api/live";
import { lines as looked } from "../src/api/queries";
import { take, type Result, type RunEvent } from "../src/api/workbench";
import { now, setNow } from "../src/lib/clock";
import { lastAlike } from "../src/lib/alike";
import { rows as lanes, table, totals } from "../src/lib/accesses";
import { around, complete, quoted, relations, type Relation } from "../src/lib/complete";
import { csv } from "../src/lib/csv";
import { CONTROLS, titleOf } from "../src/lib/controls";
import { find, fit, meant, type Item } from "../src/lib/palette";
import { colour, placeOf } from "../src/lib/code";
import { changed, counts, diff, hunks } from "../src/lib/diff";
import { told, toneOf } from "../src/lib/effect";
import { isTaken } from "../src/lib/keys";
import { hold, type Keeper, type Kept } from "../src/lib/keeping";
import { open, readCheckpoint, readKey } from "../src/lib/note";
import { check, parse, rootOf } from "../src/lib/proof";
import { clock, reached, steps } from "../src/lib/playing";
import { program } from "../src/lib/programs";
import { environment, quote } from "../src/lib/shell";
import { deceives, highlight, lines, reveal } from "../src/lib/sql";
import { away, seconds, secondsTo, span, words } from "../src/lib/time";
import { grown, tileNumber } from "../src/lib/tiles";
import { leafOf as leafHash, makeLog, root as rootOfLeaves, tile } from "./log.mjs";
import { bound, completion, initials, rows, typed, verb } from "../src/lib/words";
import { database, invitationLink, invited, keep as keepFounding, nameOf, NOTHING, read as readFounding } from "../src/lib/founding";

describe("programs", () => {
  it("are called as people call them, whatever they hide in", () => {
    expect(program("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/131.0 Safari/537.36 Edg/131.0")).toBe("Edge on Windows");
    expect(program("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Safari/604.1")).toBe("Safari on an iPhone");
    expect(program("countersign/0.1.0", "cli")).toBe("the command line");
    expect(program("curl/8.5.0")).toBe("curl/8.5.0");
    expect(program(undefined, "console")).toBe("a browser");
    expect(program("", "api")).toBe("a program");
  });
});

describe("time", () => {
  it("shows the two largest units", () => {
    expect([0, 9, 61, 599, 3_600, 5_025, 90_000, -4].map(span)).toEqual(
      ["0s", "9s", "1m 01s", "9m 59s", "1h 00m", "1h 23m", "1d 01h", "0s"]);
  });
  it("tells how far away an instant is", () => {
    const now = Date.parse("2026-03-03T09:30:00Z");
    expect(away("2026-03-03T09:31:00Z", now)).toBe("in 1m 00s");
    expect(away("2026-03-03T09:29:48Z", now)).toBe("12s ago");
    expect(secondsTo("2026-03-03T09:29:48Z", now)).toBe(-12);
  });
  it("reads durations as the gateway does, and nothing else", () => {
    expect(["30m", "1h30m", "2h", "45s", "1d", " 15m "].map(seconds)).toEqual([1800, 5400, 7200, 45, 86_400, 900]);
    for (const wrong of ["", "30", "m", "0m", "30m1h", "-5m", "1.5h", "a lot"]) expect(seconds(wrong)).toBeUndefined();
  });
  it("says durations in words", () => {
    expect([1800, 5400, 3600, 90_000, 61].map(words)).toEqual(
      ["30 minutes", "1 hour 30 minutes", "1 hour", "1 day 1 hour", "1 minute 1 second"]);
  });
  it("follows the gateway's clock, not the viewer's", () => {
    setNow(new Date(Date.now() + 3_600_000).toISOString());
    expect(now() - Date.now()).toBeGreaterThan(3_590_000);
    setNow("not an instant");
    expect(now() - Date.now()).toBeGreaterThan(3_590_000);
    setNow(new Date().toISOString());
  });
});

describe("sql", () => {
  const whole = (sql: string): string => highlight(sql).map((part) => part.text).join("");
  const kinds = (sql: string): string[] => highlight(sql).filter((part) => part.text.trim()).map((part) => part.kind);

  it("leaves nothing out", () => {
    const hard = [
      "DELETE FROM orders WHERE id = $1 -- all of them",
      "select 'it''s', $q$ a $ b $q$, \"Odd\"\"Name\", 1.5e3 /* open",
      "select 'unterminated", "select E'a\\", "$", "$1$", "$a$ never closed", "U&'\\0041' b'01' . .. ... 1..2",
      "\u202eselect\u200b 1;\u0000\u0430\ud83d\ude00\ud800", "\u{e0041}\u{1d400}\r\n\t", "",
    ];
    for (const sql of hard) {
      expect(whole(sql)).toBe(sql);
      expect(lines(highlight(sql)).map((line) => line.map((part) => part.text).join("")).join("\n")).toBe(sql);
    }
  });
  it("leaves nothing out of any text", () => {
    const letters = ["'", "\"", "$", "-", "/", "*", "\\", "e", "E", "1", ".", " ", "\n", "a", "_", "&", "U", "\u202e", "\u00e9", "\ud83d\ude00", ";"];
    let state = 7;
    const random = (): number => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31);
    for (let i = 0; i < 4_000; i += 1) {
      const text = Array.from({ length: random() % 14 }, () => letters[(random() >> 8) % letters.length]).join("");
      expect(whole(text)).toBe(text);
    }
  });
  it("tells strings, comments and words apart", () => {
    expect(kinds("DELETE FROM o WHERE s = 'from' -- where")).toEqual(
      ["word", "word", "plain", "word", "plain", "string", "comment"]);
    expect(kinds("$1 $$x$$ $t$ y $t$")).toEqual(["parameter", "string", "string"]);
    expect(kinds("\"select\" 12 1e5 .5")).toEqual(["name", "number", "number", "number"]);
  });
  it("sees comments and strings where PostgreSQL sees them", () => {
    expect(kinds("/* a /* b */ delete */ select")).toEqual(["comment", "word"]);
    expect(kinds("E'it\\'s' delete")).toEqual(["string", "word"]);
    expect(kinds("'a\\' delete")).toEqual(["string", "word"]);
    expect(kinds("$a$ $b$ delete $a$ select")).toEqual(["string", "word"]);
    expect(kinds("selected delete_me")).toEqual(["plain"]);
  });
  it("makes visible what hides, and marks what deceives", () => {
    expect(reveal("a\u202eb")).toEqual([
      { kind: "plain", text: "a" },
      { kind: "hidden", text: "\u202e", shown: "U+202E", told: "right-to-left override" },
      { kind: "plain", text: "b" }]);
    expect(reveal("p\u0430y")[1]).toMatchObject({ kind: "lookalike", text: "\u0430" });
    for (const bad of ["\u0000", "\u001b", "\r", "\u00a0", "\u00ad", "\u200b", "\u2066", "\u3000", "\ufeff", "\u{e0041}", "\ufe0f", "\u3164", "\u2800", "\ue000"]) {
      expect(reveal(`a${bad}`)[1]?.kind, `U+${bad.codePointAt(0)?.toString(16)}`).toBe("hidden");
    }
    for (const bad of ["\u0430", "\u03bf", "\uff41", "\u{1d41a}", "\u2019", "\u2013", "\u2212", "\u0301", "\u2044"]) {
      expect(reveal(`a${bad}`)[1]?.kind, `U+${bad.codePointAt(0)?.toString(16)}`).toBe("lookalike");
    }
    expect(deceives("select 'Malm\u00f6, \u6771\u4eac' \n\tfrom t")).toBe(false);
    expect(deceives("select\u00a01")).toBe(true);
  });
  it("marks what hides inside strings and comments too", () => {
    expect(highlight("'a\u202eb'").map((part) => part.kind)).toEqual(["string", "hidden", "string"]);
    expect(highlight("-- a\u200bb").map((part) => part.kind)).toEqual(["comment", "hidden", "comment"]);
  });
});

describe("words", () => {
  it("say what is known of rows, and what is not", () => {
    expect(rows({ count: 12, unbounded: false }).figure).toBe("12 rows");
    expect(rows({ count: 0, unbounded: false }).figure).toBe("0 rows");
    expect(rows({ estimate: 1, unbounded: false }).figure).toBe("about 1 row");
    expect(rows({ least: 0, most: 3, estimate: 2, unbounded: false })).toEqual(
      { figure: "0 to 3 rows", note: "counted when it was asked; the server's plan expects 2" });
    expect(rows({ unknown: "it calls f", unbounded: true })).toEqual({ figure: "unknown", note: "it calls f" });
    expect(rows({ unbounded: true }).figure).toBe("unknown");
    expect(bound({ bound: 12, unbounded: false })).toContain("at most 12");
    expect(bound({ unbounded: true })).toContain("No bound");
  });
  it("name actions and people", () => {
    expect([verb("sql.delete"), verb("ssh.exec"), verb("sql.unknown")]).toEqual(["DELETE", "ssh.exec", "statement that is not understood"]);
    expect([initials("Alice Archer"), initials("ci"), initials("")]).toEqual(["AA", "C", "?"]);
  });
});

describe("parameters", () => {
  it("are shown with their type", () => {
    const one = { position: 1, type: 20, encoding: "decoded" } as const;
    expect(typed({ ...one, type_name: "bigint" })).toBe("bigint");
    expect(typed({ ...one, type: 0 })).toBe("type not known");
    expect(typed({ ...one, type: 90_000, encoding: "hex" })).toBe("type 90000, bytes in hexadecimal");
  });
});

describe("completions", () => {
  it("are told in figures", () => {
    const line = { type: "action.completed" } as Event;
    expect(completion(line)).toBeUndefined();
    expect(completion({ ...line, result: "done", rows: 1, bytes: 486, micros: 3_120 })).toBe("1 row, 486 bytes, 3.1 ms");
    expect(completion({ ...line, result: "failed", code: "23505", bytes: 0 })).toBe("failed, error 23505");
    expect(completion({ ...line, result: "unknown" })).toBe("outcome unknown");
  });
});

describe("credentials", () => {
  it("become variables that a shell takes as they are", () => {
    expect([quote("plain-1.2"), quote("it's $HOME"), quote("")]).toEqual(["plain-1.2", "'it'\\''s $HOME'", "''"]);
    const minted = {
      id: "cre_1", state: "live" as const, resource: "shop", user: "alice", password: "a b", host: "localhost", port: 5433, database: "shop",
      expires_at: "2026-03-03T09:30:00Z", url: "postgresql://alice:a%20b@localhost:5433/shop?sslmode=verify-full&sslrootcert=%2Fca%20dir%2Fca.pem",
    };
    expect(environment(minted).split("\n").slice(-3)).toEqual(
      ["export PGPASSWORD='a b'", "export PGSSLMODE=verify-full", "export PGSSLROOTCERT='/ca dir/ca.pem'"]);
    expect(environment({ ...minted, url: "postgresql://localhost/shop" })).not.toContain("SSL");
  });
});

describe("live changes", () => {
  it("make stale what they are about, and nothing else", () => {
    const client = new QueryClient();
    client.setQueryData(["inbox"], []);
    client.setQueryData(["grants", {}], []);
    forget(client, ["requests"]);
    expect(client.getQueryState(["inbox"])?.isInvalidated).toBe(true);
    expect(client.getQueryState(["grants", {}])?.isInvalidated).toBe(false);
  });
  it("never read the ledger's lines again by themselves: reading them is recorded", () => {
    const client = new QueryClient();
    const names = [looked({}).queryKey, ["line", 4], ["actions", "ses_1"]];
    for (const name of names) client.setQueryData(name, {});
    forget(client, Object.keys(STALE) as Topic[]);
    for (const name of names) expect(client.getQueryState(name)?.isInvalidated).toBe(false);
  });
  it("ignore a topic that is new to this console", () => {
    expect(() => forget(new QueryClient(), ["finding" as Topic])).not.toThrow();
  });
});

describe("keys", () => {
  const press = (target: Element, init: KeyboardEventInit = {}): KeyboardEvent => {
    const event = new KeyboardEvent("keydown", { key: "a", bubbles: true, cancelable: true, ...init });
    target.dispatchEvent(event);
    return event;
  };
  beforeEach(() => {
    document.body.innerHTML = "<input><p></p>";
  });
  const get = (selector: string): Element => document.querySelector(selector) ?? document.body;
  it("rest while somebody types, holds a modifier, or is asked something", () => {
    expect(isTaken(press(get("p")))).toBe(false);
    expect(isTaken(press(get("input")))).toBe(true);
    expect(isTaken(press(get("p"), { ctrlKey: true }))).toBe(true);
    document.body.insertAdjacentHTML("beforeend", "<div role=dialog></div>");
    expect(isTaken(press(get("p")))).toBe(true);
  });
});

describe("proofs", () => {
  const sha = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(createHash("sha256").update(Buffer.concat(parts)).digest());
  const leaf = (line: string): Uint8Array => sha(Uint8Array.of(0), Buffer.from(line));
  const root = (leaves: Uint8Array[]): Uint8Array => {
    if (leaves.length === 1) return leaves[0] as Uint8Array;
    const k = 2 ** Math.floor(Math.log2(leaves.length - 1));
    return sha(Uint8Array.of(1), root(leaves.slice(0, k)), root(leaves.slice(k)));
  };
  const path = (at: number, leaves: Uint8Array[]): Uint8Array[] => {
    if (leaves.length === 1) return [];
    const k = 2 ** Math.floor(Math.log2(leaves.length - 1));
    return at < k ? [...path(at, leaves.slice(0, k)), root(leaves.slice(k))] : [...path(at - k, leaves.slice(k)), root(leaves.slice(0, k))];
  };
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  const of = (at: number, size: number) => {
    const texts = Array.from({ length: size }, (_, i) => `{"seq":${i}}`);
    const leaves = texts.map(leaf);
    const steps = path(at, leaves).map((hash) => `${base64(hash)}\n`).join("");
    const proof = `c2sp.org/tlog-proof@v1\nindex ${at}\n${steps}\nexample.org/log\n${size}\n${base64(root(leaves))}\n\n\u2014 example.org/log AAAA\n`;
    const line = texts[at] ?? "";
    return { seq: at, line, leaf: Buffer.from(leaf(line)).toString("hex"), proof };
  };

  it("hold for every line of every small tree", async () => {
    for (let size = 1; size <= 17; size += 1) {
      for (let at = 0; at < size; at += 1) expect((await check(of(at, size))).holds, `${at} of ${size}`).toBe(true);
    }
  });
  it("do not hold when anything is changed", async () => {
    const good = of(5, 13);
    const other = of(4, 13);
    const wrong = [
      { ...good, line: `${good.line} ` },
      { ...good, leaf: other.leaf },
      { ...good, line: other.line, leaf: other.leaf },
      { ...good, proof: other.proof },
      { ...good, seq: 4 },
      { ...good, proof: good.proof.replace("\n13\n", "\n40\n") },
      { ...good, proof: good.proof.replace(/index 5\n.*\n/, "index 5\n") },
      { ...good, proof: "nonsense" },
    ];
    for (const one of wrong) expect(await check(one)).toMatchObject({ holds: false, pending: false });
  });
  it("are pending until a checkpoint covers the line", async () => {
    const { proof: _, ...young } = of(2, 3);
    expect(await check(young)).toMatchObject({ holds: false, pending: true });
  });
  it("are read strictly", async () => {
    const { proof } = of(1, 4);
    expect(parse(proof)?.path.length).toBe(2);
    expect(parse(proof.replace("@v1", "@v2"))).toBeUndefined();
    expect(parse(proof.replace("index 1", "index -1"))).toBeUndefined();
    expect(parse(proof.replace(/index 1\n.{8}/, "index 1\n"))).toBeUndefined();
    const read = parse(proof);
    expect(read && (await rootOf(new Uint8Array(32), { ...read, index: 4 }))).toBeUndefined();
  });
});

describe("files of a bundle", () => {
  const cedar = '// why\n@id("a-b")\n@gate("x")\nforbid (principal in Group::"dba", action, resource)\nwhen { context.rows > 10 && resource.hasTag("env") };\n';
  const toml = '[role.reader] # who\ntitle = "Read \\"it\\""\nlongest = 4\nstages = [{ need = 1, from = ["group:dba"] }]\nsigned = true\n';

  it("are shown whole, whatever they are", () => {
    for (const text of [cedar, toml, "", '"', "'", '"""', "@", "[", "[[", "a\u202eb", "\ud83d\ude00", '"no end\nof it', "/ /", "::", "1_000.5"]) {
      for (const language of ["cedar", "toml"] as const) {
        expect(colour(text, language).map((part) => part.text).join("")).toBe(text);
      }
    }
  });
  it("are coloured by their own grammar", () => {
    const of = (kind: string, text: string, language: "cedar" | "toml") => colour(text, language).filter((part) => part.kind === kind).map((part) => part.text);
    expect(of("comment", cedar, "cedar")).toEqual(["// why"]);
    expect(of("parameter", cedar, "cedar")).toEqual(["@id", "@gate"]);
    expect(of("word", cedar, "cedar")).toEqual(["forbid", "principal", "in", "action", "resource", "when", "context", "resource"]);
    expect(of("name", cedar, "cedar")).toEqual(["Group"]);
    expect(of("name", toml, "toml")).toEqual(["title", "longest", "stages", "need", "from", "signed"]);
    expect(of("string", toml, "toml")).toEqual(['"Read \\"it\\""', '"group:dba"']);
    expect(of("word", toml, "toml")).toEqual(["[role.reader]", "true"]);
    expect(of("hidden", "permit\u200b", "cedar")).toEqual(["\u200b"]);
  });
  it("say where a policy stands", () => {
    const files = { "house.cedar": `// x\n${cedar}`, "roles.toml": `\n${toml}` };
    expect(placeOf(files, "a-b")).toEqual({ file: "house.cedar", line: 3 });
    expect(placeOf(files, "role/reader")).toEqual({ file: "roles.toml", line: 2 });
    expect(placeOf(files, "nothing")).toBeUndefined();
  });
});

describe("differences", () => {
  /** Puts both texts together again. */
  const sides = (before: string, after: string): [string, string] => {
    const lines = diff(before, after);
    const side = (not: "in" | "out") => lines.filter((line) => line.kind !== not).map((line) => line.text).join("\n");
    return [side("in"), side("out")];
  };
  it("lose nothing of either text, and are the shortest there are", () => {
    expect(counts(diff("a\nb\nc\nd\n", "a\nx\nc\nd\n"))).toEqual({ in: 1, out: 1 });
    expect(counts(diff("", "a\nb\n"))).toEqual({ in: 2, out: 0 });
    expect(counts(diff("a\n", ""))).toEqual({ in: 0, out: 1 });
    expect(counts(diff("a\nb\nc\na\nb\nb\na", "c\nb\na\nb\na\nc"))).toEqual({ in: 2, out: 3 });
    let seed = 7;
    const next = (n: number): number => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % n;
    for (let round = 0; round < 300; round += 1) {
      const text = (): string => Array.from({ length: next(14) }, () => "abcd"[next(4)]).join("\n");
      const [before, after] = [text(), text()];
      expect(sides(before, after)).toEqual([before, after]);
    }
  });
  it("number the lines of both sides", () => {
    expect(diff("a\nb\nc", "a\nc\nd")).toEqual([
      { kind: "same", text: "a", before: 1, after: 1 }, { kind: "out", text: "b", before: 2 },
      { kind: "same", text: "c", before: 3, after: 2 }, { kind: "in", text: "d", after: 3 },
    ]);
  });
  it("show what stands around them, and no more", () => {
    const before = Array.from({ length: 40 }, (_, i) => `line ${i}`).join("\n");
    const after = before.replace("line 5\n", "line five\n").replace("line 30\n", "");
    expect(hunks(diff(before, after)).map((one) => one.lines.length)).toEqual([8, 7]);
    expect(hunks(diff(before, before))).toEqual([]);
    expect(changed({ a: "1", b: "2" }, { a: "1", b: "3", c: "" })).toEqual(["b", "c"]);
  });
  it("are said as people say them", () => {
    const hold = { verdict: "hold", rules: ["shop-access"], asked: ["1 of group:dba (bob)"] } as const;
    expect(told({ ...hold, rules: [...hold.rules], asked: [...hold.asked] })).toBe("held: 1 of group dba (bob)");
    expect(told({ verdict: "hold", rules: ["prod-write"] })).toBe("held by prod-write");
    expect(toneOf({ before: { verdict: "deny" }, after: { verdict: "hold" } })).toBe("opens");
    expect(toneOf({ before: { verdict: "allow" }, after: { verdict: "hold" } })).toBe("closes");
    expect(toneOf({ before: { verdict: "hold" }, after: { verdict: "hold" } })).toBe("asks");
  });
});

describe("who could, who did", () => {
  const act = (seq: number, at: string, text: string) => ({ id: `${seq}`, seq, at, type: "action.allowed", outcome: "success", state: "published", controls: [], text }) as unknown as Event;
  const grant = {
    id: "gra_1", state: "live", by: { name: "alice", display: "Alice" }, person: "alice", role: "shop-writer", resources: ["shop"], from: "2026-03-01T00:00:00Z", until: "2026-03-03T00:00:00Z",
    request: "req_1", purpose: "=cmd", approvals: [{ by: "bob", display: "Bob", at: "2026-03-01T00:00:00Z" }], sessions: [], ran: 2, approved: 1, held: 0, refused: 0, rows: 5,
    acts: [act(7, "2026-03-02T00:00:00Z", 'select "a",\n1')],
  } as const;
  const report = { state: "whole", from: "2026-03-01T12:00:00Z", until: "2026-03-02T12:00:00Z", decided: [], items: [grant, { ...grant, id: "gra_2", acts: [], ran: 0 }] } as unknown as Parameters<typeof table>[0];

  it("lies in the period, cut where that ends", () => {
    const [row] = lanes(report);
    expect(row?.bars.map(({ from, to }) => [from, to])).toEqual([[0, 1], [0, 1]]);
    expect(row?.acts.map(({ at }) => at)).toEqual([0.5]);
    expect(totals(report)).toMatchObject({ people: 1, grants: 2, ran: 2, rows: 10 });
  });
  it("is written for other programs, and no spreadsheet runs it", () => {
    const [head, first, , third] = table(report).split("\r\n");
    expect(head?.split(",").length).toBe(20);
    expect(first).toContain(",'=cmd,");
    expect(table(report)).toContain('"select ""a"",\n1"');
    expect((third ?? "").startsWith("gra_2") || table(report).includes("\r\ngra_2,")).toBe(true);
    expect(csv(["a"], [["-1"], ["+1"], ["@x"], [-1], [undefined]])).toBe("a\r\n'-1\r\n'+1\r\n'@x\r\n-1\r\n\r\n");
  });
});

describe("what a browser keeps of a ledger", () => {
  const log = makeLog("example.org/ledger");
  const leaves = Array.from({ length: 700 }, (_, i) => leafHash(`line ${i}`));
  const bytes = (buffer: Buffer) => Uint8Array.from(buffer);
  const head = (of: readonly Buffer[]) => ({ size: of.length, root: bytes(rootOfLeaves([...of])) });
  const from = (of: readonly Buffer[]) => async (path: string) => {
    const found = tile([...of], path);
    return found && bytes(found);
  };
  const keeper = (of: { leaves: readonly Buffer[]; vkey?: string; kept?: Kept }) => {
    let kept = of.kept;
    const made: Keeper = { read: () => kept, write: (next) => { kept = next; }, vkey: async () => `${of.vkey ?? log.vkey}\n`, fetch: from(of.leaves), now: () => "2026-03-03T09:30:00Z" };
    return made;
  };

  it("knows keys and signatures as C2SP writes them", async () => {
    const key = await readKey(log.vkey);
    if (!key) throw new Error("no key");
    const note = log.note(leaves.slice(0, 5));
    expect(await open(note, key)).toMatchObject({ origin: "example.org/ledger", size: 5 });
    expect(await open(note.replace("\n5\n", "\n6\n"), key)).toBe("forged");
    expect(await open(makeLog("example.org/ledger").note(leaves.slice(0, 5)), key)).toBe("unsigned");
    expect(await open(log.note(leaves.slice(0, 5), "example.org/other"), key)).toBe("other-log");
    expect(await open(note.replace("\n\n", "\n"), key)).toBe("malformed");
    expect(await open("", key)).toBe("malformed");
    for (const wrong of ["", "a+b+c", log.vkey.replace(/\+[0-9a-f]{8}\+/, "+00000000+"), `${log.vkey}x`]) expect(await readKey(wrong)).toBeUndefined();
    for (const wrong of ["", "a\n01\nAA==\n", `a\n-1\n${"A".repeat(43)}=\n`, `a\n1\n${"A".repeat(43)}=`]) expect(readCheckpoint(wrong)).toBeUndefined();
  });
  it("finds that a tree contains another, and that it does not, for every pair of sizes", async () => {
    const sizes = [1, 2, 3, 5, 8, 255, 256, 257, 512, 513, 700];
    for (const small of sizes) {
      for (const large of sizes.filter((size) => size >= small)) {
        const [then, now] = [leaves.slice(0, small), leaves.slice(0, large)];
        expect(await grown(head(then), head(now), from(now)), `${small} in ${large}`).toBe("grown");
        const other = now.map((leaf, i) => (i === small - 1 ? leafHash("changed") : leaf));
        expect(await grown(head(then), head(other), from(other)), `${small} not in ${large}`).toBe("forked");
        // Tiles of the old tree do not hide that the new one is another.
        if (small < large) expect(await grown(head(then), head(other), from(now))).toBe("forked");
      }
    }
    expect(await grown(head(leaves), head(leaves.slice(0, 9)), from(leaves))).toBe("shorter");
    expect(await grown(head(leaves.slice(0, 9)), head(leaves), async () => undefined)).toBe("missing");
    expect([0, 999, 1000, 1_234_067].map(tileNumber)).toEqual(["000", "999", "x001/000", "x001/x234/067"]);
  }, 60_000);
  it("keeps the first, follows what contains it, and tells of what does not", async () => {
    const first = keeper({ leaves: leaves.slice(0, 300) });
    expect(await hold(log.note(leaves.slice(0, 300)), first)).toMatchObject({ state: "kept", size: 300 });
    const kept = first.read();
    if (!kept) throw new Error("nothing kept");
    const later = keeper({ leaves, kept });
    expect(await hold(log.note(leaves), later)).toMatchObject({ state: "kept", before: 300, size: 700 });
    expect(later.read()).toMatchObject({ since: kept.since, note: log.note(leaves) });
    // An older checkpoint of the same tree is no alarm, and is not kept in its place.
    expect(await hold(log.note(leaves.slice(0, 20)), later)).toMatchObject({ state: "kept" });
    expect(readCheckpoint(later.read()?.note ?? "")?.size).toBe(700);

    const other = leaves.map((leaf, i) => (i === 17 ? leafHash("changed") : leaf));
    const rewritten = keeper({ leaves: other, kept });
    expect(await hold(log.note(other), rewritten)).toMatchObject({ state: "bad" });
    expect(rewritten.read()).toEqual(kept);
    const cut = keeper({ leaves: leaves.slice(0, 200), kept });
    expect(await hold(log.note(leaves.slice(0, 200)), cut)).toMatchObject({ state: "bad" });
    const stranger = makeLog("example.org/ledger");
    expect(await hold(stranger.note(leaves), keeper({ leaves, kept, vkey: stranger.vkey }))).toMatchObject({ state: "bad" });
    expect(await hold(stranger.note(leaves), keeper({ leaves, kept }))).toMatchObject({ state: "bad" });
    expect(await hold(log.note(leaves), { ...keeper({ leaves, kept }), fetch: async () => { throw new Error("no line"); } })).toMatchObject({ state: "unable" });
  });
});

describe("the palette", () => {
  const item = (label: string, group = "Go to", detail = ""): Item => ({ id: `${group} ${label}`, group, label, detail, to: `/${label}` });
  const items = [item("My access"), item("Ledger"), item("shop-writer", "Ask for", "Read and change the shop"), item("shop-reader", "Ask for", "Read the shop"), item("shop", "Resources")];
  const all = () => true;

  it("finds what begins with the words, best first", () => {
    expect(find(items, "sh").map((one) => one.label)).toEqual(["shop-writer", "shop-reader", "shop"]);
    expect(find(items, "change shop").map((one) => one.label)).toEqual(["shop-writer"]);
    expect(find(items, "hop")).toEqual([]);
    expect(find(items, " ").map((one) => one.label)).toEqual(["My access", "Ledger"]);
    expect(fit(items[4] as Item, "shop")).toBeGreaterThan(fit(items[2] as Item, "shop") ?? 0);
  });
  it("knows identifiers, and looks for everything else where that is permitted", () => {
    const id = "req_01K3V8Q6Y7ZT5M4N3P2R1S0ABC";
    expect(meant(id, () => false).map((one) => one.to)).toEqual([`/requests/${id}`]);
    expect(meant("42", all).map((one) => one.to)[0]).toBe("/ledger/42");
    expect(meant("a&b", all).map((one) => one.to)).toEqual(["/sessions?state=statements&text=a%26b", "/ledger?text=a%26b"]);
    expect(meant("orders", () => false)).toEqual([]);
  });
});

describe("controls", () => {
  it("have a title each, and none is there that no line is evidence for", () => {
    const kinds = JSON.parse(readFileSync("../crates/ledger/data/events.json", "utf8")) as Record<string, { ctl: string[] }>;
    const used = new Set(Object.values(kinds).flatMap((kind) => kind.ctl.map((one) => /^[A-Z]{2}-\d+/.exec(one)?.[0] ?? one)));
    expect(Object.keys(CONTROLS).sort()).toEqual([...used].sort());
    expect(titleOf("AC-6(9)")).toBe("Least Privilege");
    expect(titleOf("ZZ-1")).toBeUndefined();
  });
});

describe("the last of its kind that was approved", () => {
  const one = (id: string, more: object) => ({
    id, kind: "action", state: "approved", action: "sql.delete", resource: "shop", verbs: ["delete"], text: `delete from orders where id = ${id}`, asked_at: `2026-03-0${id}T00:00:00Z`,
    relations: [{ name: "public.orders", access: "write" }, { name: "public.items", access: "write", reached: true }], ...more,
  }) as unknown as Parameters<typeof lastAlike>[0];
  const of = one("5", { state: "pending" });

  it("is the newest that does the same to the same, in other words", () => {
    expect(lastAlike(of, [one("1", {}), one("3", {}), one("2", {})])?.id).toBe("3");
    const unlike = [
      one("4", { state: "denied" }), one("4", { resource: "other" }), one("4", { verbs: ["delete", "update"] }), one("4", { text: of.text }),
      one("4", { relations: [{ name: "public.payments", access: "write" }] }), one("6", {}), one("4", { text: undefined }), of,
    ];
    expect(lastAlike(of, unlike)).toBeUndefined();
    expect(lastAlike(one("5", { kind: "access" }), [one("1", {})])).toBeUndefined();
  });
});

describe("completion", () => {
  const known: Relation[] = [
    { schema: "public", name: "orders", kind: "r", columns: [{ name: "id", type: "bigint" }, { name: "status", type: "text" }, { name: "user", type: "text" }] },
    { schema: "public", name: "order_items", kind: "r", columns: [{ name: "order_id", type: "bigint" }] },
    { schema: "sales", name: "Targets", kind: "v", columns: [{ name: "Per Month", type: "numeric" }] },
  ];
  const at = (text: string, asked = false) => {
    const place = text.indexOf("|");
    return complete(text.replace("|", ""), place, known, asked);
  };
  const texts = (text: string, asked = false): string[] => at(text, asked).items.map((one) => one.text);

  it("offers relations behind FROM, and quotes what has to be quoted", () => {
    expect(new Set(texts("select * from ord|"))).toEqual(new Set(["orders", "order_items"]));
    expect(texts("select * from tar|")).toEqual(['sales."Targets"']);
    expect(texts("select * from sales.|")).toEqual(['"Targets"']);
  });

  it("offers the columns of what the statement names, also under short names, also in front of it", () => {
    expect(texts("select o.| from orders o")).toEqual(["id", "status", '"user"']);
    expect(texts("select st| from orders")[0]).toBe("status");
    expect(texts("update orders set st|")[0]).toBe("status");
    expect(texts("select t.| from sales.\"Targets\" as t")).toEqual(['"Per Month"']);
    expect(texts("select st| from order_items")).not.toContain("status");
  });

  it("looks at the statement at the caret alone, and offers nothing in texts and comments", () => {
    expect(texts("select 1 from orders; select st| from order_items")).not.toContain("status");
    expect(texts("select ';' , st| from orders")[0]).toBe("status");
    expect(texts("select 'ord|' from orders")).toEqual([]);
    expect(texts("-- ord|")).toEqual([]);
    expect(texts("select 1 |")).toEqual([]);
    expect(texts("select | from orders", true)).toContain("status");
  });

  it("keeps the case of SQL's words as they are begun", () => {
    expect(texts("SEL|")).toContain("SELECT");
    expect(texts("sel|")).toContain("select");
  });

  it("finds the statement around the caret", () => {
    const text = "select 1;\n\n-- two; of them\nselect ';' from a;\nselect 3";
    const part = (place: number): string => { const { from, until } = around(text, place); return text.slice(from, until); };
    expect(part(0)).toBe("select 1;");
    expect(part(9)).toBe("select 1;");
    expect(part(text.indexOf("from a"))).toBe("-- two; of them\nselect ';' from a;");
    expect(part(text.length)).toBe("select 3");
  });

  it("reads relations from the rows of the session's own statement", () => {
    expect(relations([["public", "orders", "r", "id", "bigint"], ["public", "orders", "r", "status", "text"], ["public", null, "r", "x", "text"]])).toEqual([
      { schema: "public", name: "orders", kind: "r", columns: [{ name: "id", type: "bigint" }, { name: "status", type: "text" }] },
    ]);
    expect(quoted("select")).toBe('"select"');
    expect(quoted('a"b')).toBe('"a""b"');
  });
});

describe("a run", () => {
  it("is put together from what is told, in order, with what was cut in its place", () => {
    const results: Result[] = [];
    const said = { severity: "ERROR", code: "42703", message: "no" };
    const told: RunEvent[] = [
      { event: "statement", number: 0, of: 2, at: 0, text: "SELECT a" }, { event: "columns", columns: [{ name: "a", type_oid: 25 }] },
      { event: "rows", rows: [["x"], [null]] }, { event: "rows", rows: [["y"]], cut: [[0, 0, 70_000]] }, { event: "done", tag: "SELECT 3", more: false },
      { event: "statement", number: 1, of: 2, at: 9, text: "SELECT b" }, { event: "failed", said },
    ];
    for (const event of told) expect(take(results, event)).toBeUndefined();
    expect(take(results, { event: "over", transaction: "failed" })).toEqual({ how: "over", transaction: "failed" });
    expect(results.map((one) => one.rows)).toEqual([[["x"], [null], ["y"]], []]);
    expect(results[0]?.cut.get("2 0")).toBe(70_000);
    expect([results[0]?.done, results[1]?.failed]).toEqual([{ tag: "SELECT 3", more: false }, said]);
  });
});

describe("a session that is played again", () => {
  const line = (seq: number, at: string, type = "action.allowed"): Event => ({ id: `${seq}`, state: "published", seq, at: `2026-03-03T09:${at}Z`, type, outcome: "success", controls: [] }) as unknown as Event;

  it("keeps the pace of then, in order, but for long silences", () => {
    const all = steps([line(9, "10:00.000"), line(4, "00:00.000", "session.opened"), line(7, "00:01.500"), line(5, "00:00.500"), line(8, "00:01.500", "ledger.read")]);
    expect(all.map((one) => [one.line.seq, one.at, one.skipped])).toEqual([[4, 0, 0], [5, 500, 0], [7, 1_500, 0], [9, 4_500, 595_500]]);
    expect([-1, 0, 499, 500, 4_499, 4_500, 9_999].map((at) => reached(all, at))).toEqual([0, 1, 1, 2, 3, 4, 4]);
    expect(reached([], 5)).toBe(0);
    expect([clock(0), clock(67_900), clock(3_600_000)]).toEqual(["0:00", "1:07", "60:00"]);
  });
});

describe("the set-up", () => {
  it("calls accounts after people", () => {
    expect(["Ada Adler", "Zoë", "  Ben ", "", "…"].map(nameOf)).toEqual(["ada", "zoe", "ben", "", ""]);
  });

  it("tells the gateway what was typed, without what is empty", () => {
    const typed = { ...NOTHING, database: { ...NOTHING.database, name: " shop ", host: "db", port: "5432", database: "shop", tls: "require" as const, ca: "/x", writer: "w" } };
    expect(database(typed, { writer: "hush", reader: "other" })).toEqual({
      name: "shop", title: "shop", host: "db", port: 5432, database: "shop", tls: "require", writer: { name: "w", password: "hush" },
    });
    const verified = { ...typed, database: { ...typed.database, tls: "verify-full" as const, reader: "r" } };
    expect(database(verified, { writer: "hush", reader: "other" })).toMatchObject({ tls_ca: "/x", reader: { name: "r", password: "other" } });
  });

  it("keeps the code of an invitation behind the #, and reads it back", () => {
    const link = invitationLink("https://gw.example", { user: "ben@corp", code: "abcd-efgh" });
    expect(new URL(link).pathname + new URL(link).search).toBe("/invited");
    expect(invited(new URL(link).hash)).toEqual({ user: "ben@corp", code: "abcd-efgh" });
    expect([invited(""), invited("#user=ben"), invited("#code=x")]).toEqual([undefined, undefined, undefined]);
  });

  it("keeps what was typed for as long as the tab is open, and no password", () => {
    keepFounding({ ...NOTHING, house: "Example" });
    expect(readFounding()).toEqual({ ...NOTHING, house: "Example" });
    keepFounding(undefined);
    expect(readFounding()).toEqual(NOTHING);
  });
});
