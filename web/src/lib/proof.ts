// Checks, in the browser, that a line stands in the tree that a checkpoint names (RFC 6962 inclusion, C2SP tlog-proof), that
// the log's key signed that checkpoint, and that its tree contains the one that this browser has kept.

import { base64, HASH_BYTES, hex, leafOf, nodeOf, unbase64 as bytes } from "./hashes";
import { hold, type Keeper } from "./keeping";

export { leafOf } from "./hashes";

export interface Finding {
  readonly holds: boolean;
  /** Nothing is wrong; it cannot be told yet, or not here. */
  readonly pending: boolean;
  readonly says: string;
  readonly more: string;
  readonly size?: number;
  readonly root?: string;
}

/** The parts of a proof. */
export interface Proof {
  readonly index: number;
  readonly path: readonly Uint8Array[];
  readonly size: number;
  readonly root: Uint8Array;
}

const FORM = "c2sp.org/tlog-proof@v1";
const PATH_MAX = 64;

/** Reads a proof; nothing when it is none. */
export function parse(text: string): Proof | undefined {
  const [head, ...rest] = text.split("\n\n");
  const rows = (head ?? "").split("\n");
  const [origin, size, root] = (rest[0] ?? "").split("\n").filter((row) => row !== "");
  if (rows.shift() !== FORM || !origin) return undefined;
  if (rows[0]?.startsWith("extra ")) rows.shift();
  const index = /^index (\d{1,15})$/.exec(rows.shift() ?? "")?.[1];
  const path = rows.filter((row) => row !== "").map(bytes);
  const top = bytes(root ?? "");
  if (index === undefined || !/^\d{1,15}$/.test(size ?? "") || top?.length !== HASH_BYTES || path.length > PATH_MAX) return undefined;
  if (!path.every((hash): hash is Uint8Array<ArrayBuffer> => hash?.length === HASH_BYTES)) return undefined;
  return { index: Number(index), path, size: Number(size), root: top };
}

/** The root that a leaf and its path lead to (RFC 9162, section 2.1.3.2); nothing when the path has the wrong length. */
export async function rootOf(leaf: Uint8Array, proof: Proof): Promise<Uint8Array | undefined> {
  if (proof.index >= proof.size) return undefined;
  let fn = BigInt(proof.index);
  let sn = BigInt(proof.size - 1);
  let hash = leaf;
  for (const beside of proof.path) {
    if (sn === 0n) return undefined;
    if ((fn & 1n) === 1n || fn === sn) {
      hash = await nodeOf(beside, hash);
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      hash = await nodeOf(hash, beside);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n ? hash : undefined;
}

/** Judges what the gateway said of a line. With a keeper, also the checkpoint that it stands under. */
export async function check(of: { seq: number; line: string; leaf: string; proof?: string }, keeper?: Keeper): Promise<Finding> {
  if (!globalThis.crypto?.subtle) {
    return told(false, true, "Not checked here", "This browser hashes only on a page that came by https. The command line can check it.");
  }
  const leaf = await leafOf(of.line);
  if (hex(leaf) !== of.leaf.toLowerCase()) {
    return told(false, false, "The line does not have the hash that it should have", "These bytes are not what was recorded.");
  }
  if (!of.proof) {
    return told(false, true, "Recorded, and not under a checkpoint yet", "The bytes have the right hash. The next checkpoint will cover them.");
  }
  const proof = parse(of.proof);
  if (!proof || proof.index !== of.seq) return told(false, false, "The proof cannot be read or is of another line", "");
  const root = await rootOf(leaf, proof);
  const about = { size: proof.size, root: base64(proof.root) };
  if (!root || hex(root) !== hex(proof.root)) {
    return { ...told(false, false, "The line does not stand where the proof says", "The path does not lead to the checkpoint's root."), ...about };
  }
  const here = "Its bytes hash to the leaf, and the leaf leads to the checkpoint's root.";
  if (!keeper) return { ...told(true, false, "Checked in this browser: the line is in the ledger", here), ...about };
  const held = await hold(of.proof.slice(of.proof.indexOf("\n\n") + 2), keeper);
  if (held.state === "kept") {
    return { ...told(true, false, "Checked in this browser: the line is in the ledger", `${here} The log's key signed that, and its tree ${held.says}.`), ...about };
  }
  return { ...told(held.state === "unable", held.state === "unable", held.title, `${here} But ${held.says}.`), ...about };
}

const told = (holds: boolean, pending: boolean, says: string, more: string): Finding => ({ holds, pending, says, more });
