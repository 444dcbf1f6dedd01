// What differences between two bundles amount to, in words and figures.

import type { Schemas } from "../api/client";

export type Effect = "opens" | "closes" | "asks";

const RANK: Record<Schemas["Verdict"], number> = { deny: 0, hold: 1, allow: 2 };

/** Whether a change lets somebody do more, less, or has others asked. */
export function toneOf(change: Pick<Schemas["PolicyChange"], "before" | "after">): Effect {
  const step = RANK[change.after.verdict] - RANK[change.before.verdict];
  return step > 0 ? "opens" : step < 0 ? "closes" : "asks";
}

/** What policy says, as people say it. */
export function told(word: Schemas["Word"]): string {
  if (word.verdict === "allow") return "allowed, nobody is asked";
  if (word.verdict === "deny") return "denied";
  const asked = word.asked ?? [];
  const rules = (word.rules ?? []).join(", ");
  return asked.length > 0 ? `held: ${asked.join(" and ").replaceAll("group:", "group ")}` : `held by ${rules}`;
}

/** How many people gain, lose, or have others asked; somebody may be among several. */
export function tally(of: Schemas["Difference"]): Record<Effect, number> {
  const having = (effect: Effect): number => of.people.filter((one) => one.changes.some((change) => toneOf(change) === effect)).length;
  return { opens: having("opens"), closes: having("closes"), asks: having("asks") };
}
