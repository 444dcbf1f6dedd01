import { QueryClient } from "@tanstack/react-query";
import { describe, expect, it } from "vitest";

import { forget } from "../src/api/live";
import { deceives, highlight, reveal } from "../src/lib/sql";
import { away, secondsTo, span } from "../src/lib/time";

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
});

describe("sql", () => {
  const whole = (sql: string): string => highlight(sql).map((part) => part.text).join("");
  const kinds = (sql: string): string[] => highlight(sql).filter((part) => part.text.trim()).map((part) => part.kind);

  it("leaves nothing out", () => {
    const hard = [
      "DELETE FROM orders WHERE id = $1 -- all of them",
      "select 'it''s', $q$ a $ b $q$, \"Odd\"\"Name\", 1.5e3 /* open",
      "select 'unterminated",
      "\u202eselect\u200b 1;\u0000\u0430",
      "",
    ];
    for (const sql of hard) expect(whole(sql)).toBe(sql);
  });
  it("tells strings, comments and words apart", () => {
    expect(kinds("DELETE FROM o WHERE s = 'from' -- where")).toEqual(
      ["word", "word", "plain", "word", "plain", "string", "comment"]);
    expect(kinds("$1 $$x$$ $t$ y $t$")).toEqual(["parameter", "string", "string"]);
  });
  it("makes visible what hides, and marks what deceives", () => {
    expect(reveal("a\u202eb")).toEqual([
      { kind: "plain", text: "a" }, { kind: "hidden", text: "\u202e", shown: "U+202E" }, { kind: "plain", text: "b" }]);
    expect(reveal("p\u0430y")[1]).toEqual({ kind: "lookalike", text: "\u0430" });
    expect(deceives("select 1\n\tfrom t")).toBe(false);
    expect(deceives("select\u00a01")).toBe(true);
  });
});

describe("live changes", () => {
  it("make stale what they are about, and nothing else", async () => {
    const client = new QueryClient();
    client.setQueryData(["inbox"], []);
    client.setQueryData(["grants", {}], []);
    forget(client, ["requests"]);
    expect(client.getQueryState(["inbox"])?.isInvalidated).toBe(true);
    expect(client.getQueryState(["grants", {}])?.isInvalidated).toBe(false);
  });
});
