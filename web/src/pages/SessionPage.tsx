// One session and what was done in it.

import { Button } from "@mantine/core";
import { IconListSearch, IconPlayerPause, IconPlayerPlay, IconPlugConnectedX } from "@tabler/icons-react";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { Link } from "wouter";

import { Problem, type Event, type Session } from "../api/client";
import { useFollow } from "../api/follow";
import { actions, session } from "../api/queries";
import { completion, ending } from "../lib/words";
import { Facts, State, Verdict } from "../parts/Bits";
import { useEndSession } from "../parts/endSession";
import { usePauseSession } from "../parts/pauseSession";
import { Blank, Bones, Head, Reading } from "../parts/Page";
import { Plain, SqlLine } from "../parts/Sql";
import { Ago, When } from "../parts/Time";
import { may, useMe } from "../parts/who";

const Replay = lazy(() => import("./Replay"));

export default function SessionPage({ id }: { id: string }) {
  const one = useQuery({ ...session(id), retry: false });
  if (one.error instanceof Problem && one.error.status === 404) {
    return (
      <>
        <Head title="Session" />
        <div className="sheet">
          <Blank icon={IconPlugConnectedX} title="No such session" action={{ to: "/sessions", label: "Go to sessions" }}>
            It does not exist, or is not yours to see.
          </Blank>
        </div>
      </>
    );
  }
  return <Reading of={one}>{(of) => <Shown of={of} />}</Reading>;
}

function Shown({ of }: { of: Session }) {
  // What began as a live session stays on the screen as it was followed, whatever becomes of it.
  const [live] = useState(of.state === "live");
  const { end, confirm } = useEndSession();
  const { pause, resume, confirm: confirmPause } = usePauseSession();
  return (
    <>
      <Head
        title={`${of.display} on ${of.resource}`}
        aside={of.state === "live" && (
          <span className="row">
            {of.can.pause && <Button variant="default" leftSection={<IconPlayerPause size={16} />} onClick={() => pause(of)}>Pause</Button>}
            {of.can.resume && <Button leftSection={<IconPlayerPlay size={16} />} onClick={() => resume(of)}>Resume</Button>}
            {of.can.end && <Button color="brick" onClick={() => end(of)}>End session</Button>}
          </span>
        )}
      >
        {of.purpose && <Plain text={of.purpose} />}
      </Head>
      <div className="sheet pad" style={{ marginBottom: 24 }}>
        <Facts
          of={[
            ["State", of.paused
              ? <span className="row"><State of="paused" /><span>by {of.paused.display}, <Ago at={of.paused.at} />{of.paused.reason && <>: <Plain text={of.paused.reason} /></>}</span></span>
              : <span className="row"><State of={of.state} />{of.ending && <span className="quiet">{ending(of.ending)}</span>}</span>],
            ["Who", <>{of.principal}{of.person !== of.principal && <span className="quiet">, for whom {of.person} answers</span>}</>],
            ["Role", of.role],
            ["Door", of.door],
            ["Client", <>{of.application && <Plain text={of.application} />} <span className="quiet">{of.address}</span></>],
            ["Began", <When at={of.opened_at} />],
            of.ended_at && ["Ended", <When at={of.ended_at} />],
            ["Grant", <span className="mono small">{of.grant}</span>],
            ["Session", <span className="mono small">{of.id}</span>],
          ]}
        />
      </div>
      {live ? <Live of={of} /> : <Recorded of={of} />}
      {confirm}
      {confirmPause}
    </>
  );
}

/** What is done, as it is done: the last at the foot, as in a terminal. */
function Live({ of }: { of: Session }) {
  const [on, setOn] = useState(true);
  const { lines, state } = useFollow(of.id, on);
  const foot = useRef<HTMLDivElement>(null);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // Whoever scrolled up to read stays where they are.
    const field = box.current;
    if (field && field.scrollHeight - field.scrollTop - field.clientHeight < 240) foot.current?.scrollIntoView({ block: "nearest" });
  }, [lines.length]);
  const shown = lines.filter((one) => one.type.startsWith("action.") || one.type.startsWith("decision.") || one.type.startsWith("session."));
  return (
    <section className="part">
      <div className="row apart">
        <h2>As it happens</h2>
        <div className="row">
          <span className={`line ${state === "lost" ? "down" : ""}`} role="status">{on ? SAYS[state] : "Not followed"}</span>
          {state !== "over" && <Button variant="default" size="xs" onClick={() => setOn(!on)}>{on ? "Stop following" : "Follow"}</Button>}
        </div>
      </div>
      <div className="sheet feed" ref={box} tabIndex={0} role="log" aria-label="What is done in this session">
        {shown.length === 0
          ? state === "opening" ? <div style={{ padding: 16 }}><Bones rows={2} height={60} /></div> : <Blank icon={IconListSearch} title="Nothing was done yet">What is sent appears here by itself.</Blank>
          : <ul className="list">{shown.map((one) => <Action key={one.id} of={one} />)}</ul>}
        <div ref={foot} />
      </div>
      <p className="small quiet" style={{ marginTop: 10 }}>That you follow it is a line in the ledger.</p>
    </section>
  );
}

const SAYS = { opening: "Opening", following: "Live", lost: "Not connected, trying again", over: "The session is over" } as const;

/** What was done in it: to read, or played again. */
function Recorded({ of }: { of: Session }) {
  const [playing, setPlaying] = useState(false);
  if (!playing) return <Actions of={of} play={() => setPlaying(true)} />;
  return (
    <section className="part">
      <div className="row apart">
        <h2>Replay</h2>
        <Button variant="default" size="xs" onClick={() => setPlaying(false)}>All actions</Button>
      </div>
      <Suspense fallback={<Bones rows={3} height={72} />}><Replay of={of} draw={(line) => <Told of={line} />} /></Suspense>
    </section>
  );
}

function Actions({ of, play }: { of: Session; play: () => void }) {
  const read = useInfiniteQuery(actions(of.id));
  return (
    <section className="part">
      <div className="row apart">
        <h2>Actions</h2>
        <span className="row">
          <Button variant="default" size="xs" leftSection={<IconPlayerPlay size={14} />} onClick={play}>Replay</Button>
          <Button variant="default" size="xs" loading={read.isRefetching} onClick={() => void read.refetch()}>Read again</Button>
        </span>
      </div>
      <Reading of={read} bones={<Bones rows={4} height={72} />}>
        {({ pages }) => {
          const items = pages.flatMap((page) => page.items);
          return (
            <div className="sheet">
              {items.length === 0
                ? <Blank icon={IconListSearch} title="Nothing was done" />
                : <ul className="list">{items.map((one) => <Action key={one.id} of={one} />)}</ul>}
              {read.hasNextPage && (
                <div className="row" style={{ justifyContent: "center", padding: 14 }}>
                  <Button variant="default" loading={read.isFetchingNextPage} onClick={() => void read.fetchNextPage()}>Older ones</Button>
                </div>
              )}
            </div>
          );
        }}
      </Reading>
    </section>
  );
}

const Action = ({ of }: { of: Event }) => <li><Told of={of} /></li>;

function Told({ of }: { of: Event }) {
  const ledgerOpen = may(useMe(), "ledger.read");
  const how = completion(of);
  return (
    <div className="stack" style={{ gap: 6 }}>
      <div className="row apart">
        <span className="row">
          <Verdict of={of} />
          <b className="mono small">{of.type}</b>
          {of.request && <Link href={`/requests/${of.request}`} className="small">request</Link>}
        </span>
        <span className="row small quiet">
          <Ago at={of.at} />
          {ledgerOpen ? <Link href={`/ledger/${of.seq}`} className="figures">line {of.seq}</Link> : <span className="figures">line {of.seq}</span>}
        </span>
      </div>
      {of.text && (of.type.startsWith("action.") ? <SqlLine text={of.text} /> : <p className="small quiet"><Plain text={of.text} /></p>)}
      {how && <p className="small quiet">{how}</p>}
    </div>
  );
}
