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

/** `30 minutes`, `1 hour 30 minutes`: a duration in words. */
export function words(seconds: number): string {
  const named: readonly [number, string][] = [[86_400, "day"], [3_600, "hour"], [60, "minute"], [1, "second"]];
  const parts: string[] = [];
  let rest = Math.max(0, Math.round(seconds));
  for (const [size, name] of named) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${name}${count === 1 ? "" : "s"}`);
  }
  return parts.length > 0 ? parts.join(" ") : "no time";
}

/** `1h30m` as seconds; nothing when it is no duration. The gateway judges; this is for showing early. */
export function seconds(text: string): number | undefined {
  const match = /^(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s)?$/.exec(text.trim());
  if (!match || match[0] === "") return undefined;
  const [, d, h, m, s] = match.map((part) => Number(part ?? 0));
  const sum = (d ?? 0) * 86_400 + (h ?? 0) * 3_600 + (m ?? 0) * 60 + (s ?? 0);
  return sum > 0 ? sum : undefined;
}
