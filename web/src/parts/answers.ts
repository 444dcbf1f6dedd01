// Tells somebody, on whatever page they are, that what they asked for has been answered.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";

import type { Request } from "../api/client";
import { request, requests } from "../api/queries";
import { said, warned } from "./toast";

export const MINE = { mine: true } as const;

/** Watches the caller's own open requests and says what became of those that were waiting. */
export function useAnswers(): void {
  const client = useQueryClient();
  const open = useQuery(requests(MINE)).data;
  const before = useRef<Request[]>(undefined);
  useEffect(() => {
    if (!open) return;
    const waited = (before.current ?? []).filter((one) => one.state === "pending");
    before.current = open;
    for (const one of waited) {
      const now = open.find((other) => other.id === one.id);
      if (now?.state === "pending") continue;
      if (now) tell(now);
      else void client.fetchQuery({ ...request(one.id), staleTime: 0 }).then(tell, () => undefined);
    }
  }, [open, client]);
}

function tell(one: Request): void {
  const what = one.kind === "access" ? (one.role ?? "the role") : one.action;
  const by = one.approvals.map((approval) => approval.display).join(", ");
  if (one.state === "approved") said(`${what}: approved`, by ? `by ${by}` : undefined);
  if (one.state === "denied") warned(`${what}: denied by ${one.answer?.display ?? "somebody"}`, one.answer?.comment);
  if (one.state === "lapsed") warned(`${what}: lapsed`, "nobody answered in time");
  if (one.state === "void") warned(`${what}: void`, "what it stood on has changed");
}
