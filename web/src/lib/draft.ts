// A changed bundle that is not applied yet. It is kept for as long as the tab is open, so that neither a restart of the
// gateway nor a stray key loses what was typed, and it is forgotten with the sign-in.

import { useSyncExternalStore } from "react";

import type { Files } from "./diff";

export interface Draft {
  /** Whose. Somebody else who signs in at the same desk does not see it. */
  readonly by: string;
  /** The hash of the bundle that it was begun from. */
  readonly base: string;
  readonly files: Files;
}

const STORED = "countersign-draft";
const listeners = new Set<() => void>();
let known: Draft | undefined | null = null;

function read(): Draft | undefined {
  if (known !== null) return known;
  try {
    known = JSON.parse(sessionStorage.getItem(STORED) ?? "null") as Draft | null ?? undefined;
  } catch {
    known = undefined;
  }
  return known;
}

/** Keeps a draft, or nothing of it. */
export function keep(draft: Draft | undefined): void {
  known = draft;
  try {
    if (draft) sessionStorage.setItem(STORED, JSON.stringify(draft));
    else sessionStorage.removeItem(STORED);
  } catch {
    // Larger than the browser keeps: it lives as long as the page does.
  }
  listeners.forEach((call) => call());
}

export const drop = (): void => keep(undefined);

export function useDraft(by: string): Draft | undefined {
  const draft = useSyncExternalStore((call) => (listeners.add(call), () => listeners.delete(call)), read);
  return draft?.by === by ? draft : undefined;
}
