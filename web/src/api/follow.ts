// A session as it happens: one stream of its lines, opened anew from where it was lost.

import { useEffect, useRef, useState } from "react";

import type { Event, Schemas } from "./client";

export type Following = "opening" | "following" | "lost" | "over";

/** How long to wait before a stream that was lost is opened anew. */
const AGAIN_MS = 2_000;

/** How many lines are kept on the screen; older ones are in the ledger. */
const KEPT_MAX = 2_000;

/** Follows a session for as long as it is wanted. */
export function useFollow(id: string, on: boolean): { lines: readonly Event[]; state: Following } {
  const [lines, setLines] = useState<readonly Event[]>([]);
  const [state, setState] = useState<Following>("opening");
  const next = useRef<number>(undefined);
  useEffect(() => {
    if (!on) return undefined;
    let source: EventSource | undefined;
    let again: ReturnType<typeof setTimeout> | undefined;
    const open = (): void => {
      const from = next.current === undefined ? "" : `?from=${next.current}`;
      source = new EventSource(`/api/v1/sessions/${encodeURIComponent(id)}/follow${from}`);
      source.addEventListener("lines", (event) => {
        const told = JSON.parse((event as MessageEvent<string>).data) as Schemas["FollowedLines"];
        next.current = told.next;
        setLines((had) => [...had, ...told.items.filter((one) => one.seq > (had.at(-1)?.seq ?? -1))].slice(-KEPT_MAX));
        setState(told.over ? "over" : "following");
        if (told.over) source?.close();
      });
      // The browser would open the same address again, and read everything from the beginning.
      source.addEventListener("error", () => {
        source?.close();
        setState((was) => (was === "over" ? was : "lost"));
        clearTimeout(again);
        again = setTimeout(open, AGAIN_MS);
      });
    };
    open();
    return () => {
      clearTimeout(again);
      source?.close();
    };
  }, [id, on]);
  return { lines, state };
}
