// This browser as a device that is told of what waits: what it can, whether it does, and how it begins to.

import { api, body, type Schemas } from "../api/client";
import { same } from "./hashes";
import { bytes } from "./passkeys";

export type Here = "able" | "unable" | "refused" | "insecure";

/** Whether this browser can be told at all. */
export function here(): Here {
  if (!globalThis.isSecureContext) return "insecure";
  if (!("serviceWorker" in navigator) || !("PushManager" in globalThis) || !("Notification" in globalThis)) return "unable";
  return Notification.permission === "denied" ? "refused" : "able";
}

/** The subscription that this browser has, if it was made for this gateway's key. */
export async function subscription(key: string): Promise<PushSubscription | undefined> {
  const registration = await navigator.serviceWorker.getRegistration();
  const found = await registration?.pushManager.getSubscription();
  const made = found?.options.applicationServerKey;
  return found && made && same(new Uint8Array(made), bytes(key)) ? found : undefined;
}

/** Asks the person and the push service, and adds this browser. Nothing: the person said no. */
export async function add(key: string): Promise<Schemas["Device"] | undefined> {
  if ((await Notification.requestPermission()) !== "granted") return undefined;
  const registration = await navigator.serviceWorker.ready;
  const old = await registration.pushManager.getSubscription();
  if (old && !(await subscription(key))) await old.unsubscribe();
  const made = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) });
  const { endpoint, keys } = made.toJSON();
  const device = await body(api.POST("/me/devices", { body: { endpoint: endpoint ?? "", p256dh: keys?.["p256dh"] ?? "", auth: keys?.["auth"] ?? "" } }));
  remember(device.id);
  return device;
}

const STORED = "countersign-device";

/** Which of one's devices this browser is. */
export const remembered = (): string | undefined => localStorage.getItem(STORED) ?? undefined;

function remember(id: string | undefined): void {
  if (id === undefined) localStorage.removeItem(STORED);
  else localStorage.setItem(STORED, id);
}

/** Takes a device away; this browser gives its subscription up as well. */
export async function remove(id: string): Promise<void> {
  await api.POST("/me/devices/{id}/remove", { params: { path: { id } } });
  if (remembered() !== id) return;
  remember(undefined);
  const registration = await navigator.serviceWorker.getRegistration();
  await (await registration?.pushManager.getSubscription())?.unsubscribe();
}
