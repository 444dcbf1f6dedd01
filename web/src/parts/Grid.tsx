// A result as a grid: only the rows that can be seen are there, however many there are. What is in it comes from a database:
// it is text, with what hides made visible, and never anything else.

import { Modal } from "@mantine/core";
import { memo, useEffect, useId, useLayoutEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";

import type { Result } from "../api/workbench";
import { Copy } from "./Bits";
import { Plain } from "./Sql";

/** How high a row is, in pixels; the style says the same. */
const ROW_PX = 30;
/** How many rows are kept ready above and below. */
const SPARE = 12;
/** How much of a value a cell shows, in characters. */
const SHOWN_MAX = 160;
/** Widths are taken from so many rows, */
const SAMPLE = 200;
/** and are at least and at most so many characters. */
const CH_MIN = 6;
const CH_MAX = 44;

// int8, int2, int4, oid, float4, float8, money, numeric: set to the right, so that magnitudes can be compared.
const NUMBERS = new Set([20, 21, 23, 26, 700, 701, 790, 1700]);

export function Grid({ of, count, name }: { of: Result; count: number; name: string }) {
  const box = useRef<HTMLDivElement>(null);
  const id = useId();
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(400);
  const [at, setAt] = useState({ row: 0, column: 0 });
  const [shown, setShown] = useState<{ row: number; column: number }>();
  const sampled = Math.min(count, SAMPLE);
  const widths = useMemo(() => of.columns.map((column, i) => {
    let most = column.name.length + 1;
    for (let row = 0; row < sampled; row += 1) most = Math.max(most, of.rows[row]?.[i]?.length ?? 4);
    return Math.min(CH_MAX, Math.max(CH_MIN, most)) + 3;
  }), [of, of.columns, sampled]);
  const digits = String(count).length;
  const template = `${digits + 3}ch ${widths.map((width) => `${width}ch`).join(" ")}`;
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const watch = new ResizeObserver(() => setHeight(element.clientHeight));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  const first = Math.max(0, Math.floor(top / ROW_PX) - SPARE);
  const last = Math.min(count, Math.ceil((top + height) / ROW_PX) + SPARE);
  const go = (row: number, column: number): void => {
    const to = { row: Math.max(0, Math.min(count - 1, row)), column: Math.max(0, Math.min(of.columns.length - 1, column)) };
    setAt(to);
    const element = box.current;
    if (!element) return;
    const above = to.row * ROW_PX;
    if (above < element.scrollTop) element.scrollTop = above;
    else if (above + 2 * ROW_PX > element.scrollTop + element.clientHeight) element.scrollTop = above + 2 * ROW_PX - element.clientHeight;
  };
  // The row was brought into view; its cell may still be to the side.
  useEffect(() => {
    if (box.current === document.activeElement) box.current?.querySelector("[data-at]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [at]);
  const press = (event: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor(height / ROW_PX) - 2);
    const whole = event.ctrlKey || event.metaKey;
    const moves: Record<string, () => void> = {
      ArrowDown: () => go(whole ? count - 1 : at.row + 1, at.column), ArrowUp: () => go(whole ? 0 : at.row - 1, at.column),
      ArrowRight: () => go(at.row, at.column + 1), ArrowLeft: () => go(at.row, at.column - 1),
      PageDown: () => go(at.row + page, at.column), PageUp: () => go(at.row - page, at.column),
      Home: () => go(whole ? 0 : at.row, 0), End: () => go(whole ? count - 1 : at.row, of.columns.length - 1),
      Enter: () => setShown(at),
      c: () => { if (whole && getSelection()?.isCollapsed !== false) void navigator.clipboard.writeText(of.rows[at.row]?.[at.column] ?? ""); },
    };
    const move = moves[event.key];
    if (!move || (event.key === "c" && !whole)) return;
    event.preventDefault();
    move();
  };
  return (
    <>
      <div
        ref={box} className="grid-of" role="grid" tabIndex={0} aria-label={name} aria-activedescendant={at.row >= first && at.row < last ? `${id}-at` : undefined} aria-rowcount={count + 1} aria-colcount={of.columns.length + 1}
        onScroll={(event) => setTop(event.currentTarget.scrollTop)} onKeyDown={press}
      >
        <div className="head-of" role="row" aria-rowindex={1} style={{ gridTemplateColumns: template }}>
          <span role="columnheader" className="n"><span className="unseen">Row</span></span>
          {of.columns.map((column, i) => (
            <span key={i} role="columnheader" className={NUMBERS.has(column.type_oid) ? "right" : ""}><Plain text={column.name} /></span>
          ))}
        </div>
        <div role="rowgroup" className="body-of" style={{ height: count * ROW_PX }}>
          {Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i).map((row) => (
            <Row
              key={row} of={of} row={row} template={template} id={id} at={row === at.row ? at.column : undefined}
              choose={(column) => setAt({ row, column })} open={(column) => setShown({ row, column })}
            />
          ))}
        </div>
      </div>
      <Modal opened={shown !== undefined} onClose={() => setShown(undefined)} size="lg" centered title={shown ? of.columns[shown.column]?.name ?? "Value" : ""}>
        {shown && <Value of={of} row={shown.row} column={shown.column} />}
      </Modal>
    </>
  );
}

interface RowProps {
  of: Result;
  row: number;
  template: string;
  id: string;
  at: number | undefined;
  choose: (column: number) => void;
  open: (column: number) => void;
}

const Row = memo(function Row({ of, row, template, id, at, choose, open }: RowProps) {
  return (
    <div role="row" aria-rowindex={row + 2} className="row-of" style={{ top: row * ROW_PX, gridTemplateColumns: template }}>
      <span role="rowheader" className="n">{row + 1}</span>
      {of.columns.map((column, i) => (
        <span
          key={i} role="gridcell" id={at === i ? `${id}-at` : undefined} data-at={at === i ? "" : undefined}
          className={NUMBERS.has(column.type_oid) ? "right" : ""} onMouseDown={() => choose(i)} onDoubleClick={() => open(i)}
        >
          <Cell value={of.rows[row]?.[i]} />
        </span>
      ))}
    </div>
  );
// What the functions do depends on the row alone.
}, (one, other) => one.of === other.of && one.row === other.row && one.template === other.template && one.at === other.at);

function Cell({ value }: { value: string | null | undefined }) {
  if (value === null || value === undefined) return <i className="none">NULL</i>;
  if (value === "") return <i className="none">empty</i>;
  return <Plain text={value.length > SHOWN_MAX ? `${value.slice(0, SHOWN_MAX)}…` : value} />;
}

/** How much of one value the panel draws; all of it can be copied. */
const PANEL_MAX = 20_000;

function Value({ of, row, column }: { of: Result; row: number; column: number }) {
  const value = of.rows[row]?.[column];
  const whole = of.cut.get(`${row} ${column}`);
  if (value === null || value === undefined) return <p>NULL: there is no value.</p>;
  return (
    <div className="stack">
      <div className="row apart">
        <p className="small quiet">
          Row {(row + 1).toLocaleString()}, {value.length.toLocaleString()} characters
          {whole !== undefined && `, the beginning of ${whole.toLocaleString()} bytes`}
        </p>
        <Copy value={value} what="the value" />
      </div>
      <div className="value-of" tabIndex={0} role="region" aria-label="The value"><code><Plain text={value.slice(0, PANEL_MAX)} />{value.length > PANEL_MAX && "…"}</code></div>
    </div>
  );
}
