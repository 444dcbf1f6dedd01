// A table for other programs (RFC 4180). Spreadsheets run what begins like a formula: such cells get a mark in front that
// they take for "this is text".

type Cell = string | number | undefined;

const FORMULA = /^[=+\-@\t\r]/;

function cell(value: Cell): string {
  const text = value === undefined ? "" : String(value);
  const plain = typeof value === "string" && FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

export const csv = (head: readonly string[], rows: readonly (readonly Cell[])[]): string =>
  [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";

/** Hands a text to the person as a file. */
export function save(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}
