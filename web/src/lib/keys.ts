// Single keys, for people who answer many requests. They rest while somebody types or a dialog is open, and can be
// switched off (WCAG 2.1.4).

import { useEffect, useRef, useSyncExternalStore } from "react";

const STORED = "countersign-keys";
const listeners = new Set<() => void>();

export const keysOn = (): boolean => localStorage.getItem(STORED) !== "off";

export function switchKeys(on: boolean): void {
  localStorage.setItem(STORED, on ? "on" : "off");
  listeners.forEach((call) => call());
}

export const useKeysOn = (): boolean =>
  useSyncExternalStore((call) => (listeners.add(call), () => listeners.delete(call)), keysOn);

/** Whether a key press belongs to what the person types or to a dialog. */
export function isTaken(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return true;
  const target = event.target instanceof HTMLElement ? event.target : undefined;
  if (target?.closest("input, textarea, select, [contenteditable], [role=menu], [role=listbox]")) return true;
  return document.querySelector("[role=dialog]") !== null;
}

/** How long after `g` a second key counts. */
const CHORD_MS = 1200;
let chordAt = Number.NEGATIVE_INFINITY;

export type Keys = Readonly<Record<string, (event: KeyboardEvent) => void>>;

/** Listens for keys: `a`, or `g h` for one after the other. */
export function useKeys(keys: Keys, on = true): void {
  const latest = useRef(keys);
  useEffect(() => {
    latest.current = keys;
  });
  useEffect(() => {
    if (!on) return undefined;
    const listen = (event: KeyboardEvent): void => {
      if (!keysOn() || isTaken(event)) return;
      const chord = event.timeStamp - chordAt < CHORD_MS;
      const call = latest.current[chord ? `g ${event.key}` : event.key];
      if (event.key === "g" && !chord) chordAt = event.timeStamp;
      if (!call) return;
      chordAt = Number.NEGATIVE_INFINITY;
      event.preventDefault();
      call(event);
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, [on]);
}
