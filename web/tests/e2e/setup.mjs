// Sets a fresh gateway up in the browser, from the code that it said to the first statement that waits: two people, each with
// a virtual authenticator, and a real database.
//
//   COUNTERSIGN     the program
//   DATABASE        JSON: `host`, `port`, `database`, and `writer` and `reader`, each with `name` and `password`
//   SHOTS           a folder for screenshots; none are written without it
//   CHROMIUM        the browser, /usr/bin/chromium by default

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { authenticator, env, finish, judge, launch, problems, seen, shot as picture, steady, stranded, watched } from "./story.mjs";

const database = JSON.parse(env.DATABASE);
const folder = mkdtempSync(join(tmpdir(), "countersign-setup-"));

/** A port that nobody listens on. */
async function free() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((open) => server.on("listening", open));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

const base = `http://localhost:${await free()}`;
mkdirSync(join(folder, "config"));
writeFileSync(join(folder, "config/countersign.toml"), `[gateway]\nnode = "first"\n[console]\nlisten = "127.0.0.1:${new URL(base).port}"\n[postgres]\nlisten = "127.0.0.1:0"\n`);

/** The gateway: what it said, and an end in good order. */
async function start() {
  const child = spawn(env.COUNTERSIGN, ["serve", "--config", join(folder, "config"), "--data", join(folder, "data")], { stdio: ["ignore", "ignore", "pipe"] });
  const gateway = { log: "", stop: () => new Promise((ended) => { child.on("exit", ended); child.kill("SIGTERM"); }) };
  child.stderr.on("data", (bytes) => { gateway.log += bytes; });
  for (let i = 0; i < 600; i += 1) {
    if (await fetch(`${base}/api/v1/health`).then((answer) => answer.ok, () => false)) return gateway;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the gateway did not start:\n${gateway.log}`);
}

const browser = await launch();
let gateway = await start();
const code = /type the code (\S+),/.exec(gateway.log)?.[1];
/** Somebody at a machine with an authenticator. */
async function person(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, reducedMotion: "reduce", ...options });
  const page = await watched(context);
  await authenticator(page);
  return page;
}
const WAYS = [["wide-light", { width: 1360, height: 900 }, "light"], ["wide-dark", { width: 1360, height: 900 }, "dark"], ["narrow", { width: 320, height: 640 }, "light"]];
/** A picture of a page in every way that it is looked at, each without a violation. */
async function looked(page, name) {
  for (const [way, size, colorScheme] of WAYS) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme });
    // The page follows its system by itself, a moment later.
    await page.waitForFunction((scheme) => document.documentElement.dataset.mantineColorScheme === scheme, colorScheme);
    await judge(page, `${name} ${way}`);
    await picture(page, `setup-${name}-${way}`);
  }
  await page.setViewportSize(WAYS[0][1]);
  await page.emulateMedia({ colorScheme: "light" });
}
const status = async (path, body) => (await fetch(`${base}/api/v1${path}`, body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).status;
const onward = (page, label = "Go on") => page.getByRole("button", { name: label, exact: true }).click();

try {
  seen(code !== undefined, "the gateway says a code where it was started");
  const ada = await person();
  await ada.goto(base);
  await ada.getByRole("link", { name: "Set it up" }).click();
  await ada.getByLabel("Code").fill("abcd-efgh-ijkm-nopq");
  await onward(ada);
  await ada.getByText("The code is wrong").waitFor();
  seen(true, "another code does not count");
  await looked(ada, "1-code");
  await ada.getByLabel("Code").fill(code.toUpperCase());
  await onward(ada);

  await ada.getByLabel("What the house is called").fill("Example \"Ltd\"");
  await ada.getByLabel("Your name").fill("Ada Adler");
  seen(await ada.getByLabel("The name of your account").inputValue() === "ada", "the account is called after her");
  await looked(ada, "2-house");
  // What was typed outlasts the gateway and the page.
  await gateway.stop();
  gateway = await start();
  const other = /type the code (\S+),/.exec(gateway.log)?.[1];
  await ada.reload();
  await ada.getByLabel("Code").fill(code);
  await onward(ada);
  await ada.getByText("The code is wrong").waitFor();
  seen(other !== code, "a gateway that is started again says another code, and the first counts no more");
  await ada.getByLabel("Code").fill(other);
  await onward(ada);
  seen(await ada.getByLabel("Your name").inputValue() === "Ada Adler", "what was typed before is still there");
  await onward(ada);

  await ada.getByLabel("What people call it").fill("Shop of the house");
  await ada.getByLabel("Its name here").fill("shop");
  await ada.getByLabel("Host").fill(database.host);
  await ada.getByLabel("Port").fill(String(database.port));
  await ada.getByLabel("Database on that server").fill(database.database);
  await ada.getByLabel("How it is reached").selectOption("disable");
  await ada.getByLabel("Account", { exact: true }).fill(database.writer.name);
  await ada.getByLabel("Its password").fill("wrong");
  await ada.getByLabel("Reading account").fill(database.reader.name);
  await ada.getByLabel("Password of that account").fill(database.reader.password);
  await onward(ada, "Try it");
  await ada.getByText(`not reached as \`${database.writer.name}\``, { exact: false }).waitFor();
  seen(true, "a database that lets nobody in is told, and one does not get on");
  await looked(ada, "3-database-refused");
  await ada.getByLabel("Its password").fill(database.writer.password);
  await onward(ada, "Try it");
  await ada.getByText("was let in by PostgreSQL").first().waitFor();
  seen(await ada.getByText("was let in by PostgreSQL").count() === 2, "both accounts are tried before anything is kept");
  await looked(ada, "4-database");
  await onward(ada);

  await ada.getByLabel("Their name").fill("Ben Berg");
  await looked(ada, "5-second");
  await onward(ada);
  await looked(ada, "6-passkey");
  await onward(ada, "Make the passkey and set up");
  await ada.getByRole("heading", { name: "The gateway is set up" }).waitFor();
  const link = await ada.getByText("/invited#").innerText();
  await looked(ada, "7-set-up");
  seen(await status("/setup") === 404 && await status("/setup/code", { code: other }) === 404 && await status("/setup", {}) === 404, "there is no set-up any more, for anybody");
  await onward(ada, "I have sent it");
  await ada.getByRole("heading", { name: "First steps" }).waitFor();
  await ada.getByRole("link", { name: "Ask for it" }).waitFor();
  await steady(ada, "first steps");
  await looked(ada, "8-first-steps");

  const ben = await person();
  await ben.goto(link);
  await ben.getByRole("heading", { name: "Make your passkey" }).waitFor();
  await looked(ben, "9-invited");
  await onward(ben, "Make the passkey");
  await ben.getByRole("heading", { name: "My access" }).waitFor();
  seen(true, "whoever was invited makes a passkey and is in");
  const eve = await person();
  await eve.goto(link);
  await onward(eve, "Make the passkey");
  await eve.getByText("This invitation counts no more").waitFor();
  seen(true, "the link opens nothing a second time");

  await ada.getByRole("link", { name: "Ask for it" }).click();
  await ada.getByLabel("Purpose").fill("See what waits, across a restart");
  await gateway.stop();
  await ada.getByText("Not connected, trying again").first().waitFor();
  gateway = await start();
  await ada.getByText("Live", { exact: true }).first().waitFor();
  seen(await ada.getByLabel("Purpose").inputValue() === "See what waits, across a restart", "the gateway is restarted: the page goes on by itself, and what was typed is there");
  await ada.getByRole("button", { name: /^(Ask|Send)/ }).last().click();
  await ada.waitForURL(/requests\/req_/);
  await ben.goto(`${base}/inbox`);
  await ben.getByRole("button", { name: /^Approve/ }).first().click();
  await ada.goto(`${base}/welcome`);
  await ada.getByRole("link", { name: "Open SQL" }).click();
  await ada.getByRole("textbox", { name: "Statements" }).fill("SELECT pg_notify('countersign', 'a first statement')");
  await ada.getByRole("button", { name: "Run all" }).click();
  await ben.getByText("pg_notify").first().waitFor();
  seen(true, "the first statement waits, and the other one sees it at once");
  await picture(ben, "setup-10-held");
  await ben.getByRole("button", { name: /^Approve/ }).first().click();
  await ada.getByRole("tab", { name: /SELECT/ }).or(ada.getByRole("gridcell").first()).first().waitFor();
  await ada.goto(`${base}/welcome`);
  await ada.getByText("done").nth(3).waitFor();
  seen(true, "with his yes it goes on, and the first steps are done");
  await looked(ada, "11-done");

  await gateway.stop();
  gateway = await start();
  seen(!gateway.log.includes("is to be set up"), "started again, there is nothing to set up");
  await ada.goto(`${base}/setup`);
  await ada.getByRole("heading", { name: "There is nothing to set up" }).waitFor();
  await ada.context().clearCookies();
  await ada.goto(base);
  await ada.getByRole("button", { name: "Use a passkey" }).click();
  await ada.getByRole("heading", { name: "My access" }).waitFor();
  seen(true, "she signs in with the passkey that she made");
} catch (error) {
  await stranded(browser, error);
  problems.push(gateway.log);
} finally {
  await browser.close();
  await gateway.stop();
  rmSync(folder, { recursive: true });
}
finish();
