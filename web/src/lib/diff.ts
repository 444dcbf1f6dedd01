// What differs between two texts, line by line: the shortest edit (Myers 1986), in linear space where texts are alike.

export interface Line {
  readonly kind: "same" | "out" | "in";
  readonly text: string;
  /** Counted from one; nothing on the side where the line is not. */
  readonly before?: number;
  readonly after?: number;
}

/** A stretch of changes, with what stands around it. */
export interface Hunk {
  readonly lines: readonly Line[];
}

/** Texts that differ in more than this are told apart whole: nobody reads such an edit. */
const EDITS_MAX = 4_000;

const split = (text: string): string[] => (text === "" ? [] : text.replace(/\n$/, "").split("\n"));

/** Every line of both. */
export function diff(before: string, after: string): Line[] {
  const a = split(before);
  const b = split(after);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const out: Line[] = [];
  const same = (i: number, j: number): void => void out.push({ kind: "same", text: a[i] ?? "", before: i + 1, after: j + 1 });
  for (let i = 0; i < head; i += 1) same(i, i);
  for (const step of edits(a.slice(head, a.length - tail), b.slice(head, b.length - tail))) {
    if (step.kind === "same") same(head + step.i, head + step.j);
    else if (step.kind === "out") out.push({ kind: "out", text: a[head + step.i] ?? "", before: head + step.i + 1 });
    else out.push({ kind: "in", text: b[head + step.j] ?? "", after: head + step.j + 1 });
  }
  for (let i = tail; i > 0; i -= 1) same(a.length - i, b.length - i);
  return out;
}

type Step = { kind: Line["kind"]; i: number; j: number };

function edits(a: readonly string[], b: readonly string[]): Step[] {
  const most = Math.min(a.length + b.length, EDITS_MAX);
  let reach = new Map<number, number>([[1, 0]]);
  const trace: Map<number, number>[] = [];
  for (let d = 0; d <= most; d += 1) {
    trace.push(new Map(reach));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (reach.get(k - 1) ?? 0) < (reach.get(k + 1) ?? 0));
      let x = down ? reach.get(k + 1) ?? 0 : (reach.get(k - 1) ?? 0) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x += 1;
      reach.set(k, x);
      if (x >= a.length && x - k >= b.length) return walk(trace, a.length, b.length);
    }
    // Only the diagonals that were reached are kept for the way back.
    reach = new Map(reach);
  }
  return [...a.keys()].map((i): Step => ({ kind: "out", i, j: 0 })).concat([...b.keys()].map((j): Step => ({ kind: "in", i: 0, j })));
}

function walk(trace: readonly Map<number, number>[], toX: number, toY: number): Step[] {
  const steps: Step[] = [];
  let [x, y] = [toX, toY];
  for (let d = trace.length - 1; d >= 0; d -= 1) {
    const reach = trace[d] ?? new Map<number, number>();
    const k = x - y;
    const down = k === -d || (k !== d && (reach.get(k - 1) ?? 0) < (reach.get(k + 1) ?? 0));
    const from = down ? k + 1 : k - 1;
    const startX = d === 0 ? 0 : reach.get(from) ?? 0;
    const startY = startX - from;
    const [meetX, meetY] = d === 0 ? [0, 0] : down ? [startX, startY + 1] : [startX + 1, startY];
    while (x > meetX && y > meetY) steps.push({ kind: "same", i: --x, j: --y });
    if (d === 0) break;
    if (down) steps.push({ kind: "in", i: x, j: --y });
    else steps.push({ kind: "out", i: --x, j: y });
  }
  return steps.reverse();
}

/** The changes, each with so many lines around it. */
export function hunks(lines: readonly Line[], around = 3): Hunk[] {
  const near = lines.map((_, i) => lines.slice(Math.max(0, i - around), i + around + 1).some((line) => line.kind !== "same"));
  const found: Hunk[] = [];
  let open: Line[] = [];
  lines.forEach((line, i) => {
    if (near[i]) open.push(line);
    else if (open.length > 0) {
      found.push({ lines: open });
      open = [];
    }
  });
  if (open.length > 0) found.push({ lines: open });
  return found;
}

export type Files = Readonly<Record<string, string>>;

/** Files that differ, by path. */
export const changed = (before: Files, after: Files): string[] =>
  [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((path) => before[path] !== after[path]).sort();

/** How many lines come and go. */
export function counts(lines: readonly Line[]): { in: number; out: number } {
  const of = (kind: Line["kind"]): number => lines.filter((line) => line.kind === kind).length;
  return { in: of("in"), out: of("out") };
}
