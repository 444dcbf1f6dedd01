// Checks, in the browser, that a line stands in the tree that a checkpoint names (RFC 6962 inclusion, C2SP tlog-proof).
// It does not check who signed the checkpoint: the key would come from the same server. That is the command line's work.

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
const HASH_BYTES = 32;
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
      hash = await node(beside, hash);
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      hash = await node(hash, beside);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n ? hash : undefined;
}

export const leafOf = (line: string): Promise<Uint8Array> => sha256(join([Uint8Array.of(0), new TextEncoder().encode(line)]));

const node = (left: Uint8Array, right: Uint8Array): Promise<Uint8Array> => sha256(join([Uint8Array.of(1), left, right]));

async function sha256(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function bytes(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

const base64 = (hash: Uint8Array): string => btoa(String.fromCharCode(...hash));
const hex = (hash: Uint8Array): string => Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Judges what the gateway said of a line. */
export async function check(of: { seq: number; line: string; leaf: string; proof?: string }): Promise<Finding> {
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
  return {
    ...told(true, false, "Checked in this browser: the line is in the ledger",
      "Its bytes hash to the leaf, and the leaf leads to the checkpoint's root. Who signed the checkpoint, the command line checks."),
    ...about,
  };
}

const told = (holds: boolean, pending: boolean, says: string, more: string): Finding => ({ holds, pending, says, more });
