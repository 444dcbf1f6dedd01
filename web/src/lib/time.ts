// Time as people read it: in their zone, and how far it is away. The exact instant is always one hover away.

const UNITS: readonly [number, string][] = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "m"],
  [1, "s"],
];

/** `1h 12m`, `4m 09s`, `12s`: the two largest units. */
export function span(seconds: number): string {
  let rest = Math.max(0, Math.floor(seconds));
  const parts: string[] = [];
  for (const [size, unit] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count === 0 && parts.length === 0 && size > 1) continue;
    parts.push(parts.length > 0 && size < 86_400 ? `${String(count).padStart(2, "0")}${unit}` : `${count}${unit}`);
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** Seconds from `now` to an instant; negative when it has passed. */
export const secondsTo = (at: string, now: number): number => (Date.parse(at) - now) / 1000;

/** `in 4m 09s` or `12s ago`. */
export function away(at: string, now: number): string {
  const seconds = secondsTo(at, now);
  return seconds >= 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`;
}

/** The instant in full, in the viewer's zone. */
export const absolute = (at: string): string =>
  new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" }).format(new Date(at));

/** The instant, short: the time today, the date otherwise. */
export function short(at: string, now: number): string {
  const date = new Date(at);
  const today = new Date(now).toDateString() === date.toDateString();
  const form: Intl.DateTimeFormatOptions = today ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(undefined, form).format(date);
}
