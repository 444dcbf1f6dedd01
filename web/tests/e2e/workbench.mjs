// SQL in the browser against a gateway and a real database, two people at once: alice works in the workbench, bob answers.
//
//   BASE_URL  the gateway of a demo
//   PASSWORD_ALICE, PASSWORD_BOB
//   SHOTS     a folder for screenshots; none are written without it
//   CHROMIUM  the browser, /usr/bin/chromium by default

import { readFileSync } from "node:fs";

import { base, fillIn, finish, judge, launch, problems, seen, shot as picture, stranded, watched } from "./story.mjs";

const shot = (page, name) => picture(page, name, {});

const browser = await launch();

async function person(user, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce", acceptDownloads: true, ...options });
  const page = await watched(context);
  page.on("pageerror", (error) => problems.push(`${user}: ${error.message}`));
  page.on("dialog", (dialog) => { problems.push(`${user}: a dialog opened`); void dialog.dismiss(); });
  await page.goto(base);
  await fillIn(page, user);
  await page.locator(".shell").waitFor();
  return page;
}

const call = (page, path, body) => page.evaluate(([path, body]) => fetch(`/api/v1${path}`, body === undefined ? {} : {
  method: "POST", headers: { "content-type": "application/json", "x-countersign": "1" }, body: JSON.stringify(body),
}).then(async (answer) => ({ status: answer.status, ...(answer.status === 204 ? {} : await answer.json()) })), [path, body]);

async function grant(alice, bob, role) {
  const asked = await call(alice, "/requests", { role, for: "1h", reason: "work on the shop" });
  const answer = await call(bob, `/requests/${asked.id}/approve`, {});
  if (answer.status !== 200) throw new Error(`not approved: ${JSON.stringify(answer)}`);
}

const editor = (page) => page.getByRole("textbox", { name: "Statements" });
const runs = async (page, text) => {
  await editor(page).fill(text);
  await page.getByRole("button", { name: "Run all" }).click();
};

async function completes(alice) {
  await editor(alice).fill("");
  await editor(alice).pressSequentially("select o. from orders o");
  for (let i = 0; i < " from orders o".length; i += 1) await alice.keyboard.press("ArrowLeft");
  await alice.keyboard.press("Control+Space");
  await alice.getByRole("option", { name: /status/ }).waitFor();
  seen(true, "columns of a relation are offered under its short name");
  await judge(alice, "offers");
  await shot(alice, "workbench-offers");
  await alice.keyboard.press("Escape");
}

async function waits(alice, bob) {
  await runs(alice, "SELECT sum(stock) AS before FROM products;\nUPDATE products SET stock = stock + 1 WHERE id <= 12 RETURNING id;\nSELECT sum(stock) AS after FROM products;");
  await alice.getByText("This waits for an approval").waitFor();
  seen(true, "a write waits in the workbench");
  await judge(alice, "waiting");
  await shot(alice, "workbench-waits");
  await bob.goto(`${base}/inbox`);
  await bob.getByText("wants to run an UPDATE on shop").first().click();
  const held = bob.locator("article", { hasText: "wants to run an UPDATE on shop" });
  await held.getByText("12 rows", { exact: true }).waitFor();
  seen((await held.locator(".sql code").first().innerText()).startsWith("UPDATE products SET stock = stock + 1 WHERE id <= 12"), "bob reads that statement alone, with its rows counted");
  await bob.waitForTimeout(800);
  await bob.keyboard.press("a");
  await bob.getByText("You said yes").waitFor();
  await alice.getByRole("tab", { name: /3 SELECT/ }).waitFor();
  await alice.getByRole("tab", { name: /2 UPDATE/ }).click();
  await alice.getByText("UPDATE 12").waitFor();
  seen((await alice.getByRole("row").count()) === 13, "with his yes it goes on by itself, and so does what follows");
  await shot(alice, "workbench-done");

  await runs(alice, "DELETE FROM orders");
  await alice.getByText("This waits for an approval").waitFor();
  await alice.getByRole("button", { name: "Cancel" }).click();
  await alice.locator(".fault.bad").waitFor();
  const left = await call(bob, "/requests?inbox=true");
  seen(left.items.length === 0, "cancelling withdraws what waits");
}

async function scrolls(alice) {
  await alice.getByLabel("Rows of each result").selectOption("10000");
  await runs(alice, "SELECT n, 'row ' || n AS name, n * 1.5 AS half FROM generate_series(1, 30000) AS n");
  await alice.getByText("SELECT 10000").waitFor();
  const drawn = await alice.getByRole("row").count();
  seen(drawn < 120, `of 10,000 rows ${drawn} are drawn`);
  const worst = await alice.evaluate(async () => {
    const grid = document.querySelector("[role=grid]");
    let worst = 0;
    let last = performance.now();
    for (let top = 0; top < 60 * 400; top += 400) {
      grid.scrollTop = top;
      await new Promise((next) => requestAnimationFrame(next));
      worst = Math.max(worst, performance.now() - last);
      last = performance.now();
    }
    return Math.round(worst);
  });
  seen(worst < 250, `sixty screens are scrolled, the slowest frame in ${worst} ms`);
  await alice.getByRole("grid").focus();
  await alice.keyboard.press("Control+ArrowDown");
  await alice.getByRole("gridcell", { name: "10000", exact: true }).waitFor();
  seen(true, "the keyboard goes to the last row");
  await alice.keyboard.press("Enter");
  await alice.getByRole("dialog").getByText("Row 10,000").waitFor();
  await judge(alice, "a value");
  await alice.keyboard.press("Escape");
}

async function harmless(alice) {
  await runs(alice, `SELECT '<img src=x onerror=alert(1)>' AS tag, E'\\u202Eback' AS turned, E'a\\x1b[31mred' AS escape, '=1+1' AS formula`);
  await alice.getByText("<img src=x onerror=alert(1)>", { exact: true }).first().waitFor();
  seen(await alice.locator(".grid-of img:not([role])").count() === 0 && (await alice.locator(".grid-of .k-hidden").count()) >= 2, "what a database puts into a value is text, with what hides marked");
}

async function exports(alice) {
  await alice.getByLabel("Role").selectOption("shop-reader");
  await runs(alice, "SELECT id, status FROM orders ORDER BY id LIMIT 3");
  await alice.getByText("SELECT 3").waitFor();
  const saving = alice.waitForEvent("download");
  await alice.getByRole("button", { name: "Save as CSV" }).click();
  const text = readFileSync(await (await saving).path(), "utf8");
  seen(/^id,status\r\n\d+,/.test(text), "a result is saved where the role permits it");
}

async function narrow(alice) {
  const storage = await alice.context().storageState();
  for (const [scheme, width] of [["light", 320], ["dark", 390], ["dark", 1440]]) {
    const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme: scheme, storageState: storage, reducedMotion: "reduce" });
    const page = await context.newPage();
    await page.addInitScript(() => { globalThis.violations = []; });
    await page.goto(`${base}/sql/shop`);
    await editor(page).waitFor();
    await runs(page, "SELECT * FROM orders ORDER BY id");
    await page.getByText("SELECT 1000").waitFor();
    await judge(page, `${scheme} ${width}`);
    await shot(page, `workbench-${scheme}-${width}`);
    await page.getByRole("button", { name: "Close" }).click();
    await page.waitForURL(`${base}/`);
    await context.close();
  }
}

async function ends(alice, bob) {
  await runs(alice, "DELETE FROM orders WHERE id = 1");
  const grants = (await call(bob, "/grants?state=live")).items.filter((one) => one.principal === "alice");
  for (const one of grants) await call(bob, `/grants/${one.id}/revoke`, { reason: "enough" });
  await alice.getByText("This session is over.").waitFor();
  seen((await editor(alice).inputValue()) === "DELETE FROM orders WHERE id = 1", "a revoked grant ends it at once, and what was written stays");
  await judge(alice, "over");
  await shot(alice, "workbench-over");
  await alice.reload();
  await alice.getByText("You hold no role that reaches shop").waitFor();
}

try {
  const alice = await person("alice");
  const bob = await person("bob");
  await grant(alice, bob, "shop-reader");
  await grant(alice, bob, "shop-writer");
  await alice.goto(`${base}/sql/shop`);
  await alice.getByRole("button", { name: "orders", exact: true }).waitFor();
  seen(true, "the names of tables are read in the session");
  await alice.getByLabel("Role").selectOption("shop-writer");
  await alice.getByRole("button", { name: "orders", exact: true }).waitFor();
  await completes(alice);
  await waits(alice, bob);
  await scrolls(alice);
  await harmless(alice);
  await exports(alice);
  await narrow(alice);
  await ends(alice, bob);
} catch (error) {
  await stranded(browser, error);
} finally {
  await browser.close();
}
finish();
