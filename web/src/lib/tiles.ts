// Whether a tree contains another, found out from the log's own tiles (C2SP tlog-tiles), as the command line does it: the
// hashes are fetched, and both roots are computed here. Nothing that the server says of the result is taken on trust.

import { HASH_BYTES, nodeOf, same, type Bytes } from "./hashes";

const HEIGHT = 8;
const WIDTH = 256;

/** Fetches a tile by its path beneath `tile/`; nothing where the log has none. Whatever else goes wrong is thrown. */
export type Fetch = (path: string) => Promise<Bytes | undefined>;

/** `x001/234` for 1234. */
export function tileNumber(index: number): string {
  const groups: string[] = [String(index % 1000).padStart(3, "0")];
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) groups.unshift(`x${String(rest % 1000).padStart(3, "0")}`);
  return groups.join("/");
}

class Missing extends Error {}

/** The published tree of one size. */
class Tree {
  private readonly tiles = new Map<string, Promise<Bytes | undefined>>();

  constructor(private readonly size: number, private readonly fetch: Fetch) {}

  /** The hash of a complete subtree of 2^height leaves, the `index`-th of those. */
  private async node(height: number, index: number): Promise<Bytes> {
    const level = Math.floor(height / HEIGHT);
    const spread = 2 ** (height % HEIGHT);
    const first = index * spread;
    const count = Math.floor(this.size / WIDTH ** level);
    const tile = Math.floor(first / WIDTH);
    const width = Math.min(WIDTH, count - tile * WIDTH);
    const path = `${level}/${tileNumber(tile)}${width < WIDTH ? `.p/${width}` : ""}`;
    const known = this.tiles.get(path) ?? this.fetch(path);
    this.tiles.set(path, known);
    const bytes = await known;
    if (bytes?.length !== width * HASH_BYTES) throw new Missing(path);
    let hashes = Array.from({ length: spread }, (_, i) => bytes.slice((first % WIDTH + i) * HASH_BYTES, (first % WIDTH + i + 1) * HASH_BYTES));
    while (hashes.length > 1) hashes = await Promise.all(pairs(hashes).map(([left, right]) => nodeOf(left, right)));
    const [top] = hashes;
    if (top?.length !== HASH_BYTES) throw new Missing(path);
    return top;
  }

  /** The root over the leaves from `from` to `to`, which must lie as the whole tree divides them (RFC 6962, 2.1). */
  async range(from: number, to: number, boundary: number): Promise<Bytes> {
    const width = to - from;
    const whole = Number.isInteger(Math.log2(width)) && from % width === 0;
    if (whole && (boundary <= from || boundary >= to)) return this.node(Math.log2(width), from / width);
    const half = from + 2 ** Math.ceil(Math.log2(width) - 1);
    return nodeOf(await this.range(from, half, boundary), await this.range(half, to, boundary));
  }
}

function pairs<T>(all: readonly T[]): [T, T][] {
  const out: [T, T][] = [];
  for (let i = 0; i + 1 < all.length; i += 2) out.push([all[i] as T, all[i + 1] as T]);
  return out;
}

export interface Head { readonly size: number; readonly root: Uint8Array }

/** What was found out of two trees: `grown` if the newer contains the older, `forked` if not, `missing` if tiles are. */
export type Grown = "grown" | "forked" | "missing" | "shorter";

/**
 * Whether the tree of `now` begins with all that the tree of `then` had. The newer root is computed through the very
 * hashes that the older one is computed from, so that no answer can satisfy one and not the other.
 */
export async function grown(then: Head, now: Head, fetch: Fetch): Promise<Grown> {
  if (then.size > now.size) return "shorter";
  if (then.size === now.size) return same(then.root, now.root) ? "grown" : "forked";
  if (then.size === 0) return "grown";
  try {
    const tree = new Tree(now.size, fetch);
    const before = await tree.range(0, then.size, then.size);
    const after = await tree.range(0, now.size, then.size);
    return same(before, then.root) && same(after, now.root) ? "grown" : "forked";
  } catch (error) {
    if (error instanceof Missing) return "missing";
    throw error;
  }
}
