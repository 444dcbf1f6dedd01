// What every page begins with, and how a page says that it loads, is empty, or failed.

import { Button, Skeleton } from "@mantine/core";
import { IconAlertTriangle, IconCheck, IconInfoCircle, type Icon } from "@tabler/icons-react";
import type { UseQueryResult } from "@tanstack/react-query";
import { useEffect, useRef, type ReactNode } from "react";
import { Link } from "wouter";

import { Problem } from "../api/client";

/** Whether a page was shown before: its successors take the focus, the first one leaves it where it is. */
let shownBefore = false;

/** The tab's title, and the focus on a heading so that a screen reader says where it is. */
export function useTitle(title: string) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Countersign`;
  }, [title]);
  useEffect(() => {
    if (shownBefore) heading.current?.focus({ preventScroll: true });
    shownBefore = true;
  }, []);
  return heading;
}

export function Head({ title, children, aside }: { title: string; children?: ReactNode; aside?: ReactNode }) {
  const heading = useTitle(title);
  return (
    <header className="head">
      <div>
        <h1 ref={heading} tabIndex={-1}>{title}</h1>
        {children && <p>{children}</p>}
      </div>
      {aside && <div className="row">{aside}</div>}
    </header>
  );
}

export function Blank({ icon: Sign, title, children, action }: {
  icon: Icon; title: string; children?: ReactNode; action?: { to: string; label: string };
}) {
  return (
    <div className="blank">
      <Sign size={30} stroke={1.4} aria-hidden="true" />
      <b>{title}</b>
      {children && <p>{children}</p>}
      {action && <Button component={Link} href={action.to} variant="default">{action.label}</Button>}
    </div>
  );
}

const SIGNS = { bad: IconAlertTriangle, warn: IconAlertTriangle, calm: IconInfoCircle, good: IconCheck } as const;

/** A notice inside a page. */
export function Note({ tone = "calm", children }: { tone?: "bad" | "warn" | "calm" | "good"; children: ReactNode }) {
  const Sign = SIGNS[tone];
  return (
    <div className={`fault ${tone}`}>
      <Sign size={20} stroke={1.8} aria-hidden="true" />
      <div>{children}</div>
    </div>
  );
}

/** What the gateway refused, in its own words, and what to do next. */
export function Fault({ error, retry }: { error: Error; retry?: () => void }) {
  return (
    <div className="fault" role="alert">
      <IconAlertTriangle size={20} stroke={1.8} aria-hidden="true" />
      <div>
        <b>{sentence(error.message)}</b>
        {error instanceof Problem && error.hint && <p>{sentence(error.hint)}</p>}
      </div>
      {retry && <Button size="xs" variant="default" onClick={retry}>Try again</Button>}
    </div>
  );
}

/** Messages come in lower case without a stop, as for a terminal. */
export const sentence = (text: string): string => {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?:]$/.test(first) ? first : `${first}.`;
};

export function Bones({ rows = 3, height = 64 }: { rows?: number; height?: number }) {
  return (
    <div className="stack" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => <Skeleton key={i} height={height} radius={12} />)}
    </div>
  );
}

/** One reading: its skeleton while it loads, its fault when it failed, otherwise what it is for. */
export function Reading<T>({ of, bones, children }: {
  of: Pick<UseQueryResult<T>, "data" | "error" | "refetch">; bones?: ReactNode; children: (data: T) => ReactNode;
}) {
  // What was read before stays on the screen while the gateway does not answer; the line in the rail says so.
  if (of.data !== undefined) return <>{children(of.data)}</>;
  if (of.error) return <Fault error={of.error} retry={() => void of.refetch()} />;
  return <>{bones ?? <Bones />}</>;
}
