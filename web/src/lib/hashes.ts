// Bytes, hashes, and trees of them (RFC 6962): what checking a ledger is made of.

export type Bytes = Uint8Array<ArrayBuffer>;

export const HASH_BYTES = 32;

export async function sha256(data: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}

export function join(parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export const leafOf = (line: string): Promise<Bytes> => sha256(join([Uint8Array.of(0), new TextEncoder().encode(line)]));

export const nodeOf = (left: Uint8Array, right: Uint8Array): Promise<Bytes> => sha256(join([Uint8Array.of(1), left, right]));

/** The bytes that a text in base64 stands for; nothing when it is none. */
export function unbase64(text: string): Bytes | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

export const base64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));
export const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
export const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && hex(a) === hex(b);
