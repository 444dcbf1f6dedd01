// Pauses a session, after asking why, and lets it go on.

import { useQueryClient } from "@tanstack/react-query";

import { api, type Session } from "../api/client";
import { forget } from "../api/live";
import { useConfirm } from "./Confirm";
import { failed, said } from "./toast";

export function usePauseSession() {
  const client = useQueryClient();
  const { ask, confirm } = useConfirm();
  const done = async (of: Session, what: string, run: () => Promise<unknown>): Promise<void> => {
    try {
      await run();
      said(what, `${of.display} on ${of.resource}`);
    } catch (error) {
      failed(error as Error);
    }
    forget(client, ["sessions"]);
  };
  const path = (of: Session) => ({ params: { path: { id: of.id } } });
  const pause = (of: Session): void => ask({
    title: `Pause the session of ${of.display} on ${of.resource}?`, label: "Pause session",
    reason: { label: "Reason", description: `${of.display} reads it in their own tool`, required: true },
    children: "What runs goes on to its end. What is sent from now on waits in place until somebody resumes the session, or it ends.",
    run: (reason) => done(of, "Session paused", () => api.POST("/sessions/{id}/pause", { ...path(of), body: { reason } })),
  });
  const resume = (of: Session): void => void done(of, "Session resumed", () => api.POST("/sessions/{id}/resume", { ...path(of), body: {} }));
  return { pause, resume, confirm };
}
