// What somebody may mean by a few letters: a page, a role, a person, a thing by its identifier, or words to look for.

export interface Item {
  readonly id: string;
  readonly group: string;
  readonly label: string;
  readonly detail?: string;
  readonly keys?: string;
  /** Where it leads. */
  readonly to: string;
}

/** How many of a group are shown. */
const GROUP_MAX = 6;

const words = (text: string): string[] => text.toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean);

/** How well an item fits; nothing if it does not. Every word must begin a word of it, in whatever order. */
export function fit(item: Item, query: string): number | undefined {
  const wanted = words(query);
  const label = item.label.toLowerCase();
  const has = words(`${item.label} ${item.detail ?? ""} ${item.group}`);
  if (!wanted.every((word) => has.some((one) => one.startsWith(word)))) return undefined;
  const whole = query.trim().toLowerCase();
  return (label === whole ? 8 : 0) + (label.startsWith(whole) ? 4 : 0) + (wanted.every((word) => words(item.label).some((one) => one.startsWith(word))) ? 2 : 0);
}

const IDS: readonly (readonly [RegExp, string, (id: string) => string])[] = [
  [/^req_[0-9A-Z]{20,32}$/i, "Request", (id) => `/requests/${id}`],
  [/^ses_[0-9A-Z]{20,32}$/i, "Session", (id) => `/sessions/${id}`],
];

/** What the words themselves may stand for. */
export function meant(query: string, may: (action: string) => boolean): Item[] {
  const text = query.trim();
  if (text === "") return [];
  const items: Item[] = [];
  for (const [form, what, to] of IDS) if (form.test(text)) items.push({ id: `id ${text}`, group: "By its identifier", label: `${what} ${text}`, to: to(text) });
  if (!may("ledger.read")) return items;
  if (/^\d{1,15}$/.test(text)) items.push({ id: `line ${text}`, group: "By its identifier", label: `Line ${text} of the ledger`, to: `/ledger/${text}` });
  const coded = encodeURIComponent(text);
  items.push({ id: "find statements", group: "Look for", label: `Statements with “${text}”`, to: `/sessions?state=statements&text=${coded}` });
  items.push({ id: "find lines", group: "Look for", label: `Lines of the ledger with “${text}”`, to: `/ledger?text=${coded}` });
  return items;
}

/** The items that fit, best first, in the order of their groups. */
export function find(items: readonly Item[], query: string): Item[] {
  if (query.trim() === "") return items.filter((item) => item.group === "Go to");
  const fits = items.map((item) => ({ item, fit: fit(item, query) })).filter((one): one is { item: Item; fit: number } => one.fit !== undefined);
  fits.sort((a, b) => b.fit - a.fit);
  const groups = new Map<string, Item[]>();
  for (const { item } of fits) groups.set(item.group, [...(groups.get(item.group) ?? []), item]);
  return [...groups.values()].flatMap((group) => group.slice(0, GROUP_MAX));
}
