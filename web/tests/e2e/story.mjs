// What the stories of this folder begin and end with: what they found, the browser, a caller of the API.

import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { chromium } from "playwright-core";

export const { env } = process;
/** The gateway, where the story is told one. */
export const base = (env.BASE_URL ?? "").replace(/\/$/, "");
export const passwordOf = (user) => env[`PASSWORD_${user.toUpperCase()}`];

/** What is not as it should be. */
export const problems = [];
export const seen = (condition, what) => {
  if (condition) console.log(`ok  ${what}`);
  else problems.push(what);
};

/** Says what was found, and ends the program accordingly. */
export function finish() {
  for (const problem of new Set(problems)) console.error(`BAD ${problem}`);
  console.log(problems.length === 0 ? "all well" : `${problems.length} problems`);
  process.exit(problems.length === 0 ? 0 : 1);
}

/** How long anything that is waited for may take: these machines have other work. */
const PATIENCE_MS = 60_000;

export async function launch() {
  const browser = await chromium.launch({
    executablePath: env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  const open = browser.newContext.bind(browser);
  browser.newContext = async (options) => {
    const context = await open(options);
    context.setDefaultTimeout(PATIENCE_MS);
    return context;
  };
  return browser;
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** A problem, with what everybody sees at that moment: without it nobody could say from a report what was waited for in vain. */
export async function stranded(browser, error) {
  problems.push(`story: ${error.stack ?? String(error)}`);
  const pages = browser.contexts().flatMap((context) => context.pages());
  for (const [i, page] of pages.entries()) {
    const text = await page.locator("body").innerText({ timeout: 2_000 }).catch((gone) => `(${gone.message.split("\n")[0]})`);
    console.error(`-- on ${page.url()}:\n${text.replace(/\n\s*\n+/g, "\n").slice(0, 2_000)}`);
    await shot(page, `stranded-${i}`).catch(() => undefined);
  }
}

/**
 * A page that counts what violates its policy, for `judge`, and what moves without anybody having touched it, for `steady`. axe is put into it
 * past that policy, and is not counted.
 */
export async function watched(context) {
  const page = await context.newPage();
  await page.addInitScript(() => {
    globalThis.violations = [];
    globalThis.shifts = [];
    const named = (node) => `${node?.nodeName?.toLowerCase() ?? "?"}${node?.className && typeof node.className === "string" ? `.${node.className.trim().replace(/\s+/g, ".")}` : ""}`;
    const moved = ({ node, previousRect: was, currentRect: is }) => `${named(node)} ${was.x},${was.y} ${was.width}x${was.height} -> ${is.x},${is.y} ${is.width}x${is.height}`;
    new PerformanceObserver((list) => {
      for (const one of list.getEntries()) if (!one.hadRecentInput) globalThis.shifts.push({ value: one.value, what: one.sources.map(moved) });
    }).observe({ type: "layout-shift", buffered: true });
    addEventListener("securitypolicyviolation", (event) => globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile ?? ""}`));
  });
  return page;
}

/** A problem for each violation of the page's policy and of WCAG that axe can find, and for what is wider than the screen. */
export async function judge(page, name) {
  // A dialog that fades in has no contrast of its own yet.
  await page.waitForFunction(() => document.getAnimations().every((one) => one.playState !== "running" || one.effect?.getTiming().iterations === Infinity));
  for (const violation of await page.evaluate(() => globalThis.violations)) problems.push(`${name}: page policy: ${violation}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 1) problems.push(`${name}: ${wide} px wider than the screen`);
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  for (const one of found.violations) problems.push(`${name}: axe ${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => `${node.target} ${node.any[0]?.message ?? ""}`).join(" | ")}`);
  await page.evaluate(() => { delete globalThis.axe; });
  return found.passes.length;
}

/** How much of a page may move in all while it comes up, as the browser counts it (cumulative layout shift): less than an eye sees. */
const SHIFT_MAX = 0.01;

/** A problem if what a page shows has moved under the eyes of whoever reads it, since it was opened. How much it did. */
export async function steady(page, name) {
  const shifts = await page.evaluate(() => globalThis.shifts);
  const moved = shifts.reduce((sum, one) => sum + one.value, 0);
  if (moved > SHIFT_MAX) problems.push(`${name}: its layout shifts by ${moved.toFixed(3)}: ${shifts.flatMap((one) => one.what).slice(0, 4).join("; ")}`);
  return moved;
}

/** The most that the console's own files may weigh the first time, as they are sent: what a phone on a poor line waits for. */
export const FIRST_LOAD_BYTES_MAX = 250_000;

/** How many bytes a page sends for before it can be used, answers of the API aside; nothing of it may be kept from before. */
export async function weight(page, path) {
  const network = await page.context().newCDPSession(page);
  await network.send("Network.enable");
  const files = new Map();
  let bytes = 0;
  network.on("Network.responseReceived", ({ requestId, response }) => {
    if (!new URL(response.url).pathname.startsWith("/api/")) files.set(requestId, response.url);
  });
  network.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => { if (files.has(requestId)) bytes += encodedDataLength; });
  await page.goto(path);
  await page.locator("main h1").first().waitFor();
  await page.waitForLoadState("load");
  await network.detach();
  return { bytes, files: files.size };
}

/** Puts a picture into the folder that is named for them, if one is. */
export async function shot(page, name, options = { fullPage: true }) {
  if (!env.SHOTS) return;
  mkdirSync(env.SHOTS, { recursive: true });
  await page.screenshot({ path: join(env.SHOTS, `${name}.png`), ...options });
}

/** Fills in the form of the sign-in, wherever it is shown. */
export async function fillIn(page, user, password = passwordOf(user)) {
  await page.getByLabel("Name").fill(user);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
}

/** An authenticator that is built into the page's machine. */
export async function authenticator(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
  return { devtools, authenticatorId };
}

/** A caller of the API, as a script is one: signed in with a bearer token. */
export async function caller(user) {
  const signedIn = await fetch(`${base}/api/v1/sign-in`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ user, password: passwordOf(user) }),
  });
  const { token } = await signedIn.json();
  const call = async (path, body) => {
    const answer = await fetch(`${base}/api/v1${path}`, {
      ...(body ? { method: "POST", body: JSON.stringify(body) } : {}),
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    });
    return { status: answer.status, body: answer.status === 204 ? undefined : await answer.json() };
  };
  return { token, call };
}

/** Changes the bundle in force: somebody applies it as `change` leaves its files, somebody else says yes. */
export async function apply(by, approver, change) {
  const { files } = (await by.call("/bundle/files")).body;
  change(files);
  const applied = await by.call("/bundle", { files });
  const given = await approver.call(`/requests/${applied.body.request}/approve`, {});
  if (given.status !== 200) throw new Error(`the bundle is not in force: ${JSON.stringify([applied, given])}`);
}
