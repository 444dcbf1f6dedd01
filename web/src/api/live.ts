// Live changes: one stream of server-sent events for the whole console. A topic that changed makes what was read of
// it stale, and what is on the screen is read again at once.

import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import type { Schemas } from "./client";

export type Topic = Schemas["Topic"];

/** Which queries a topic makes stale. Queries are named by what they show, in the first part of their key. */
export const STALE: Record<Topic, readonly string[]> = {
  requests: ["requests", "request", "inbox"],
  grants: ["grants", "me", "resources"],
  sessions: ["sessions", "session"],
  principals: ["principals", "me"],
  bundle: ["bundle", "roles", "resources", "principals"],
  ledger: ["ledger", "session"],
};

/** Forgets what these topics made stale. */
export function forget(client: QueryClient, topics: readonly Topic[]): void {
  const names = new Set(topics.flatMap((topic) => STALE[topic] ?? []));
  for (const name of names) void client.invalidateQueries({ queryKey: [name] });
}

/** Follows the gateway for as long as the component is shown; tells whether the line is up. */
export function useLive(): boolean {
  const client = useQueryClient();
  const [up, setUp] = useState(true);
  useEffect(() => {
    const source = new EventSource("/api/v1/events");
    let wasDown = false;
    source.addEventListener("open", () => {
      setUp(true);
      // What happened while the line was down is not told again.
      if (wasDown) void client.invalidateQueries();
      wasDown = false;
    });
    source.addEventListener("change", (event) => {
      const change = JSON.parse((event as MessageEvent<string>).data) as Schemas["Change"];
      forget(client, change.topics);
    });
    source.addEventListener("error", () => {
      wasDown = true;
      setUp(false);
    });
    return () => source.close();
  }, [client]);
  return up;
}
