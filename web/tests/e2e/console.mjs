// Drives the console in a real browser, two people at once: one asks, the other approves, both see it without
// reloading. Then every page, light and dark, at a desk and on a phone: no violation of WCAG that axe can find, no
// error in the console, no violation of the page policy, nothing wider than the screen, nothing that moves by itself.
//
//   BASE_URL   the gateway; without it a stand-in is started (tests/mock.mjs) and dist/ must be built
//   PASSWORD_ALICE, PASSWORD_BOB, PASSWORD_CAROL, PASSWORD_DAVE
//   SHOTS      a folder for screenshots; none are written without it
//   psql       must be on the path, except for the stand-in: a statement waits in it
//   CHROMIUM   the browser, /usr/bin/chromium by default

import { spawn } from "node:child_process";

import { start } from "../mock.mjs";
import {
  base as given, fillIn, finish, FIRST_LOAD_BYTES_MAX, judge, launch, passwordOf, problems, seen, shot, steady, stranded, watched, weight,
} from "./story.mjs";

const mock = given ? undefined : await start();
const base = given || mock.url;
/** The stand-in knows one. */
const password = (user) => (mock ? "demo" : passwordOf(user));
/** The gateway is away on purpose. */
let away = false;
const failing = (where, what) => problems.push(`${where}: ${what}`);

const browser = await launch();

const DESK = { width: 1360, height: 900 };
const PHONE = { width: 390, height: 844 };
const NARROW = { width: 320, height: 640 };
/** Where a day has just begun: most instants are of the day before, and longest to write. */
const PAST_MIDNIGHT = (() => {
  const east = (24 - new Date().getUTCHours()) % 24;
  return east <= 14 ? `Etc/GMT-${east}` : `Etc/GMT+${24 - east}`;
})();

/** A browser of one person, watched for errors. */
async function person(user, options = {}) {
  const context = await browser.newContext({ viewport: DESK, reducedMotion: "reduce", ...options });
  const page = await watched(context);
  // A 401 before the sign-in is how the console learns that nobody is at the desk.
  page.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") return;
    // While the gateway is away on purpose, that it can't be reached is no news.
    if (away && /ERR_|Failed to load resource|Failed to fetch/.test(message.text())) return;
    if (/status of 401/.test(message.text()) && /\/me$|\/events$/.test(message.location().url)) return;
    failing(`${user} ${page.url()}`, `console: ${message.text()}`);
  });
  page.on("pageerror", (error) => failing(`${user} ${page.url()}`, `error: ${error.message}`));
  return { user, context, page };
}

async function signIn({ user, page }, path = "/") {
  await page.goto(`${base}${path}`);
  await fillIn(page, user, password(user));
  await page.getByRole("main").locator("h1").first().waitFor();
  await page.locator(".shell").waitFor();
}

/** Waits until nothing on the page is loading. */
async function settled(page) {
  await page.locator("[role=status][aria-label=Loading]").first().waitFor({ state: "detached" });
  await page.locator("main h1, .blank, .fault").first().waitFor();
  await page.waitForTimeout(250);
}

async function story(alice, bob) {
  await signIn(bob, "/inbox");
  await signIn(alice, "/ask?role=shop-writer");
  const purpose = `Remove the duplicate orders of the import (${Date.now() % 100_000})`;
  await alice.page.getByLabel("Purpose").fill(purpose);
  await alice.page.getByLabel("Ticket").fill("SHOP-482");
  await alice.page.getByText("Somebody has to say yes first").waitFor();
  seen(true, "alice sees who will be asked before she asks");
  await shot(alice.page, "story-1-ask");
  await alice.page.getByRole("button", { name: "Ask for shop-writer" }).click();
  await alice.page.waitForURL(/\/requests\/req_/);
  await alice.page.locator("article").getByText(purpose).waitFor();
  seen(/\/requests\/req_/.test(alice.page.url()), "alice is led to her request");
  const link = new URL(alice.page.url()).pathname;
  await shot(alice.page, "story-2-waiting");

  await bob.page.getByText(purpose).first().waitFor();
  seen(true, "bob sees it without reloading");
  await bob.page.goto(`${base}/inbox?r=${link.split("/").pop()}`);
  await bob.page.locator("article").getByText(purpose).waitFor();
  await bob.page.waitForTimeout(800);
  await shot(bob.page, "story-3-inbox");
  // A key that comes as the page still changes is not heeded: nobody says yes to what has just moved under their eyes.
  const yes = bob.page.getByText("You said yes");
  for (let tries = 0; tries < 10 && !(await yes.isVisible()); tries += 1) {
    await bob.page.keyboard.press("a");
    await yes.waitFor({ timeout: 2_000 }).catch(() => undefined);
  }
  await yes.waitFor();
  seen(true, "bob approves with one key");
  await alice.page.getByText("You hold").first().waitFor();
  seen(true, "alice sees the yes without reloading");
  await shot(alice.page, "story-4-granted");
  await alice.page.getByRole("button", { name: "Get a credential" }).first().click();
  await alice.page.getByText("Shown this once").waitFor();
  seen(true, "alice gets a credential");
  await judge(alice.page, "credential");
  await shot(alice.page, "story-5-credential");
  await alice.page.keyboard.press("Escape");

  const asked = await second(alice);
  await bob.page.goto(`${base}${asked}`);
  await bob.page.getByRole("button", { name: "Deny" }).waitFor();
  await bob.page.waitForTimeout(800);
  await bob.page.keyboard.press("d");
  await bob.page.getByLabel("Comment").fill("Use shop-reader to look around");
  await judge(bob.page, "deny");
  await shot(bob.page, "story-6-deny");
  await bob.page.keyboard.press("Control+Enter");
  await bob.page.getByText("You said no").waitFor();
  await alice.page.getByRole("main").getByText("Use shop-reader to look around").first().waitFor();
  seen(true, "alice reads bob's no, in his words, without reloading");
}

async function second(alice) {
  await alice.page.goto(`${base}/ask?role=shop-writer`);
  await alice.page.getByLabel("Purpose").fill("Look around");
  await alice.page.getByRole("button", { name: "Ask for shop-writer" }).click();
  await alice.page.getByText("Waiting for").first().waitFor();
  return new URL(alice.page.url()).pathname;
}

/** A statement waits in alice's psql: what bob reads is what she typed, and his yes lets it go on. */
async function statement(alice, bob) {
  if (mock) {
    await bob.page.goto(`${base}/inbox`);
    await bob.page.getByText("wants to run").first().click();
    await terms(bob);
    return undefined;
  }
  const credential = await alice.page.evaluate(() => fetch("/api/v1/credentials", {
    method: "POST", headers: { "content-type": "application/json", "x-countersign": "1" }, body: JSON.stringify({ resource: "shop" }),
  }).then((answer) => answer.json()));
  const text = "DELETE FROM orders\nWHERE status = 'duplicate'";
  const psql = spawn("psql", ["-X", "-d", credential.url, "-c", text], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [psql.stdout, psql.stderr]) stream.on("data", (chunk) => { said += chunk; });
  const over = new Promise((done) => {
    psql.on("error", (error) => done(error.message));
    psql.on("close", () => done(said));
  });
  await bob.page.goto(`${base}/inbox`);
  const held = bob.page.locator("article", { hasText: "wants to run a DELETE on shop" });
  await held.or(bob.page.getByText("wants to run a DELETE on shop")).first().waitFor();
  await bob.page.getByText("wants to run a DELETE on shop").first().click();
  await held.getByText("12 rows", { exact: true }).waitFor();
  seen((await held.locator(".sql code").allInnerTexts()).join("\n") === text, "bob reads what alice typed into psql, to the letter");
  await shot(bob.page, "story-7-statement");
  const session = (await bob.page.evaluate(() => fetch("/api/v1/sessions?state=live").then((answer) => answer.json()))).items[0];
  await bob.page.goto(`${base}/sessions/${session.id}`);
  await bob.page.getByRole("log").getByText("WHERE status = 'duplicate'").first().waitFor();
  seen(true, "bob follows the session as it happens");
  await judge(bob.page, "following");
  await shot(bob.page, "session-live");
  await bob.page.getByRole("button", { name: "Pause" }).click();
  await bob.page.getByLabel("Reason").fill("a look at this first");
  await bob.page.getByRole("button", { name: "Pause session" }).click();
  await bob.page.getByText("a look at this first").first().waitFor();
  await judge(bob.page, "paused");
  await shot(bob.page, "session-paused");
  await bob.page.goto(`${base}/inbox`);
  await bob.page.getByText("wants to run a DELETE on shop").first().click();
  await terms(bob);
  return async () => {
    await bob.page.goto(`${base}/inbox`);
    await bob.page.getByText("wants to run a DELETE on shop").first().click();
    await held.getByText("12 rows", { exact: true }).waitFor();
    await bob.page.waitForTimeout(800);
    await bob.page.keyboard.press("a");
    await bob.page.getByText("You said yes").waitFor();
    const early = await Promise.race([over.then(() => true), bob.page.waitForTimeout(1_000).then(() => false)]);
    seen(!early, "what is approved in a paused session waits for the session to go on");
    await bob.page.goto(`${base}/sessions/${session.id}`);
    await bob.page.getByRole("button", { name: "Resume" }).click();
    const last = await over;
    seen(last.includes("paused by bob"), "alice reads in psql who has paused her session");
    seen(last.includes("DELETE 12"), `the statement goes on in psql with his yes (${last.trim().split("\n").pop()})`);
  };
}

/** Less than the rules allow, and bounds instead of one text where they let an approver give them. */
async function terms(bob) {
  await bob.page.getByRole("button", { name: "With terms" }).click();
  await bob.page.getByLabel("For how long").waitFor();
  if (mock) {
    await bob.page.getByText("Bounds for its kind").click();
    await bob.page.getByLabel("Rows a statement").fill("50");
    await bob.page.getByLabel("Rows in all").fill("200");
  }
  await bob.page.getByLabel("For how long").fill("3h");
  await bob.page.getByText(/The rules allow \d+ minutes at most/).waitFor();
  seen(await bob.page.getByRole("dialog").getByRole("button", { name: "Approve" }).isDisabled(), "nobody gives more than the rules allow");
  await bob.page.getByLabel("For how long").fill("5m");
  await judge(bob.page, "terms");
  await shot(bob.page, "terms");
  await bob.page.keyboard.press("Escape");
  await bob.page.getByRole("dialog").waitFor({ state: "detached" });
}

/** A session that is over is played again, at any pace. */
async function replay(bob) {
  if (!mock) return;
  const { page } = bob;
  const past = (await page.evaluate(() => fetch("/api/v1/sessions?state=ended").then((answer) => answer.json()))).items[0];
  await page.goto(`${base}/sessions/${past.id}`);
  await page.getByRole("button", { name: "Replay" }).click();
  await page.getByLabel("Speed").selectOption("20");
  await page.getByRole("button", { name: "Play" }).click();
  await page.getByRole("log").getByText("select id, email from customers").waitFor();
  seen((await page.getByRole("log").getByText("of silence").count()) === 1, "a session is played again, its long silences shortened");
  await page.getByRole("button", { name: "To the beginning" }).click();
  seen((await page.getByRole("log").locator("li").count()) === 1, "and goes back to its beginning");
  await page.getByRole("slider", { name: "Where it is" }).focus();
  await page.keyboard.press("End");
  await page.getByRole("log").getByText("select id, email from customers").waitFor();
  await judge(page, "replay");
  await shot(page, "session-replay");
}

/** A device is told of what waits. Its push service is played here: what comes of one is given to the worker as it would be. */
async function told() {
  if (!mock) return;
  const { context, page } = await person("bob-told");
  await context.grantPermissions(["notifications"], { origin: base });
  await page.addInitScript(() => {
    const made = { endpoint: "https://push.example/x", options: {}, toJSON: () => ({ endpoint: "https://push.example/x", keys: { p256dh: "BA", auth: "AA" } }), unsubscribe: async () => true };
    PushManager.prototype.subscribe = async () => made;
    PushManager.prototype.getSubscription = async () => null;
  });
  await signIn({ user: "bob", page }, "/account");
  await page.getByRole("button", { name: "Tell me on this device" }).click();
  await page.locator(".mark", { hasText: "this one" }).waitFor();
  seen(true, "a device is added by its owner");
  await judge(page, "devices");
  await shot(page, "account-told");
  await page.getByRole("button", { name: "Send a test" }).click();
  await page.getByText("Its push service answered 503.").waitFor();
  seen(true, "a test says what came of it");
  const seenAs = await page.evaluate(async () => {
    const registration = await navigator.serviceWorker.ready;
    await registration.showNotification("probe", { tag: "probe" });
    return (await registration.getNotifications()).length;
  });
  const cdp = await context.newCDPSession(page);
  await cdp.send("ServiceWorker.enable");
  const registration = await new Promise((found) => {
    cdp.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => registrations[0] && found(registrations[0].registrationId));
  });
  await cdp.send("ServiceWorker.deliverPushMessage", { origin: base, registrationId: registration,
    data: JSON.stringify({ title: "Alice Archer asks for shop-writer", body: "It waits for your word.", link: "//evil.example/x", tag: "req_1" }) });
  const titles = await page.evaluate(async () => {
    const registration = await navigator.serviceWorker.ready;
    for (let tries = 0; tries < 100; tries += 1) {
      const all = await registration.getNotifications({ tag: "req_1" });
      if (all.length > 0) return all.map((one) => one.title);
      await new Promise((next) => setTimeout(next, 100));
    }
    return [];
  });
  seen(seenAs >= 1 && titles[0] === "Alice Archer asks for shop-writer", `what is pushed is shown as a notification (${seenAs}, ${titles.join()})`);
  await page.getByRole("button", { name: "Tell it no more" }).click();
  await page.getByRole("button", { name: "Tell me on this device" }).waitFor();
  seen(true, "and is taken away again");
  await context.close();
}

/** The gateway goes away and comes back: the page says so, what was typed stays, and it opens without any gateway. */
async function restarts(bob) {
  if (!mock) return;
  const { page } = bob;
  await page.goto(`${base}/ask?role=shop-reader`);
  await settled(page);
  await page.evaluate(() => navigator.serviceWorker.ready);
  // The first page was there before its worker; from the second on its files are kept.
  await page.reload();
  await settled(page);
  await page.getByLabel("Purpose").fill("half a sentence");
  away = true;
  await mock.away(true);
  await page.getByText("Not connected, trying again").first().waitFor();
  seen((await page.getByLabel("Purpose").inputValue()) === "half a sentence", "the gateway is away: the page says so, and what was typed is there");
  await page.reload();
  await page.getByText("The gateway does not answer.").waitFor();
  const kept = await page.evaluate(async () => (await Promise.all((await caches.keys()).map(async (name) => (await (await caches.open(name)).keys()).map((one) => new URL(one.url).pathname)))).flat());
  seen(kept.length > 0 && kept.every((path) => path === "/" || path.startsWith("/assets/")), `the console opens without a gateway, from ${kept.length} files of its own`);
  await judge(page, "away");
  await shot(page, "away");
  await mock.away(false);
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByLabel("Purpose").fill("half a sentence");
  await mock.away(true);
  await page.getByText("Not connected, trying again").first().waitFor();
  await mock.away(false);
  await page.getByText("Live", { exact: true }).first().waitFor();
  seen((await page.getByLabel("Purpose").inputValue()) === "half a sentence", "it is back: the page goes on by itself, nothing lost");
  away = false;
}

async function keys(bob) {
  const { page } = bob;
  await page.goto(`${base}/`);
  await settled(page);
  await page.keyboard.press("?");
  await page.getByText("Single keys do something").waitFor();
  await judge(page, "keys");
  await shot(page, "keys");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: "Search or jump to" }).fill("sh wri");
  await page.getByRole("option", { name: /shop-writer/ }).first().waitFor();
  await judge(page, "palette");
  await shot(page, "palette");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/ask\?role=shop-writer/);
  seen(true, "the palette finds a role by the beginnings of words, and leads to asking for it");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.locator("h1").first().click();
  await page.keyboard.press("g");
  await page.keyboard.press("s");
  await page.getByRole("heading", { name: "Sessions", level: 1 }).waitFor();
  seen(true, "keys lead from page to page");
  await page.keyboard.press("Tab");
  seen(await page.evaluate(() => document.activeElement?.matches(":focus-visible") ?? false), "the focus is visible");
}

/**
 * A change of the bundle, of another rule than the one that holds what waits meanwhile: tried, mistaken, corrected, shown person by person,
 * proposed, read by whoever must say yes.
 */
async function policies(dave, carol) {
  const { page } = dave;
  await signIn(dave, "/policies/try");
  await page.getByLabel("Who").selectOption("alice");
  await page.getByText("Run a statement").click();
  await page.getByLabel("Acting as").selectOption("shop-writer");
  await page.getByRole("textbox", { name: "Statement" }).fill("delete from orders where status = 'duplicate'");
  await page.getByRole("button", { name: "What would happen?" }).click();
  await page.getByText("It would wait for somebody's yes").waitFor();
  seen(await page.getByRole("link", { name: "writes-to-high-impact-need-the-dba" }).isVisible(), "a statement is tried, and the policy that holds it is named");
  await judge(page, "tried");
  await shot(page, "policies-tried");
  await page.getByRole("link", { name: "writes-to-high-impact-need-the-dba" }).click();
  await page.locator(".code li.here").waitFor();
  seen((await page.locator(".code li.here").innerText()).includes("writes-to-high-impact-need-the-dba"), "and leads to where it stands");

  await page.goto(`${base}/policies/edit`);
  await page.getByRole("button", { name: "rules.toml" }).click();
  const box = page.getByLabel("rules.toml", { exact: true });
  const text = await box.inputValue();
  await page.getByRole("button", { name: "house.cedar" }).click();
  const house = page.getByLabel("house.cedar", { exact: true });
  const cedar = await house.inputValue();
  await house.fill(`${cedar}\npermitt (principal, action, resource);\n`);
  await page.getByText("mistake", { exact: true }).first().waitFor();
  seen(await page.getByRole("button", { name: "Apply", exact: true }).isDisabled(), "what has mistakes can't be applied");
  await judge(page, "mistaken");
  await shot(page, "policies-mistaken");
  await house.fill(cedar);
  await page.getByRole("button", { name: "rules.toml" }).click();
  await box.fill(text.replace('pending_for = "30m"', 'pending_for = "25m"'));
  await page.getByText("it compiles").waitFor();
  await shot(page, "policies-draft");
  await page.reload();
  await page.getByText("a draft").waitFor();
  seen(true, "a draft survives a reload");
  await page.getByText("Who would get in").click();
  await page.getByText("Somebody has to say yes before it is in force").waitFor();
  await judge(page, "who would get in");
  await shot(page, "policies-people");
  await page.getByRole("button", { name: "Apply", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Apply" }).click();
  await page.waitForURL(/\/requests\/req_/);
  const link = new URL(page.url()).pathname;
  await signIn(carol, link);
  await carol.page.getByText('pending_for = "25m"').first().waitFor();
  seen(true, "whoever must say yes to a change reads exactly what changes");
  await judge(carol.page, "apply request");
  await shot(carol.page, "policies-request");
  if (mock) return;
  await carol.page.getByRole("button", { name: "Approve" }).first().click();
  await carol.page.getByText("You said yes").waitFor();
  await page.goto(`${base}/policies/versions`);
  await page.getByText("Version 2").first().waitFor();
  seen(true, "with her yes it is in force, and is a version");
}

async function expiry(alice, link) {
  await alice.page.goto(`${base}${link}`);
  await settled(alice.page);
  await alice.context.clearCookies();
  await alice.page.reload();
  await alice.page.getByLabel("Password", { exact: true }).waitFor();
  await alice.page.getByLabel("Name").fill("alice");
  await alice.page.getByLabel("Password", { exact: true }).fill(password("alice"));
  await alice.page.getByRole("button", { name: "Sign in" }).click();
  await alice.page.locator("article").first().waitFor();
  seen(new URL(alice.page.url()).pathname === link, "a link survives signing in");
}

async function pagesOf(bob) {
  const call = (path) => bob.page.evaluate((path) => fetch(`/api/v1${path}`).then((answer) => answer.json()), path);
  const waiting = (await call("/requests?inbox=true")).items;
  const request = waiting.find((one) => one.kind === "action") ?? waiting[0] ?? (await call("/requests?state=approved")).items[0];
  const session = (await call("/sessions?state=live")).items[0] ?? (await call("/sessions?state=ended")).items[0];
  const client = await fetch(`${base}/oauth/register`, {
    method: "POST", headers: { "content-type": "application/json" },
    body: JSON.stringify({ client_name: "A client of tools", redirect_uris: ["http://127.0.0.1:40000/cb", "https://tools.example/cb"] }),
  }).then((answer) => answer.json()).catch(() => ({}));
  const authorize = (redirect_uri) => client.client_id && `/authorize?${new URLSearchParams({
    client_id: client.client_id, redirect_uri, response_type: "code", code_challenge: "A".repeat(43), code_challenge_method: "S256",
    resource: `${new URL(base).origin}/mcp/reports`, state: "x",
  })}`;
  return Object.entries({
    authorize: authorize("http://127.0.0.1:40000/cb"), "authorize-elsewhere": authorize("https://tools.example/cb"),
    "authorize-wrong": "/authorize", home: "/", ask: "/ask?role=shop-writer", inbox: request ? `/inbox?r=${request.id}` : "/inbox", requests: "/requests", denied: "/requests?state=denied", "statements-blank": "/sessions?state=statements", statements: "/sessions?state=statements&text=orders", controlled: "/ledger?control=AC-6",
    request: request && `/requests/${request.id}`, grants: "/grants", sessions: "/sessions", session: session && `/sessions/${session.id}`,
    policies: "/policies", policy: "/policies?policy=policy-changes-need-security", "policies-try": "/policies/try", versions: "/policies/versions", version: "/policies/versions/1", edit: "/policies/edit",
    "accesses-blank": "/accesses", accesses: `/accesses?resource=shop&from=${new Date(Date.now() - 7_200_000).toISOString()}&until=${new Date(Date.now() + 600_000).toISOString()}`,
    "accesses-person": `/accesses?person=bob&from=${new Date(Date.now() - 7_200_000).toISOString()}&until=${new Date(Date.now() + 600_000).toISOString()}`,
    ledger: "/ledger", line: "/ledger/2", resources: "/resources", "catalogue-all": "/resources/all", "catalogue-roles": "/resources/roles", "catalogue-groups": "/resources/groups", "catalogue-rules": "/resources/rules", people: "/people", sql: "/sql/shop", account: "/account", device: "/device",
    letin: `/let-in?challenge=${"a".repeat(43)}&state=${"b".repeat(43)}&port=40000&machine=laptop`, told: "/let-in?done=yes", nowhere: "/nowhere",
  }).filter(([, path]) => path);
}

/** What a phone that was never here must fetch before its owner can say yes. */
async function light(bob) {
  const { context, page } = await person("bob-new", { storageState: await bob.context.storageState() });
  const { bytes, files } = await weight(page, `${base}/`);
  seen(bytes > 50_000 && bytes <= FIRST_LOAD_BYTES_MAX, `the console's first load is ${Math.round(bytes / 1000)} KB of ${FIRST_LOAD_BYTES_MAX / 1000} (${files} files)`);
  await context.close();
}

async function everyPage(bob) {
  const pages = await pagesOf(bob);
  let passed = 0;
  let moved = 0;
  const storage = await bob.context.storageState();
  for (const scheme of ["light", "dark"]) {
    for (const [screen, viewport] of [["desk", DESK], ["phone", PHONE], ["narrow", NARROW]]) {
      if (screen === "narrow" && scheme === "dark") continue;
      const { context, page } = await person(`bob-${screen}-${scheme}`, {
        viewport, colorScheme: scheme, storageState: storage, hasTouch: screen !== "desk", isMobile: screen !== "desk",
        ...(screen === "narrow" ? { timezoneId: PAST_MIDNIGHT } : {}),
      });
      for (const [name, path] of pages) {
        await page.goto(`${base}${path}`);
        await settled(page);
        moved = Math.max(moved, await steady(page, `${name} ${screen} ${scheme}`));
        passed += await judge(page, `${name} ${screen} ${scheme}`);
        if (screen !== "narrow" || name === "request" || name === "home") await shot(page, `${name}-${screen}-${scheme}`);
      }
      await context.close();
      const guest = await person(`guest-${screen}-${scheme}`, { viewport, colorScheme: scheme });
      await guest.page.goto(`${base}/`);
      await guest.page.getByLabel("Password", { exact: true }).waitFor();
      await steady(guest.page, `sign-in ${screen} ${scheme}`);
      await judge(guest.page, `sign-in ${screen} ${scheme}`);
      await shot(guest.page, `sign-in-${screen}-${scheme}`);
      await guest.context.close();
    }
  }
  console.log(`ok  ${pages.length + 1} pages, five ways each; axe passed ${passed} rules, none moved by more than ${moved.toFixed(3)}`);
}

try {
  const alice = await person("alice");
  const bob = await person("bob");
  await story(alice, bob);
  const link = new URL(alice.page.url()).pathname;
  await alice.page.goto(`${base}/`);
  await settled(alice.page);
  await judge(alice.page, "alice home");
  await shot(alice.page, "home-alice");
  const goOn = await statement(alice, bob);
  await keys(bob);
  await replay(bob);
  await told();
  await restarts(bob);
  await policies(await person("dave"), await person("carol"));
  await light(bob);
  await everyPage(bob);
  await goOn?.();
  await expiry(alice, link);
} catch (error) {
  await stranded(browser, error);
} finally {
  await browser.close();
  await mock?.stop();
}
finish();
