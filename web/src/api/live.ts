// Live changes: one stream of server-sent events for the whole console. A topic that changed makes what was read of
// it stale, and what is on the screen is read again at once.

import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import type { Schemas } from "./client";

export type Topic = Schemas["Topic"];

/**
 * Which queries a topic makes stale. Queries are named by what they show, in the first part of their key. The ledger's
 * lines and a session's actions are not among them: reading them is recorded, so that reading them again whenever the
 * ledger grows would never come to rest.
 */
export const STALE: Record<Topic, readonly string[]> = {
  requests: ["requests", "request", "inbox", "roles"],
  grants: ["grants", "me", "resources", "roles", "principals", "catalogue"],
  sessions: ["sessions", "session"],
  principals: ["principals", "me", "directories", "catalogue"],
  bundle: ["bundle", "catalogue", "roles", "resources", "principals", "me", "requests", "request", "inbox", "directories"],
  ledger: ["ledger"],
};

/** Forgets what these topics made stale. */
export function forget(client: QueryClient, topics: readonly Topic[]): void {
  const names = new Set(topics.flatMap((topic) => STALE[topic] ?? []));
  for (const name of names) void client.invalidateQueries({ queryKey: [name] });
}

/** How long to wait before the stream is opened anew, when the browser has given it up. */
const AGAIN_MS = 3_000;

/** Follows the gateway for as long as the component is shown; tells whether the line is up. */
export function useLive(): boolean {
  const client = useQueryClient();
  const [up, setUp] = useState(true);
  useEffect(() => {
    let source: EventSource | undefined;
    let again: ReturnType<typeof setTimeout> | undefined;
    const open = (): void => {
      source = new EventSource("/api/v1/events");
      source.addEventListener("open", () => setUp(true));
      // The first event names every topic: what happened while the line was down is read again.
      source.addEventListener("change", (event) => {
        const change = JSON.parse((event as MessageEvent<string>).data) as Schemas["Change"];
        forget(client, change.topics);
      });
      source.addEventListener("error", () => {
        setUp(false);
        if (source?.readyState !== EventSource.CLOSED) return;
        // Refused, not cut: the sign-in may be over. Asking who we are finds out.
        void client.invalidateQueries({ queryKey: ["me"] });
        clearTimeout(again);
        again = setTimeout(open, AGAIN_MS);
      });
    };
    open();
    return () => {
      clearTimeout(again);
      source?.close();
    };
  }, [client]);
  return up;
}
