// A workbench: a session that is worked in from here, and the runs in it. A run is one stream of lines, told as they come;
// whoever stops reading cancels what runs.

import { api, body, Problem, refusal, type Schemas } from "./client";

export type Workbench = Schemas["Workbench"];
export type RunEvent = Schemas["RunEvent"];
export type Said = Schemas["RunSaid"];
export type Cell = string | null;

/** What came of one statement, as far as it has come. Rows are added in place. */
export interface Result {
  readonly number: number;
  readonly of: number;
  readonly at: number;
  readonly text: string;
  columns: readonly Schemas["RunColumn"][];
  readonly rows: Cell[][];
  /** Full lengths, in bytes, of values of which only the beginning is here, by row and column. */
  readonly cut: Map<string, number>;
  readonly notices: Said[];
  held: { request: string; said: Said } | undefined;
  done: { tag: string; more: boolean } | undefined;
  failed: Said | undefined;
  readonly began: number;
  ms: number | undefined;
}

export type Ending = { how: "over"; transaction: Schemas["RunTransaction"] } | { how: "ended"; said: Said | undefined } | { how: "lost"; error: Error };

/** The one that is open already on this resource in this role, or a new one. */
export async function openWorkbench(resource: string, role: string | undefined): Promise<Workbench> {
  const open = (await body(api.GET("/workbenches"))).items;
  const found = open.find((one) => one.resource === resource && one.state === "idle" && (role === undefined || one.role === role));
  return found ?? body(api.POST("/workbenches", { body: { resource, ...(role ? { role } : {}) } }));
}

/** Runs statements; `changed` is called whenever there is more to see. Resolves when it is over, whichever way. */
export async function run(id: string, text: string, rowsMax: number, told: (results: readonly Result[]) => void): Promise<Ending> {
  const results: Result[] = [];
  try {
    const answer = await fetch(`/api/v1/workbenches/${encodeURIComponent(id)}/run`, {
      method: "POST", credentials: "same-origin", headers: { "content-type": "application/json", "x-countersign": "1" },
      body: JSON.stringify({ text, rows_max: rowsMax }),
    });
    if (!answer.ok || !answer.body) throw await refusal(answer);
    let ending: Ending | undefined;
    for await (const event of events(answer.body)) {
      ending = take(results, event) ?? ending;
      told(results);
    }
    return ending ?? { how: "lost", error: new Problem(0, "the connection was lost before the run was over") };
  } catch (error) {
    const lost = error instanceof Problem ? error : new Problem(0, "the gateway does not answer", "what you have typed is still here");
    return { how: "lost", error: lost };
  }
}

async function* events(stream: ReadableStream<Uint8Array>): AsyncGenerator<RunEvent> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += decoder.decode(value, { stream: !done });
      for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 1);
        if (line !== "") yield JSON.parse(line) as RunEvent;
      }
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** Takes one line. Says how it ended, if it did. */
export function take(results: Result[], event: RunEvent): Ending | undefined {
  const last = results.at(-1);
  switch (event.event) {
    case "statement":
      results.push({
        number: event.number, of: event.of, at: event.at, text: event.text, columns: [], rows: [], cut: new Map(), notices: [],
        held: undefined, done: undefined, failed: undefined, began: performance.now(), ms: undefined,
      });
      return undefined;
    case "over": return { how: "over", transaction: event.transaction };
    case "ended": return { how: "ended", said: event.said };
  }
  if (!last) return undefined;
  switch (event.event) {
    case "columns":
      last.columns = event.columns;
      break;
    case "rows":
      for (const [row, column, bytes] of (event.cut ?? []) as [number, number, number][]) last.cut.set(`${last.rows.length + row} ${column}`, bytes);
      for (const row of event.rows) last.rows.push(row);
      break;
    case "notice":
      last.notices.push(event.said);
      break;
    case "held":
      last.held = { request: event.request, said: event.said };
      break;
    case "done":
      last.done = { tag: event.tag, more: event.more };
      last.ms = performance.now() - last.began;
      break;
    case "failed":
      last.failed = event.said;
      last.ms = performance.now() - last.began;
  }
  return undefined;
}
