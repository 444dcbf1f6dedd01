// Checkpoints as signed notes (C2SP signed-note, tlog-checkpoint), checked with a key that the viewer keeps. The signature
// is Ed25519 over the note's own bytes, by the browser's WebCrypto.

import { HASH_BYTES, join, sha256, unbase64, type Bytes } from "./hashes";

/** What signs a log's checkpoints: `name+hash+key`, as C2SP writes it. */
export interface Key {
  readonly name: string;
  readonly id: number;
  readonly bytes: Bytes;
}

export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  readonly root: Bytes;
}

const ED25519 = 1;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const ID_BYTES = 4;
/** Nobody signs a checkpoint that is longer. */
const NOTE_MAX = 65_536;

const idOf = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset, ID_BYTES).getUint32(0);

/** Reads a key; nothing when it is none, or its own hash does not match it. */
export async function readKey(text: string): Promise<Key | undefined> {
  const found = /^([^\s+]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text.trim());
  const [, name, hash, coded] = found ?? [];
  const bytes = unbase64(coded ?? "");
  if (!name || !hash || bytes?.length !== KEY_BYTES + 1 || bytes[0] !== ED25519) return undefined;
  const digest = await sha256(join([new TextEncoder().encode(`${name}\n`), bytes]));
  const id = idOf(digest);
  return id === Number.parseInt(hash, 16) ? { name, id, bytes: bytes.slice(1) } : undefined;
}

/** Reads a checkpoint's text, whoever signed it. */
export function readCheckpoint(note: string): Checkpoint | undefined {
  const [origin, size, root, ...rest] = note.split("\n");
  const bytes = unbase64(root ?? "");
  if (!origin || !/^(?:0|[1-9]\d{0,14})$/.test(size ?? "") || bytes?.length !== HASH_BYTES || rest[0] === undefined) return undefined;
  return { origin, size: Number(size), root: bytes };
}

/** Why a note does not count. */
export type NotSigned = "malformed" | "other-log" | "unsigned" | "forged" | "unable";

/** Opens a checkpoint: what it says, if this key signed it. */
export async function open(note: string, key: Key): Promise<Checkpoint | NotSigned> {
  const end = note.lastIndexOf("\n\n");
  if (end < 0 || note.length > NOTE_MAX || !note.endsWith("\n")) return "malformed";
  const text = note.slice(0, end + 1);
  const said = readCheckpoint(text);
  if (!said) return "malformed";
  if (said.origin !== key.name) return "other-log";
  const signature = note.slice(end + 2).split("\n").map((line) => signatureOf(line, key)).find((one) => one !== undefined);
  if (!signature) return "unsigned";
  try {
    const verifier = await crypto.subtle.importKey("raw", key.bytes, "Ed25519", false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", verifier, signature, new TextEncoder().encode(text)) ? said : "forged";
  } catch {
    return "unable";
  }
}

function signatureOf(line: string, key: Key): Bytes | undefined {
  const found = /^\u2014 (\S+) (\S+)$/.exec(line);
  const bytes = unbase64(found?.[2] ?? "");
  if (found?.[1] !== key.name || bytes?.length !== ID_BYTES + SIGNATURE_BYTES || idOf(bytes) !== key.id) return undefined;
  return bytes.slice(ID_BYTES);
}
