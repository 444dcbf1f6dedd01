// The last request of the same kind that was approved: what an approver compares with.

import type { Request } from "../api/client";

const written = (of: Request): string => of.relations.filter((one) => one.access === "write" && !one.reached).map((one) => one.name).sort().join(" ");
const verbs = (of: Request): string => [...of.verbs].sort().join(" ");

/**
 * Of the same action on the same resource, with the same verbs, writing the same relations; the newest, whoever asked.
 * The very same text tells nothing new: "asked before" says that.
 */
export function lastAlike(of: Request, others: readonly Request[]): Request | undefined {
  if (of.kind !== "action" || of.text === undefined) return undefined;
  const alike = others.filter((one) =>
    one.id !== of.id && one.kind === "action" && one.state === "approved" && one.text !== undefined && one.text !== of.text && one.asked_at <= of.asked_at
    && one.action === of.action && one.resource === of.resource && verbs(one) === verbs(of) && written(one) === written(of));
  return alike.reduce<Request | undefined>((newest, one) => (newest === undefined || one.asked_at > newest.asked_at ? one : newest), undefined);
}

/** A statement in lines, for comparing: as it is set out for reading, where it is. */
export const laid = (of: Request): string => of.layout ?? of.text ?? "";
