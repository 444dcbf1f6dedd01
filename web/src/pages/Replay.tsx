// A recorded session, played again: what was sent and what was said to it, at the pace of then or faster, silences shortened.
// It plays lines of the ledger. Nothing is sent to anything.

import { Button, NativeSelect } from "@mantine/core";
import { IconPlayerPause, IconPlayerPlay, IconPlayerSkipBack, IconPlayerTrackNext, IconPlayerTrackPrev } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState, type ReactNode } from "react";

import type { Event, Session } from "../api/client";
import { actions } from "../api/queries";
import { clock, reached, steps, type Step } from "../lib/playing";
import { span } from "../lib/time";
import { verdict } from "../lib/words";
import { Blank, Bones, Fault } from "../parts/Page";

import "../style/replay.css";

const SPEEDS = ["0.5", "1", "2", "5", "20"];
/** Silences are told from this length on, in milliseconds. */
const TOLD_MS = 5_000;
/** How many pages of lines are read: no session that a person follows is longer. */
const PAGES_MAX = 40;

export default function Replay({ of, draw }: { of: Session; draw: (line: Event) => ReactNode }) {
  const read = useInfiniteQuery(actions(of.id));
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = read;
  const pages = read.data?.pages.length ?? 0;
  // It begins at the beginning: everything is read first.
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && pages < PAGES_MAX) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage, pages]);
  const lines = read.data?.pages;
  const all = useMemo(() => steps((lines ?? []).flatMap((page) => page.items)), [lines]);
  if (read.error) return <Fault error={read.error} retry={() => void read.refetch()} />;
  if (!lines || (hasNextPage && pages < PAGES_MAX)) return <Bones rows={3} height={72} />;
  if (all.length === 0) return <div className="sheet"><Blank icon={IconPlayerPlay} title="There is nothing to play">Nothing was done in this session.</Blank></div>;
  return <Player all={all} draw={draw} cut={hasNextPage} />;
}

function Player({ all, draw, cut }: { all: readonly Step[]; draw: (line: Event) => ReactNode; cut: boolean }) {
  const whole = all.at(-1)?.at ?? 0;
  const [at, setAt] = useState(0);
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState("1");
  const box = useRef<HTMLDivElement>(null);
  const shown = reached(all, at);
  useEffect(() => {
    if (!playing) return undefined;
    let last = performance.now();
    let frame = requestAnimationFrame(function tick(now) {
      const passed = (now - last) * Number(speed);
      last = now;
      setAt((was) => Math.min(whole, was + passed));
      frame = requestAnimationFrame(tick);
    });
    return () => cancelAnimationFrame(frame);
  }, [playing, speed, whole]);
  useEffect(() => {
    if (playing && at >= whole) setPlaying(false);
  }, [playing, at, whole]);
  useEffect(() => {
    const field = box.current;
    if (field) field.scrollTop = field.scrollHeight;
  }, [shown]);
  const to = (index: number): void => {
    setPlaying(false);
    setAt(all[Math.max(0, Math.min(all.length - 1, index))]?.at ?? 0);
  };
  const start = (): void => {
    if (!playing && at >= whole) setAt(0);
    setPlaying(!playing);
  };
  return (
    <div className="stack">
      <div className="sheet player">
        <div className="row">
          <Button onClick={start} leftSection={playing ? <IconPlayerPause size={17} /> : <IconPlayerPlay size={17} />}>{playing ? "Pause" : "Play"}</Button>
          <Button variant="default" aria-label="To the beginning" onClick={() => to(0)}><IconPlayerSkipBack size={17} aria-hidden="true" /></Button>
          <Button variant="default" aria-label="The one before" onClick={() => to(shown - 2)}><IconPlayerTrackPrev size={17} aria-hidden="true" /></Button>
          <Button variant="default" aria-label="The next one" onClick={() => to(shown)}><IconPlayerTrackNext size={17} aria-hidden="true" /></Button>
          <NativeSelect aria-label="Speed" value={speed} onChange={(event) => setSpeed(event.currentTarget.value)} data={SPEEDS.map((value) => ({ value, label: `${value}×` }))} />
          <span className="small quiet figures">{clock(at)} of {clock(whole)}, {shown} of {all.length}</span>
        </div>
        <div className="track">
          <input
            type="range" aria-label="Where it is" min={0} max={Math.max(1, Math.round(whole))} step={1} value={Math.round(at)}
            aria-valuetext={`${clock(at)} of ${clock(whole)}`} onChange={(event) => { setPlaying(false); setAt(Number(event.currentTarget.value)); }}
          />
          <div className="ticks" aria-hidden="true">
            {all.map((one) => <i key={one.line.seq} className={toneOf(one.line)} style={{ left: `${whole === 0 ? 0 : (one.at / whole) * 100}%` }} />)}
          </div>
        </div>
      </div>
      {cut && <p className="small quiet">The session is longer than what is played; this is its end.</p>}
      <div className="sheet feed" ref={box} tabIndex={0} role="log" aria-label="What was done, as it is played">
        <ul className="list">
          {all.slice(0, shown).map((one) => (
            <li key={one.line.seq} className="played">
              {one.skipped >= TOLD_MS && <p className="small quiet silence">{span(one.skipped / 1_000)} of silence</p>}
              {draw(one.line)}
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}

const TONES: Record<string, string> = { allow: "yes", approved: "yes", hold: "wait", deny: "no", denied: "no", failure: "no" };
const toneOf = (line: Event): string => TONES[verdict(line) ?? ""] ?? "";
