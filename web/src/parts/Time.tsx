// Instants and what is left of them. The exact instant is one hover (or one tab stop) away.

import { Tooltip } from "@mantine/core";
import { IconHourglassHigh } from "@tabler/icons-react";

import { useNow } from "../lib/clock";
import { absolute, away, secondsTo, short, span } from "../lib/time";

/** From how many seconds on time is short. */
const SOON_S = 180;

/** An instant, short. */
export function When({ at }: { at: string }) {
  const now = useNow("minute");
  return (
    <Tooltip label={absolute(at)}>
      <time dateTime={at} className="figures nowrap">{short(at, now)}</time>
    </Tooltip>
  );
}

/** How long ago, to the second for the first minute. */
export function Ago({ at }: { at: string }) {
  const now = useNow();
  const seconds = -secondsTo(at, now);
  const said = seconds < 1 ? "just now" : seconds < 86_400 ? away(at, now) : short(at, now);
  return (
    <Tooltip label={absolute(at)}>
      <time dateTime={at} className="figures nowrap">{said.replace(/^in .*/, "just now")}</time>
    </Tooltip>
  );
}

/** A countdown. */
export function Left({ until, over = "over", sign = true }: { until: string; over?: string; sign?: boolean }) {
  const left = secondsTo(until, useNow());
  const mood = left <= 0 ? "over" : left < SOON_S ? "soon" : "";
  return (
    <Tooltip label={`until ${absolute(until)}`}>
      <span className={`left ${mood} ${sign ? "" : "bare"}`}>
        {sign && <IconHourglassHigh size={15} stroke={1.7} aria-hidden="true" />}
        <time dateTime={until}>{left <= 0 ? over : span(left)}</time>
      </span>
    </Tooltip>
  );
}

/** A line that burns down from one instant to another. */
export function Fuse({ from, until }: { from: string; until: string }) {
  const now = useNow();
  const whole = Date.parse(until) - Date.parse(from);
  const left = Math.min(1, Math.max(0, (Date.parse(until) - now) / Math.max(1, whole)));
  const soon = secondsTo(until, now) < SOON_S;
  return (
    <div className={soon ? "fuse soon" : "fuse"} aria-hidden="true">
      <span style={{ width: `${(left * 100).toFixed(2)}%` }} />
    </div>
  );
}
