// Passkeys in the browser: base64url in and out, and the two ceremonies.

import type { Schemas } from "../api/client";

export const base64url = (bytes: ArrayBuffer): string =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

export function bytes(text: string): Uint8Array<ArrayBuffer> {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

/** Whether this browser, at this address, has passkeys at all. */
export const hasPasskeys = (): boolean => typeof PublicKeyCredential === "function" && isSecureContext;

/** What the browser says when the person does not want to, or takes too long. */
const inWords = (error: unknown, otherwise: string): Error =>
  error instanceof DOMException && error.name === "NotAllowedError" ? new Error(otherwise)
    : error instanceof DOMException && error.name === "InvalidStateError" ? new Error("this device has a passkey of yours already")
      : error instanceof DOMException && error.name === "SecurityError" ? new Error("passkeys work at the console's own address alone; open it there")
        : error as Error;

/** Has the device make a passkey. */
export async function make(offer: Schemas["PasskeyOffer"], name: string): Promise<Schemas["PasskeyMade"]> {
  try {
    const made = await navigator.credentials.create({
      publicKey: {
        challenge: bytes(offer.challenge),
        rp: { id: offer.rp_id, name: "Countersign" },
        user: { id: bytes(offer.user_handle), name: offer.user, displayName: offer.display },
        pubKeyCredParams: offer.algorithms.map((alg) => ({ type: "public-key", alg })),
        excludeCredentials: offer.exclude.map((id) => ({ type: "public-key", id: bytes(id) })),
        authenticatorSelection: { residentKey: "required", requireResidentKey: true, userVerification: "required" },
        attestation: "none",
        timeout: 240_000,
      },
    }) as PublicKeyCredential;
    const answer = made.response as AuthenticatorAttestationResponse;
    return { name, client_data: base64url(answer.clientDataJSON), attestation: base64url(answer.attestationObject) };
  } catch (error) {
    throw inWords(error, "no passkey was made; try again");
  }
}

/** Has the person show a passkey: any of theirs, or one of those that are named. */
export async function show(
  asked: { challenge: string; rp_id: string }, allowed: readonly string[] = [],
): Promise<Schemas["PasskeyShown"]> {
  try {
    const shown = await navigator.credentials.get({
      publicKey: {
        challenge: bytes(asked.challenge),
        rpId: asked.rp_id,
        allowCredentials: allowed.map((id) => ({ type: "public-key", id: bytes(id) })),
        userVerification: "required",
        timeout: 240_000,
      },
    }) as PublicKeyCredential;
    const answer = shown.response as AuthenticatorAssertionResponse;
    return {
      credential: base64url(shown.rawId),
      ...(answer.userHandle ? { user_handle: base64url(answer.userHandle) } : {}),
      client_data: base64url(answer.clientDataJSON),
      authenticator_data: base64url(answer.authenticatorData),
      signature: base64url(answer.signature),
    };
  } catch (error) {
    throw inWords(error, allowed.length > 0
      ? "no passkey was given, so nothing is signed; try again"
      : "no passkey was given; try again, or sign in with your password");
  }
}
