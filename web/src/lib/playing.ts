// A recorded session as time: when what was done, at what pace to show it, and where silence is left out.

import type { Event } from "../api/client";

/** Longer silences are played as if they had been so long, in milliseconds. */
export const SILENCE_MS = 3_000;

export interface Step {
  readonly line: Event;
  /** When it is played, in milliseconds from the beginning, silences shortened. */
  readonly at: number;
  /** So much silence in front of it is left out. */
  readonly skipped: number;
}

/** What is played of a session's lines, in order. */
export function steps(lines: readonly Event[], silence = SILENCE_MS): Step[] {
  const shown = lines.filter((one) => /^(?:action|decision|session)\./.test(one.type)).sort((a, b) => a.seq - b.seq);
  const out: Step[] = [];
  let at = 0;
  let before: number | undefined;
  for (const line of shown) {
    const now = Date.parse(line.at);
    const gap = before === undefined ? 0 : Math.max(0, now - before);
    const played = Math.min(gap, silence);
    at += played;
    before = now;
    out.push({ line, at, skipped: gap - played });
  }
  return out;
}

/** How many steps are on the screen at an instant of the playing. */
export function reached(all: readonly Step[], at: number): number {
  let low = 0;
  let high = all.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((all[middle]?.at ?? 0) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** `1:07`. */
export const clock = (ms: number): string => {
  const seconds = Math.floor(ms / 1_000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
};
