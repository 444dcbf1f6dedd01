// Everything that waits for my word, newest first. The chosen one stays chosen while others arrive: nothing changes
// under a hand that is about to answer.

import { IconInbox } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { useLocation, useSearchParams } from "wouter";

import type { Request } from "../api/client";
import { inbox, request } from "../api/queries";
import { useKeys } from "../lib/keys";
import { Answer } from "../parts/Answer";
import { Blank, Bones, Head, Reading } from "../parts/Page";
import { RequestRow } from "../parts/RequestRow";
import { RequestView, title } from "../parts/RequestView";
import { useWide } from "../parts/wide";

export default function Inbox() {
  const list = useQuery(inbox);
  return (
    <>
      <Head title="Inbox">What waits for your word, newest first.</Head>
      <Reading of={list} bones={<Bones rows={3} height={92} />}>
        {(items) => items.length === 0 ? (
          <div className="sheet">
            <Blank icon={IconInbox} title="Nothing waits for you">New requests appear here by themselves.</Blank>
          </div>
        ) : <Desk items={items} />}
      </Reading>
    </>
  );
}

function Desk({ items }: { items: readonly Request[] }) {
  const wide = useWide();
  const [, go] = useLocation();
  const [params, setParams] = useSearchParams();
  const at = items.findIndex((one) => one.id === params.get("r"));
  const shown = items[at] ?? items[0];
  const choose = (one: Request | undefined): void => {
    if (!one) return;
    setParams({ r: one.id }, { replace: true });
    document.querySelector(`[data-request="${one.id}"]`)?.scrollIntoView({ block: "nearest" });
  };
  // Keeps what is shown by name, not by place, so that an arrival does not replace it.
  useEffect(() => {
    if (wide && shown && params.get("r") !== shown.id) setParams({ r: shown.id }, { replace: true });
  }, [wide, shown, params, setParams]);
  useKeys({
    j: () => choose(items[Math.min(Math.max(at, 0) + 1, items.length - 1)]),
    k: () => choose(items[Math.max(at - 1, 0)]),
    ArrowDown: () => choose(items[Math.min(Math.max(at, 0) + 1, items.length - 1)]),
    ArrowUp: () => choose(items[Math.max(at - 1, 0)]),
    Enter: () => shown && go(`/requests/${shown.id}`),
  });
  const next = items[at + 1] ?? items[at - 1];
  return (
    <div className="inbox">
      <div className="side sheet">
        <ul className="list" aria-label="Requests that wait">
          {items.map((one) => (
            <RequestRow
              key={one.id} of={one} to={wide ? `/inbox?r=${one.id}` : `/requests/${one.id}`} current={wide && one.id === shown?.id}
            />
          ))}
        </ul>
      </div>
      {wide && shown && (
        <div className="shown sheet pad"><Chosen key={shown.id} of={shown} after={() => choose(next)} /></div>
      )}
    </div>
  );
}

/** What a list leaves out, because it takes looking for: what became of the same before. */
function Chosen({ of, after }: { of: Request; after: () => void }) {
  const whole = useQuery(request(of.id));
  return (
    <RequestView of={whole.data ?? of} level={3} heading={<h2>{title(of)}</h2>}>
      <Answer of={of} keys after={after} />
    </RequestView>
  );
}
