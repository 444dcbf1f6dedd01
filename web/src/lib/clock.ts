// One clock for the whole console, set by the gateway's: countdowns do not depend on the viewer's clock being right.

import { useSyncExternalStore } from "react";

let offset = 0;
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

/** Learns the gateway's instant. */
export function setNow(instant: string): void {
  const told = Date.parse(instant);
  if (!Number.isNaN(told)) offset = told - Date.now();
}

/** The gateway's instant as well as it is known, in milliseconds. */
export const now = (): number => Date.now() + offset;

const second = (): number => Math.floor(now() / 1000) * 1000;
const minute = (): number => Math.floor(now() / 60_000) * 60_000;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => listeners.forEach((call) => call()), 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The instant, renewed each second or each minute. */
export const useNow = (every: "second" | "minute" = "second"): number =>
  useSyncExternalStore(subscribe, every === "second" ? second : minute);
