// The checkpoint that this browser keeps, and the key that it knows the log by. What comes later is held against both: a
// server that rewrote its ledger, or showed somebody another one, would have to explain itself to everybody who kept one.
//
// The key is taken from the first answer, which proves nothing by itself: whoever compares it with one that came another
// way has made it so.

import { open, readCheckpoint, readKey, type Checkpoint } from "./note";
import { grown, type Fetch, type Head } from "./tiles";

export interface Kept {
  /** The key of the log, as C2SP writes it. */
  readonly vkey: string;
  /** Since when this browser knows it. */
  readonly since: string;
  /** The last checkpoint that was found good. */
  readonly note: string;
  readonly at: string;
}

/** Where it is kept, and how tiles are fetched. */
export interface Keeper {
  read(): Kept | undefined;
  write(kept: Kept | undefined): void;
  /** The key that the server shows now. */
  vkey(): Promise<string>;
  fetch: Fetch;
  now(): string;
}

/** What came of holding a checkpoint against what is kept. */
export interface Held {
  /** `kept`: it is good and is what is kept now. `unable`: it can't be told here or now. Otherwise it must be explained. */
  readonly state: "kept" | "unable" | "bad";
  readonly title: string;
  /** The rest of a sentence about its tree, or about what is wrong. */
  readonly says: string;
  readonly size?: number;
  /** How large the tree was that was kept before. */
  readonly before?: number;
}

const bad = (title: string, says: string): Held => ({ state: "bad", title, says });
const unable = (title: string, says: string): Held => ({ state: "unable", title, says });

export const STORED = "countersign-ledger";

/** The keeper of a page: this browser's own storage. */
export function browserKeeper(vkey: () => Promise<string>, fetch: Fetch): Keeper {
  return {
    read: () => {
      try {
        const kept = JSON.parse(localStorage.getItem(STORED) ?? "null") as Kept | null;
        return kept && typeof kept.vkey === "string" && typeof kept.note === "string" ? kept : undefined;
      } catch {
        return undefined;
      }
    },
    write: (kept) => (kept ? localStorage.setItem(STORED, JSON.stringify(kept)) : localStorage.removeItem(STORED)),
    vkey, fetch, now: () => new Date().toISOString(),
  };
}

/** What is kept, as a tree. */
export const keptHead = (kept: Kept | undefined): (Head & Pick<Checkpoint, "origin">) | undefined => (kept ? readCheckpoint(kept.note) : undefined);

/** Holds a checkpoint against what is kept, and keeps it if it is good. */
export async function hold(note: string, keeper: Keeper): Promise<Held> {
  if (!globalThis.crypto?.subtle) return unable("Not checked here", "this browser hashes only on a page that came by https");
  try {
    return await held(note, keeper);
  } catch (error) {
    return unable("Held against nothing yet", `what it takes could not be read: ${(error as Error).message}`);
  }
}

async function held(note: string, keeper: Keeper): Promise<Held> {
  const kept = keeper.read();
  const shown = await keeper.vkey();
  if (kept && kept.vkey !== shown.trim()) {
    return bad("The log shows another key than it did", "the key is not the one that this browser knows the log by since it first saw it; nobody should trust either before that is explained");
  }
  const key = await readKey(shown);
  if (!key) return bad("The log's key cannot be read", "it is no key of this kind, or does not match its own hash");
  const opened = await open(note, key);
  if (typeof opened === "string") return NOT_OPENED[opened];
  const before = keptHead(kept);
  const found = before ? await grown(before, opened, keeper.fetch) : "grown";
  if (found === "missing") return unable("Held against nothing yet", "the log's tiles could not be had, so that it is not known whether its tree contains the one that was kept");
  if (found === "forked") {
    return bad("This ledger is not the one that was kept", `its tree of ${opened.size.toLocaleString()} lines does not contain the ${before?.size.toLocaleString() ?? ""} that this browser has kept: something was changed, removed or put in between`);
  }
  // An older checkpoint is held the other way round: what is kept must contain it.
  if (found === "shorter" && before) return older(opened, before, keeper);
  const first = kept === undefined;
  if (first || (before?.size ?? 0) < opened.size) {
    keeper.write({ vkey: shown.trim(), since: kept?.since ?? keeper.now(), note, at: keeper.now() });
  }
  const says = first
    ? "is kept by this browser from here on"
    : before?.size === opened.size ? "is the one that this browser has kept" : `contains all ${(before?.size ?? 0).toLocaleString()} lines that this browser had kept, unchanged`;
  return { state: "kept", title: first ? "Kept from here on" : before?.size === opened.size ? "The ledger is what it was" : "The ledger is what it was, and more", says, size: opened.size, ...(before ? { before: before.size } : {}) };
}

async function older(opened: Checkpoint, before: Head, keeper: Keeper): Promise<Held> {
  const found = await grown(opened, before, keeper.fetch);
  if (found === "grown") return { state: "kept", title: "The ledger is what it was", says: `is contained in the ${before.size.toLocaleString()} lines that this browser has kept`, size: opened.size, before: before.size };
  return bad("This ledger is shorter than it was, and another", `what this browser has kept, ${before.size.toLocaleString()} lines, does not contain it: the log was cut, or replaced`);
}

const NOT_OPENED = {
  malformed: bad("The checkpoint cannot be read", "it is not a signed checkpoint"),
  "other-log": bad("The checkpoint is of another log", "its origin is not the name of the key"),
  unsigned: bad("Nobody signed the checkpoint", "it has no signature of the key that this browser knows"),
  forged: bad("The checkpoint's signature is wrong", "the log's key did not sign these bytes"),
  unable: unable("The signature is not checked here", "this browser does not know Ed25519; the command line checks it"),
} as const;
