// Ends a session, after asking.

import { useQueryClient } from "@tanstack/react-query";

import { api, type Session } from "../api/client";
import { forget } from "../api/live";
import { useConfirm } from "./Confirm";
import { failed, said } from "./toast";

export function useEndSession() {
  const client = useQueryClient();
  const { ask, confirm } = useConfirm();
  const run = async (session: Session): Promise<void> => {
    try {
      await api.POST("/sessions/{id}/end", { params: { path: { id: session.id } } });
      said("Session ended", `${session.display} on ${session.resource}`);
    } catch (error) {
      failed(error as Error);
    }
    forget(client, ["sessions"]);
  };
  const end = (session: Session): void => ask({
    title: `End the session of ${session.display} on ${session.resource}?`, label: "End session", danger: true,
    children: "A running query is cancelled and the connection is cut. The grant stays: they can connect again.",
    run: () => run(session),
  });
  return { end, confirm };
}
