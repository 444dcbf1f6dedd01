// A small transparency log for tests: signs checkpoints (C2SP signed-note, Ed25519) and gives out tiles (C2SP tlog-tiles),
// by Node's own cryptography and by the plainest reading of RFC 6962.

import { createHash, createPublicKey, generateKeyPairSync, sign } from "node:crypto";

export const sha256 = (...parts) => createHash("sha256").update(Buffer.concat(parts.map((part) => Buffer.from(part)))).digest();
export const leafOf = (line) => sha256([0], line);

const split = (n) => 2 ** Math.floor(Math.log2(n - 1));

/** The root over these leaf hashes (RFC 6962, 2.1). */
export function root(leaves) {
  if (leaves.length === 0) return sha256();
  if (leaves.length === 1) return leaves[0];
  const k = split(leaves.length);
  return sha256([1], root(leaves.slice(0, k)), root(leaves.slice(k)));
}

/** A log of this name with a key of its own. */
export function makeLog(name) {
  const { privateKey } = generateKeyPairSync("ed25519");
  const raw = Buffer.from(createPublicKey(privateKey).export({ format: "jwk" }).x, "base64url");
  const typed = Buffer.concat([Buffer.from([1]), raw]);
  const id = sha256(`${name}\n`, typed).subarray(0, 4);
  const note = (leaves, origin = name) => {
    const text = `${origin}\n${leaves.length}\n${root(leaves).toString("base64")}\n`;
    return `${text}\n\u2014 ${name} ${Buffer.concat([id, sign(null, Buffer.from(text), privateKey)]).toString("base64")}\n`;
  };
  return { name, vkey: `${name}+${id.toString("hex")}+${typed.toString("base64")}`, note };
}

/** A tile of the tree over these leaves, by its path beneath `tile/`; nothing where there is none. */
export function tile(leaves, path) {
  const found = /^(\d+)\/((?:x\d{3}\/)*\d{3})(?:\.p\/(\d+))?$/.exec(path);
  if (!found) return undefined;
  const index = Number(found[2].replaceAll("x", "").replaceAll("/", ""));
  const width = Number(found[3] ?? 256);
  const spread = 256 ** Number(found[1]);
  const hashes = [];
  for (let i = index * 256; i < index * 256 + width; i += 1) {
    if ((i + 1) * spread > leaves.length) return undefined;
    hashes.push(root(leaves.slice(i * spread, (i + 1) * spread)));
  }
  return Buffer.concat(hashes);
}
