// Signs in for real with an identity provider that is not ours: the npm package `oidc-provider`, in this process, and a
// gateway of its own that is configured for it.
//
//   BUNDLE       the folder of the demo's bundle
//   COUNTERSIGN  the program
//   SHOTS        a folder for screenshots; none are written without it
//   CHROMIUM     the browser, /usr/bin/chromium by default

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import Provider from "oidc-provider";

import { env, finish, launch, problems, seen, shot as picture, stranded } from "./story.mjs";

const folder = mkdtempSync(join(tmpdir(), "countersign-oidc-"));

// The provider's address has to be in the gateway's configuration, the gateway's in the provider's: the address first.
let answer = (_request, response) => response.writeHead(503).end();
const server = createServer((request, response) => answer(request, response));
await new Promise((ready) => server.listen(0, "localhost", ready));
const issuer = `http://localhost:${server.address().port}`;
const secret = randomBytes(24).toString("base64url");

cpSync(env.BUNDLE, join(folder, "config/bundle"), { recursive: true });
writeFileSync(join(folder, "config/countersign.toml"), `
[gateway]
origin = "countersign.test/oidc"
data = "${join(folder, "data")}"
[console]
listen = "127.0.0.1:0"
[postgres]
listen = "127.0.0.1:0"
[bootstrap]
by = "dave"
[[sign_in.oidc]]
name = "corp"
title = "Corp"
issuer = "${issuer}"
client_id = "countersign"
client_secret = "env:OIDC_SECRET"
match = "email"
email_domains = ["shop.example"]
`);
const gateway = spawn(env.COUNTERSIGN, ["serve", "--config", join(folder, "config")], {
  env: { ...env, OIDC_SECRET: secret }, stdio: ["ignore", "ignore", "pipe"],
});
let log = "";
const base = await new Promise((ready, failed) => {
  gateway.stderr.on("data", (chunk) => {
    log += chunk;
    const found = /console (http:\S+),/.exec(log);
    if (found) ready(found[1]);
  });
  gateway.on("exit", () => failed(new Error(`the gateway ended:\n${log}`)));
});

const emails = { alice: "alice@shop.example", mallory: "mallory@shop.example" };
const provider = new Provider(issuer, {
  clients: [{
    client_id: "countersign", client_secret: secret, grant_types: ["authorization_code"], response_types: ["code"],
    redirect_uris: [`${base}/api/v1/sign-in/oidc/corp/callback`],
    backchannel_logout_uri: `${base}/api/v1/sign-in/oidc/logout`, backchannel_logout_session_required: true,
  }],
  claims: { openid: ["sub", "sid"], email: ["email", "email_verified"], profile: ["name"] },
  conformIdTokenClaims: false,
  cookies: { keys: [secret] },
  features: { devInteractions: { enabled: true }, backchannelLogout: { enabled: true } },
  findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, email: emails[id] ?? "", email_verified: true, name: id }) }),
  pkce: { required: () => true },
  // It does not call this machine by itself; here that is where the gateway is.
  fetch: (url, { dispatcher: _, ...options }) => fetch(url, options),
});
answer = provider.callback();
const told = [];
provider.on("backchannel.success", () => told.push("told"));
provider.on("backchannel.error", (_context, error) => told.push(`${error} ${error.cause ?? ""}`));

const browser = await launch();
const machine = async () => (await browser.newContext({ viewport: { width: 1360, height: 900 }, reducedMotion: "reduce" })).newPage();
const shot = (page, name) => picture(page, `oidc-${name}`);

/** Goes to the provider and says who is there. */
async function signIn(page, who) {
  await page.goto(`${base}/account`);
  await page.getByRole("link", { name: "Sign in with Corp" }).click();
  await page.locator("input[name=login]").fill(who);
  await page.locator("input[name=password]").fill("anything");
  await page.getByRole("button", { name: /sign-in/i }).click();
  await page.getByRole("button", { name: /continue/i }).click();
}

try {
  const page = await machine();
  await page.goto(`${base}/account`);
  await page.getByRole("link", { name: "Sign in with Corp" }).waitFor();
  await shot(page, "1-sign-in");
  const callbacks = [];
  page.on("request", (request) => request.url().includes("/callback?") && callbacks.push(request.url()));
  await signIn(page, "alice");
  await page.getByRole("cell", { name: "Corp" }).first().waitFor();
  const me = await page.evaluate(() => fetch("/api/v1/me").then((answer) => answer.json()));
  seen(me.principal === "alice" && me.means.join() === "oidc", "alice is signed in by the provider's word");
  seen(new URL(page.url()).pathname === "/account", "she is where she wanted to go");
  await shot(page, "2-signed-in");

  const ours = callbacks.find((url) => url.startsWith(base));
  const replayed = await page.request.get(ours, { maxRedirects: 0 });
  seen(replayed.status() === 303 && replayed.headers().location === "/?sign-in=too-late", "the same answer counts no second time");
  const elsewhere = await (await machine()).request.get(`${base}/api/v1/sign-in/oidc/corp`, { maxRedirects: 0 });
  const state = new URL(elsewhere.headers().location).searchParams.get("state");
  const planted = await page.request.get(`${base}/api/v1/sign-in/oidc/corp/callback?code=x&state=${state}&iss=${issuer}`, { maxRedirects: 0 });
  seen(planted.headers().location === "/?sign-in=too-late", "nor one that another browser began");

  const stranger = await machine();
  await signIn(stranger, "mallory");
  await stranger.getByText("nobody here is who the identity provider says you are", { exact: false }).waitFor();
  seen(true, "whoever is nobody here is told so");
  await shot(stranger, "3-nobody");

  await page.goto(`${issuer}/session/end`);
  await page.locator("button[value=yes]").click();
  for (let i = 0; told.length === 0 && i < 100; i += 1) await new Promise((resolve) => setTimeout(resolve, 100));
  seen(told.join() === "told", `the provider's logout reaches the gateway (${told.join()})`);
  const gone = await page.request.get(`${base}/api/v1/me`);
  seen(gone.status() === 401, "and alice is signed out here");
  seen(!log.includes(secret), "the secret is not in the log");
} catch (error) {
  await stranded(browser, error);
  problems.push(log);
} finally {
  await browser.close();
  server.close();
  server.closeAllConnections();
  gateway.removeAllListeners("exit");
  gateway.kill("SIGTERM");
  await new Promise((ended) => gateway.on("exit", ended));
  rmSync(folder, { recursive: true });
}
finish();
