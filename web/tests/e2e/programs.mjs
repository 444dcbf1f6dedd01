// Signs in a real command line by way of the console: by a browser on the same machine, and by a code that a machine
// without one shows; and tries to be let in by ways that are none.
//
//   BASE_URL        the gateway
//   PASSWORD_ALICE  her password; she has bound nothing yet
//   COUNTERSIGN     the program
//   SHOTS           a folder for screenshots; none are written without it
//   CHROMIUM        the browser, /usr/bin/chromium by default

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { base, env, fillIn, finish, launch, seen, shot as picture, stranded } from "./story.mjs";

const home = mkdtempSync(join(tmpdir(), "countersign-programs-"));
const started = [];

/** The command line. What it says is there as it says it; `ended` is its exit code. */
function countersign(...args) {
  const child = spawn(env.COUNTERSIGN, args, {
    env: { PATH: env.PATH, COUNTERSIGN_HOME: home, COUNTERSIGN_URL: base }, stdio: ["ignore", "pipe", "pipe"],
  });
  started.push(child);
  const run = { said: "", printed: "" };
  child.stderr.on("data", (chunk) => { run.said += chunk; });
  child.stdout.on("data", (chunk) => { run.printed += chunk; });
  run.ended = new Promise((ended) => child.on("close", ended));
  run.says = async (pattern) => {
    for (let tries = 0; tries < 600; tries += 1) {
      const found = pattern.exec(run.said);
      if (found) return found[1];
      await new Promise((later) => setTimeout(later, 50));
    }
    throw new Error(`${args.join(" ")} did not say ${pattern}: ${run.said}`);
  };
  return run;
}

const browser = await launch();
const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, reducedMotion: "reduce" });
const page = await context.newPage();
const shot = (name) => picture(page, `programs-${name}`);
const button = (name) => page.getByRole("button", { name, exact: true });
const post = (path, body) => page.evaluate(
  ([path, body]) => fetch(`/api/v1${path}`, {
    method: "POST", headers: { "content-type": "application/json", "x-countersign": "1" }, body: JSON.stringify(body),
  }).then((answer) => answer.status),
  [path, body],
);

try {
  // On this machine: the link leads to the sign-in first, and then to the question.
  const login = countersign("login", "--no-open");
  await page.goto(await login.says(/(http:\/\/\S+let-in\?\S+)/));
  await fillIn(page, "alice");
  await page.getByText("A terminal on this computer").waitFor();
  await shot("1-let-in");
  await button("Yes, sign it in").click();
  await page.getByText("The terminal is signed in").waitFor();
  seen(!page.url().includes("code="), "the code is left in no address");
  seen((await login.ended) === 0 && login.printed.includes("Signed in as alice"), "a terminal is signed in by a browser on its machine");
  await shot("2-signed-in");
  const who = countersign("whoami");
  seen((await who.ended) === 0 && who.printed.startsWith("alice "), "and it is alice");
  const seenThere = await page.evaluate(() => fetch("/api/v1/me/sign-ins").then((answer) => answer.json()));
  const terminal = seenThere.items.find((one) => one.via === "cli");
  seen(terminal?.means.join() === "password" && terminal.let_in_by === seenThere.items.find((one) => one.this).id, "she sees it among her sign-ins, and what let it in");

  const declined = countersign("login", "--no-open");
  await page.goto(await declined.says(/(http:\/\/\S+let-in\?\S+)/));
  await button("No").click();
  await page.getByText("The terminal was told no").waitFor();
  seen((await declined.ended) !== 0 && declined.said.includes("declined"), "a terminal is told no");

  await page.goto(`${base}/let-in?challenge=${"a".repeat(43)}&state=${"b".repeat(22)}&port=80&machine=x`);
  await page.getByText("This link is not complete").waitFor();
  await page.goto(`${base}/let-in?challenge=${"a".repeat(43)}&state=${"b".repeat(22)}&port=8080&machine=%E2%80%AEevil`);
  await page.getByText("This link is not complete").waitFor();
  seen(true, "what is no terminal of this machine is not asked about");

  // On a machine without a browser.
  const device = countersign("login", "--device");
  const code = await device.says(/type in the code (\S+)/);
  await page.goto(`${base}/device`);
  await page.getByLabel("The code that it shows").fill("BBBB-BBBB");
  await button("Go on").click();
  await page.getByText("No program waits that shows this code").waitFor();
  await page.getByLabel("The code that it shows").fill(code.toLowerCase().replace("-", " "));
  await button("Go on").click();
  await page.getByText("It asks from").waitFor();
  await shot("3-device");
  await button("Yes, sign it in").click();
  await page.getByText("will be signed in within seconds").waitFor();
  seen((await device.ended) === 0 && device.printed.includes("Signed in as alice"), "a terminal is signed in by a code that is typed in");
  seen((await post("/me/device", { user_code: code })) === 404, "which counts once");

  const refused = countersign("login", "--device");
  await page.goto(`${base}/device`);
  await page.getByLabel("The code that it shows").fill(await refused.says(/type in the code (\S+)/));
  await button("Go on").click();
  await button("No").click();
  await page.getByText("was told no").waitFor();
  seen((await refused.ended) !== 0 && refused.said.includes("declined"), "and one is told no");

  // A program's own token lets in nobody else, whether as a bearer's or in a cookie.
  const printed = countersign("login", "--no-open", "--print-token");
  await page.goto(await printed.says(/(http:\/\/\S+let-in\?\S+)/));
  await button("Yes, sign it in").click();
  await printed.ended;
  const token = printed.printed.trim().split("\n").pop();
  const asBearer = await fetch(`${base}/api/v1/me/program`, {
    method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${token}` }, body: JSON.stringify({ challenge: "a".repeat(43) }),
  });
  const asCookie = await fetch(`${base}/api/v1/me/program`, {
    method: "POST", headers: { "content-type": "application/json", "x-countersign": "1", cookie: `countersign=${token}` },
    body: JSON.stringify({ challenge: "a".repeat(43) }),
  });
  seen(asBearer.status === 403 && asCookie.status === 403, "a program lets in no other");
  const out = countersign("logout");
  seen((await out.ended) === 0, "a terminal signs out by itself");
} catch (error) {
  await stranded(browser, error);
} finally {
  for (const child of started) child.kill();
  await browser.close();
  rmSync(home, { recursive: true, force: true });
}
finish();
