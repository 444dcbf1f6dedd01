// The console without its gateway: its page and its files, so that it opens and says that nothing can be shown; and what its
// gateway tells on this device.
//
// What the API answers is never kept and never comes from here. The page is asked for first and taken from here only when
// there is no answer; files with a hash in their name are the same for ever.

const SHELL = "countersign-shell-1";
/** How many files are kept: those of a few versions. */
const FILES_MAX = 240;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(SHELL).then((shell) => shell.add(new Request("/", { cache: "reload" }))).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const others = (names) => Promise.all(names.filter((name) => name !== SHELL).map((name) => caches.delete(name)));
  event.waitUntil(caches.keys().then(others).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin || url.pathname.startsWith("/api/") || url.pathname.startsWith("/scim/")) return;
  if (request.mode === "navigate") event.respondWith(page(event));
  else if (url.pathname.startsWith("/assets/")) event.respondWith(file(event));
});

/** Keeps something when it has been answered: nobody waits for that, and a browser without room for it is no reason to fail. */
const later = (event, keeping) => event.waitUntil(keeping().catch(() => undefined));

/** A page of the console: all of them are one. */
async function page(event) {
  let answer;
  try {
    answer = await fetch(event.request);
  } catch (error) {
    const kept = await found("/");
    if (kept) return kept;
    throw error;
  }
  if (answer.ok && answer.type === "basic" && (answer.headers.get("content-type") ?? "").startsWith("text/html")) {
    const copy = answer.clone();
    later(event, async () => (await caches.open(SHELL)).put("/", copy));
  }
  return answer;
}

async function file(event) {
  const kept = await found(event.request);
  if (kept) return kept;
  const answer = await fetch(event.request);
  if (answer.ok && answer.type === "basic") {
    const copy = answer.clone();
    later(event, async () => {
      const shell = await caches.open(SHELL);
      await shell.put(event.request, copy);
      const files = (await shell.keys()).filter((one) => new URL(one.url).pathname !== "/");
      // The oldest come first.
      await Promise.all(files.slice(0, Math.max(0, files.length - FILES_MAX)).map((one) => shell.delete(one)));
    });
  }
  return answer;
}

/** What is kept of it; nothing where the browser keeps nothing. */
async function found(request) {
  try {
    return await (await caches.open(SHELL)).match(request);
  } catch {
    return undefined;
  }
}

// What is told was encrypted for this browser (RFC 8291). It is text, and it leads to a page of the console and nowhere else.
self.addEventListener("push", (event) => {
  let told;
  try {
    told = event.data?.json();
  } catch {
    told = undefined;
  }
  const text = (value, most) => (typeof value === "string" ? value.slice(0, most) : "");
  const title = text(told?.title, 120) || "Something waits in Countersign";
  event.waitUntil(self.registration.showNotification(title, {
    body: text(told?.body, 240), tag: text(told?.tag, 64) || "countersign", renotify: true, icon: "/mark-192.png", badge: "/mark-192.png",
    data: { link: text(told?.link, 256) },
  }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const link = event.notification.data?.link ?? "";
  // One slash and no other: two would name another host.
  const to = new URL(/^\/(?![/\\])/.test(link) ? link : "/inbox", self.location.origin);
  event.waitUntil((async () => {
    const open = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const shown = open.find((one) => new URL(one.url).origin === to.origin);
    if (!shown) return self.clients.openWindow(to.href);
    await shown.focus();
    return shown.navigate(to.href);
  })());
});

// The push service has given this browser another address: the old one is told no more, this one is.
self.addEventListener("pushsubscriptionchange", (event) => {
  event.waitUntil((async () => {
    const key = event.oldSubscription?.options.applicationServerKey;
    const made = event.newSubscription ?? (key && (await self.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key })));
    if (!made) return;
    const { endpoint, keys } = made.toJSON();
    await fetch("/api/v1/me/devices", {
      method: "POST", credentials: "same-origin", headers: { "content-type": "application/json", "x-countersign": "1" },
      body: JSON.stringify({ endpoint, p256dh: keys?.p256dh, auth: keys?.auth }),
    });
  })());
});
