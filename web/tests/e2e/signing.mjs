// Signs approvals for real: a rule comes to want signatures, a virtual authenticator signs in the console and for the
// command line, and the export proves it.
//
//   BASE_URL        a demo's gateway, at a name (`http://localhost:...`): passkeys have no addresses of numbers
//   PASSWORD_ALICE, PASSWORD_BOB, PASSWORD_CAROL, PASSWORD_DAVE  theirs; bob has bound nothing yet
//   BUNDLE          the folder of the demo's bundle
//   UPSTREAM_PORT   where the demo's PostgreSQL server listens
//   COUNTERSIGN     the program
//   SHOTS           a folder for screenshots; none are written without it
//   CHROMIUM        the browser, /usr/bin/chromium by default

import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { chromium } from "playwright-core";

const env = process.env;
const base = env.BASE_URL.replace(/\/$/, "");
const problems = [];
const seen = (condition, what) => {
  if (condition) console.log(`ok  ${what}`);
  else problems.push(what);
};
if (env.SHOTS) mkdirSync(env.SHOTS, { recursive: true });
const folder = mkdtempSync(join(tmpdir(), "countersign-signing-"));

/** A caller of the API, as a script is one. */
async function caller(user) {
  const signedIn = await fetch(`${base}/api/v1/sign-in`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ user, password: env[`PASSWORD_${user.toUpperCase()}`] }),
  });
  const { token } = await signedIn.json();
  const call = async (path, body) => {
    const answer = await fetch(`${base}/api/v1${path}`, {
      ...(body ? { method: "POST", body: JSON.stringify(body) } : {}),
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    });
    return { status: answer.status, body: answer.status === 204 ? undefined : await answer.json() };
  };
  const program = (...args) => promisify(execFile)(env.COUNTERSIGN, args, {
    env: { ...env, COUNTERSIGN_URL: base, COUNTERSIGN_TOKEN: token, COUNTERSIGN_HOME: join(folder, user) }, timeout: 120_000,
  });
  return { call, program };
}

const ask = async (who, reason) => (await who.call("/requests", { role: "shop-reader", for: "10m", reason })).body.id;

const browser = await chromium.launch({
  executablePath: env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
try {
  const [alice, bob, carol, dave] = await Promise.all(["alice", "bob", "carol", "dave"].map(caller));
  const files = Object.fromEntries(readdirSync(env.BUNDLE).map((name) => [name, readFileSync(join(env.BUNDLE, name), "utf8")]));
  files["rules.toml"] = files["rules.toml"].replace("[approval.shop-access]", "[approval.shop-access]\nsigned = true");
  files["resources.toml"] = files["resources.toml"].replace("port = 5432", `port = ${env.UPSTREAM_PORT}`);
  const applied = await dave.call("/bundle", { files });
  await carol.call(`/requests/${applied.body.request}/approve`, {});
  const first = await ask(alice, "see what is signed");
  const unsigned = await bob.call(`/requests/${first}/approve`, {});
  seen(unsigned.status === 403 && unsigned.body.type === "urn:countersign:problem:unsigned", "a yes without a signature does not count");

  const context = await browser.newContext({ viewport: { width: 1360, height: 1000 }, reducedMotion: "reduce" });
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
  const shot = async (name) => {
    if (env.SHOTS) await page.screenshot({ path: join(env.SHOTS, `signing-${name}.png`), fullPage: true });
  };
  await page.goto(`${base}/requests/${first}`);
  await page.getByLabel("Name").fill("bob");
  await page.getByLabel("Password", { exact: true }).fill(env.PASSWORD_BOB);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("button", { name: "Approve with your passkey" }).click();
  await page.getByText("you have no passkey to sign with", { exact: false }).waitFor();
  seen(true, "whoever has no passkey is told where to make one");

  await page.goto(`${base}/account`);
  await page.getByRole("button", { name: "Make a passkey" }).click();
  await page.getByLabel("What to call it").fill("Laptop");
  await page.getByRole("button", { name: "Make it" }).click();
  await page.getByRole("cell", { name: /Laptop/ }).waitFor();

  await page.goto(`${base}/requests/${first}`);
  await page.getByText("Each yes is signed with the approver's passkey").waitFor();
  await shot("1-asked");
  await devtools.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
  await page.getByRole("button", { name: "Approve with your passkey" }).click();
  await page.getByText("nothing is signed", { exact: false }).waitFor({ timeout: 20_000 });
  seen((await bob.call(`/requests/${first}`)).body.state === "pending", "a device that does not know bob signs nothing");
  await devtools.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: true });
  await page.getByRole("button", { name: "Approve with your passkey" }).click();
  await page.getByText("You signed a yes").waitFor();
  await page.getByText("signed a yes", { exact: false }).first().waitFor();
  const done = (await bob.call(`/requests/${first}`)).body;
  seen(done.state === "approved" && done.approvals[0].signed === true, "his passkey signs what he sees, and it counts");
  await shot("2-signed");

  const second = await ask(alice, "and from the command line");
  const waiting = bob.program("approve", second, "--yes");
  await page.goto(`${base}/requests/${second}`);
  await page.getByRole("button", { name: "Approve with your passkey" }).click();
  const { stdout, stderr } = await waiting;
  seen(stderr.includes(`/requests/${second}`) && stdout.includes(`${second} is approved`), "the command line leads there, waits, and says what came of it");

  const out = join(folder, "export");
  // Both have to be under a checkpoint before they are exported.
  for (let size = 0, due = (await bob.call("/ledger/state")).body.size; size < due;) {
    size = (await bob.call("/ledger/state")).body.checkpoint?.size ?? 0;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await bob.program("audit", "export", "--out", out);
  const verified = await bob.program("audit", "verify", "--export", out);
  seen(verified.stdout.includes("2 approvals are signed by their approvers' passkeys."), `the export proves both, without the gateway (${verified.stdout.trim()})`);
} catch (error) {
  problems.push(error.stack ?? String(error));
} finally {
  await browser.close();
  rmSync(folder, { recursive: true });
}
for (const problem of problems) console.error(`BAD ${problem}`);
console.log(problems.length === 0 ? "all well" : `${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);
