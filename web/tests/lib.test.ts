import { createHash } from "node:crypto";

import { QueryClient } from "@tanstack/react-query";
import type { Event } from "../src/api/client";
import { beforeEach, describe, expect, it } from "vitest";

import { forget, STALE, type Topic } from "../src/api/live";
import { lines as looked } from "../src/api/queries";
import { now, setNow } from "../src/lib/clock";
import { isTaken } from "../src/lib/keys";
import { check, parse, rootOf } from "../src/lib/proof";
import { program } from "../src/lib/programs";
import { environment, quote } from "../src/lib/shell";
import { deceives, highlight, lines, reveal } from "../src/lib/sql";
import { away, seconds, secondsTo, span, words } from "../src/lib/time";
import { bound, completion, initials, rows, typed, verb } from "../src/lib/words";

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
