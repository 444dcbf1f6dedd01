// Where statements are written: coloured like those that approvers read, with what fits offered at the caret.

import { useEffect, useId, useLayoutEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";

import { around, complete, type Offers, type Relation } from "../lib/complete";
import { highlight, lines } from "../lib/sql";
import { Piece } from "./Sql";

/** Longer texts are written without colours: they would take longer to colour than a key may take. */
const COLOURED_MAX = 60_000;

interface Props {
  readonly value: string;
  readonly set: (text: string) => void;
  readonly known: readonly Relation[];
  /** Runs what is selected, or the statement at the caret, or everything. */
  readonly run: (text: string, from: number) => void;
  /** Where the server found something wrong, in characters of the text. */
  readonly wrong: number | undefined;
}

export function SqlEditor({ value, set, known, run, wrong }: Props) {
  const box = useRef<HTMLTextAreaElement>(null);
  const paper = useRef<HTMLOListElement>(null);
  const list = useId();
  const [offers, setOffers] = useState<Offers>();
  const [chosen, setChosen] = useState(0);
  const [place, setPlace] = useState({ left: 0, top: 0 });
  const rows = useMemo(() => (value.length > COLOURED_MAX ? value.split("\n").map((text) => [{ kind: "plain" as const, text }]) : lines(highlight(value))), [value]);
  const wrongLine = wrong === undefined ? undefined : value.slice(0, wrong).split("\n").length - 1;

  useEffect(() => {
    if (wrong === undefined) return;
    box.current?.focus({ preventScroll: true });
    box.current?.setSelectionRange(wrong, wrong);
  }, [wrong]);

  const look = (asked: boolean): void => {
    const field = box.current;
    if (!field || field.selectionStart !== field.selectionEnd) return setOffers(undefined);
    const found = complete(field.value, field.selectionStart, known, asked);
    setChosen(0);
    setOffers(found.items.length > 0 ? found : undefined);
  };
  // What is offered stands under the beginning of the word.
  useLayoutEffect(() => {
    if (offers && paper.current) setPlace(caret(paper.current, value, offers.from));
  }, [offers, value]);

  const put = (index: number): void => {
    const field = box.current;
    const offer = offers?.items[index];
    if (!field || !offers || !offer) return;
    const text = value.slice(0, offers.from) + offer.text + value.slice(field.selectionStart);
    const to = offers.from + offer.text.length;
    set(text);
    setOffers(undefined);
    requestAnimationFrame(() => field.setSelectionRange(to, to));
  };
  const press = (event: KeyboardEvent<HTMLTextAreaElement>): void => {
    const whole = event.ctrlKey || event.metaKey;
    if (whole && event.key === "Enter") {
      event.preventDefault();
      setOffers(undefined);
      const field = event.currentTarget;
      const picked = field.selectionStart === field.selectionEnd ? undefined : { from: field.selectionStart, until: field.selectionEnd };
      const { from, until } = picked ?? (event.shiftKey ? { from: 0, until: value.length } : around(value, field.selectionStart));
      run(value.slice(from, until), from);
    } else if (whole && event.key === " ") {
      event.preventDefault();
      look(true);
    } else if (offers) {
      const count = offers.items.length;
      const moves: Record<string, () => void> = {
        ArrowDown: () => setChosen((chosen + 1) % count), ArrowUp: () => setChosen((chosen + count - 1) % count),
        Enter: () => put(chosen), Tab: () => put(chosen), Escape: () => setOffers(undefined),
      };
      const move = event.shiftKey || whole || event.altKey ? undefined : moves[event.key];
      if (!move) return;
      event.preventDefault();
      event.stopPropagation();
      move();
    }
  };
  return (
    <div className="sql code editor sheet-of">
      <ol aria-hidden="true" ref={paper}>
        {rows.map((row, i) => (
          <li key={i} className={i === wrongLine ? "bad" : ""}>
            <code>{row.map((part, j) => ("shown" in part || part.kind !== "plain" ? <Piece key={j} part={part} /> : part.text))}{row.length === 0 && "\u200b"}</code>
          </li>
        ))}
      </ol>
      <textarea
        ref={box} value={value} aria-label="Statements" spellCheck={false} autoCapitalize="off" autoCorrect="off" wrap="soft"
        aria-autocomplete="list" aria-controls={offers ? list : undefined} aria-activedescendant={offers ? `${list}-${chosen}` : undefined}
        onChange={(event) => { set(event.currentTarget.value); requestAnimationFrame(() => look(false)); }}
        onKeyDown={press} onBlur={() => setOffers(undefined)} onClick={() => setOffers(undefined)}
      />
      {offers && (
        <ul className="offers" role="listbox" id={list} aria-label="What fits here" style={place}>
          {offers.items.map((one, i) => (
            <li key={`${one.kind} ${one.text}`} role="option" id={`${list}-${i}`} aria-selected={i === chosen} onMouseDown={(event) => { event.preventDefault(); put(i); }}>
              <span className={`k-${one.kind === "word" ? "word" : "plain"}`}>{one.text}</span>
              <small>{one.detail}</small>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** Where a place of the text is drawn, from the paper's corner. */
function caret(paper: HTMLOListElement, text: string, at: number): { left: number; top: number } {
  const before = text.slice(0, at);
  const row = before.split("\n").length - 1;
  const line = paper.children[row]?.querySelector("code");
  const corner = paper.getBoundingClientRect();
  if (!line) return { left: 0, top: 0 };
  let left = at - (before.lastIndexOf("\n") + 1);
  const walk = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const length = node.textContent?.length ?? 0;
    if (left <= length) {
      const range = document.createRange();
      range.setStart(node, left);
      range.setEnd(node, left);
      const spot = range.getClientRects()[0] ?? line.getBoundingClientRect();
      const most = Math.max(0, corner.width - 330);
      return { left: Math.min(most, Math.max(0, spot.left - corner.left)), top: spot.bottom - corner.top + 4 };
    }
    left -= length;
  }
  const spot = line.getBoundingClientRect();
  return { left: spot.left - corner.left, top: spot.bottom - corner.top + 4 };
}
