// Signs approvals for real: a rule comes to want signatures, a virtual authenticator signs in the console and for the
// command line, and the export proves it.
//
//   BASE_URL        a demo's gateway, at a name (`http://localhost:...`): passkeys have no addresses of numbers
//   PASSWORD_ALICE, PASSWORD_BOB, PASSWORD_CAROL, PASSWORD_DAVE  theirs; bob has bound nothing yet
//   COUNTERSIGN     the program
//   SHOTS           a folder for screenshots; none are written without it
//   CHROMIUM        the browser, /usr/bin/chromium by default

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { apply, authenticator, base, caller, env, fillIn, finish, launch, seen, shot as picture, stranded } from "./story.mjs";

const folder = mkdtempSync(join(tmpdir(), "countersign-signing-"));

/** A caller of the API who has the command line as well. */
async function person(user) {
  const { call, token } = await caller(user);
  const program = (...args) => promisify(execFile)(env.COUNTERSIGN, args, {
    env: { ...env, COUNTERSIGN_URL: base, COUNTERSIGN_TOKEN: token, COUNTERSIGN_HOME: join(folder, user) }, timeout: 120_000,
  });
  return { call, program };
}

const ask = async (who, reason) => (await who.call("/requests", { role: "shop-reader", for: "10m", reason })).body.id;

const browser = await launch();
try {
  const [alice, bob, carol, dave] = await Promise.all(["alice", "bob", "carol", "dave"].map(person));
  await apply(dave, carol, (files) => {
    files["rules.toml"] = files["rules.toml"].replace("[approval.shop-access]", "[approval.shop-access]\nsigned = true");
  });
  const first = await ask(alice, "see what is signed");
  const unsigned = await bob.call(`/requests/${first}/approve`, {});
  seen(unsigned.status === 403 && unsigned.body.type === "urn:countersign:problem:unsigned", "a yes without a signature does not count");

  const context = await browser.newContext({ viewport: { width: 1360, height: 1000 }, reducedMotion: "reduce" });
  const page = await context.newPage();
  const { devtools, authenticatorId } = await authenticator(page);
  const shot = (name) => picture(page, `signing-${name}`);
  await page.goto(`${base}/requests/${first}`);
  await fillIn(page, "bob");
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
  await page.getByText("nothing is signed", { exact: false }).waitFor();
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
  await stranded(browser, error);
} finally {
  await browser.close();
  rmSync(folder, { recursive: true });
}
finish();
