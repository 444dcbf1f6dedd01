// Signs in for real: a passkey of a virtual authenticator, an authenticator app, a recovery code, and a sign-in that is
// ended from another browser.
//
//   BASE_URL        the gateway, at a name (`http://localhost:...`): passkeys have no addresses of numbers
//   PASSWORD_ALICE  her password; she has bound nothing yet
//   PASSWORD_DAVE   his, who is an administrator
//   SHOTS           a folder for screenshots; none are written without it
//   CHROMIUM        the browser, /usr/bin/chromium by default

import { createHmac } from "node:crypto";

import { authenticator, base, fillIn, finish, launch, seen, shot as picture, stranded } from "./story.mjs";


const browser = await launch();

/** A browser, and the authenticator that is built into its machine. */
async function machine(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  const { devtools, authenticatorId } = await authenticator(page);
  return { context, page, devtools, authenticatorId };
}

const shot = (page, name) => picture(page, `identity-${name}`);

async function signIn(page) {
  await page.goto(`${base}/account`);
  await fillIn(page, "alice");
}

const signOut = async (page) => {
  await page.locator(".whoami").first().click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByLabel("Password", { exact: true }).waitFor();
};

/** The code of a secret, now or some steps on (RFC 6238). */
function code(secret, ahead = 0) {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret].map((letter) => letters.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + ahead));
  const tag = createHmac("sha1", key).update(step).digest();
  const number = tag.readUInt32BE(tag[19] & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

try {
  const laptop = await machine();
  const { page } = laptop;
  await signIn(page);
  await page.getByText("Your password is all there is").waitFor();
  await shot(page, "1-nothing-bound");
  await page.getByRole("button", { name: "Make a passkey" }).click();
  await page.getByLabel("What to call it").fill("Laptop");
  await page.getByRole("button", { name: "Make it" }).click();
  await page.getByRole("cell", { name: /Laptop/ }).waitFor();
  const kept = await laptop.devtools.send("WebAuthn.getCredentials", { authenticatorId: laptop.authenticatorId });
  seen(kept.credentials.length === 1 && kept.credentials[0].isResidentCredential && kept.credentials[0].rpId === "localhost", "a passkey is made");
  await shot(page, "2-passkey");
  await signOut(page);
  await page.getByRole("button", { name: "Use a passkey" }).click();
  await page.locator(".shell").waitFor();
  const me = await page.evaluate(() => fetch("/api/v1/me").then((answer) => answer.json()));
  seen(me.principal === "alice" && me.means.join() === "passkey", "it signs alice in, without name and password");
  await signOut(page);
  await laptop.devtools.send("WebAuthn.setUserVerified", { authenticatorId: laptop.authenticatorId, isUserVerified: false });
  await page.getByRole("button", { name: "Use a passkey" }).click();
  await page.getByText("No passkey was given").waitFor();
  seen(true, "a device that does not know her signs nobody in");
  await laptop.devtools.send("WebAuthn.setUserVerified", { authenticatorId: laptop.authenticatorId, isUserVerified: true });
  await page.getByRole("button", { name: "Use a passkey" }).click();
  await page.locator(".shell").waitFor();

  await page.goto(`${base}/account`);
  await page.getByRole("button", { name: "Set up an authenticator app" }).click();
  await page.getByRole("img", { name: "The secret as a QR code" }).waitFor();
  await page.getByText("I can't scan it").click();
  const secret = (await page.locator("details .command code").innerText()).replaceAll(" ", "");
  await shot(page, "3-authenticator-app");
  await page.getByLabel("Code", { exact: true }).fill(code(secret));
  await page.getByRole("button", { name: "Bind it" }).click();
  await page.getByText("Your recovery codes").waitFor();
  const codes = await page.locator(".codes li").allInnerTexts();
  seen(codes.length === 10 && new Set(codes).size === 10, "an authenticator app is bound, with ten recovery codes");
  await shot(page, "4-recovery-codes");
  await page.getByRole("button", { name: "I have kept them" }).click();

  const phone = await machine({ userAgent: "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/131.0 Mobile Safari/537.36" });
  await signIn(phone.page);
  await phone.page.getByRole("heading", { name: "Code of your app" }).waitFor();
  await phone.page.getByLabel("The six digits that it shows now").fill("000000");
  await phone.page.getByRole("button", { name: "Sign in", exact: true }).click();
  await phone.page.getByText("The code is wrong").waitFor();
  await shot(phone.page, "5-second-step");
  // The code of now bound the app; the next one is good already.
  await phone.page.getByLabel("The six digits that it shows now").fill(code(secret, 1));
  await phone.page.getByRole("button", { name: "Sign in", exact: true }).click();
  await phone.page.locator(".shell").waitFor();
  seen(true, "a code completes a sign-in");

  await page.goto(`${base}/account`);
  await page.getByText("Somebody signed in as you from a new place").waitFor();
  await shot(page, "6-new-place");
  seen(await phone.page.getByText("Somebody signed in as you from a new place").count() === 0, "a new place is told elsewhere and not there");
  await page.getByRole("button", { name: "It was not: end it" }).click();
  await page.getByText("That sign-in has ended").waitFor();
  await phone.page.goto(`${base}/account`);
  await phone.page.getByLabel("Password", { exact: true }).waitFor();
  seen(true, "it is ended from the other one");

  await signIn(phone.page);
  await phone.page.getByRole("button", { name: "I don't have the app" }).click();
  await phone.page.getByLabel("One of your recovery codes").fill(codes[4]);
  await phone.page.getByRole("button", { name: "Sign in", exact: true }).click();
  await phone.page.locator(".shell").waitFor();
  await phone.page.goto(`${base}/account`);
  await phone.page.getByText("9 left").waitFor();
  seen(true, "a recovery code stands in for the app, once");

  const desk = await machine();
  await desk.page.goto(`${base}/people`);
  await fillIn(desk.page, "dave");
  await desk.page.getByRole("row", { name: /Alice/ }).getByRole("button", { name: "Reset sign-in" }).click();
  await shot(desk.page, "7-reset");
  await desk.page.getByRole("button", { name: "Take it away" }).click();
  await desk.page.getByText("had bound counts no more", { exact: false }).waitFor();
  seen(await desk.page.getByRole("row", { name: /Dave/ }).getByRole("button", { name: "Reset sign-in" }).count() === 0, "nobody resets themselves");
  await phone.page.goto(`${base}/account`);
  await phone.page.getByLabel("Password", { exact: true }).waitFor();
  await signIn(phone.page);
  await phone.page.getByText("Your password is all there is").waitFor();
  seen(true, "what alice had bound is taken away by an administrator, and she begins anew");
} catch (error) {
  await stranded(browser, error);
} finally {
  await browser.close();
}
finish();
