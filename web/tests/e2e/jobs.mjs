// A step of a pipeline, for real: an issuer of our own that signs as CI systems do, a demo whose bundle comes to name it, and
// the command line as a job runs it. Somebody else's tokens are tried as well.
//
//   BASE_URL        a demo's gateway
//   PASSWORD_BOB, PASSWORD_CAROL, PASSWORD_DAVE  theirs
//   COUNTERSIGN     the program

import { execFile, spawn } from "node:child_process";
import { generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { apply, base, caller, env, finish, problems, seen } from "./story.mjs";

const folder = mkdtempSync(join(tmpdir(), "countersign-jobs-"));

// The issuer: a document, a set of keys, and what GitHub's runners call for a token.
const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const evil = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const issuer = createServer((request, response) => {
  const url = new URL(request.url, at());
  const say = (value) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
  if (url.pathname === "/.well-known/openid-configuration") return say({ issuer: at(), jwks_uri: `${at()}/keys` });
  if (url.pathname === "/keys") return say({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "one", use: "sig", alg: "ES256" }] });
  if (url.pathname === "/token" && request.headers.authorization === "Bearer runner") {
    return say({ value: token({ aud: url.searchParams.get("audience") }) });
  }
  return response.writeHead(404).end();
});
const at = () => `http://localhost:${issuer.address().port}`;
await new Promise((ready) => issuer.listen(0, "localhost", ready));

/** What the issuer says of a job, as GitHub does. */
function token(changes = {}, key = privateKey) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    jti: randomUUID(), iss: at(), aud: base, sub: "repo:shop/app:ref:refs/heads/main", iat: now, nbf: now - 60, exp: now + 300,
    repository: "shop/app", repository_id: "74", ref: "refs/heads/main", sha: "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15", run_id: "1024",
    run_attempt: "1", workflow: "nightly", actor: "alice", ...changes,
  };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const message = `${part({ alg: "ES256", kid: "one", typ: "JWT" })}.${part(claims)}`;
  return `${message}.${sign("sha256", Buffer.from(message), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

/** Waits until there is something. */
async function until(what, look) {
  for (let tries = 0; tries < 600; tries += 1) {
    const found = await look();
    if (found) return found;
    await new Promise((later) => setTimeout(later, 100));
  }
  throw new Error(`waited in vain for ${what}`);
}

const children = [];
/** A job: the command line with nothing but what a runner gives it. */
function job(given, ...args) {
  const child = spawn(env.COUNTERSIGN, args, {
    env: { PATH: env.PATH, HOME: folder, COUNTERSIGN_URL: base, ...given }, stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  const run = { child, said: "", printed: "" };
  child.stderr.on("data", (chunk) => { run.said += chunk; });
  child.stdout.on("data", (chunk) => { run.printed += chunk; });
  run.ended = new Promise((ended) => child.on("close", ended));
  return run;
}

const ROLE = ["--role", "shop-reader", "--reason", "nightly report"];

try {
  const [bob, carol, dave] = await Promise.all(["bob", "carol", "dave"].map(caller));
  await apply(dave, carol, (files) => {
    files["people.toml"] += `
[issuer.ci]
url = "${at()}"
audience = "${base}"
[workload.nightly]
service = "ci"
issuer = "ci"
claims = { repository_id = "74", ref = "refs/heads/main" }
`;
  });
  const waiting = () => until("its request", async () => (await bob.call("/requests?inbox=true")).body.items.find((one) => one.by.name === "ci"));
  const grants = async () => (await bob.call("/grants")).body.items.filter((one) => one.principal === "ci").length;

  // What the documentation shows, as it stands there.
  const page = readFileSync(join(dirname(fileURLToPath(import.meta.url)), "../../../docs/operators/workloads.md"), "utf8");
  const script = /```sh\n# step\.sh\n([\s\S]*?)```/.exec(page)[1];
  writeFileSync(join(folder, "step.sh"), script);
  const step = spawn("sh", ["-eu", join(folder, "step.sh")], {
    env: {
      PATH: `${dirname(env.COUNTERSIGN)}${delimiter}${env.PATH}`, HOME: folder, COUNTERSIGN_URL: base,
      ACTIONS_ID_TOKEN_REQUEST_URL: `${at()}/token?api=1`, ACTIONS_ID_TOKEN_REQUEST_TOKEN: "runner",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(step);
  let printed = "";
  step.stdout.on("data", (chunk) => { printed += chunk; });
  step.stderr.on("data", (chunk) => { printed += chunk; });
  const ended = new Promise((done) => step.on("close", done));
  const asked = await waiting();
  const shown = (await bob.call(`/requests/${asked.id}`)).body;
  const said = Object.fromEntries(shown.settings.map((one) => [one.name, one.value]));
  seen(said["job.sha"] === "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15" && said["job.run_id"] === "1024" && said["job.issuer"] === "ci", "whoever is asked sees the commit and the job, by the issuer's word");
  const busy = job({ COUNTERSIGN_ID_TOKEN: token() }, "run", ...ROLE, "--", "true");
  seen((await busy.ended) !== 0 && busy.said.includes("another job"), "a second job of the service does not ride along");
  await bob.call(`/requests/${asked.id}/approve`, {});
  const code = await ended;
  seen(code === 0 && /orders/.test(printed), `the step of the documentation runs its query through the gateway${code === 0 ? "" : `: ${printed}`}`);
  seen((await grants()) === 0, "and when it has ended so has its access");

  for (const [what, wrong] of [
    ["of another branch", token({ ref: "refs/heads/feature" })],
    ["of another repository", token({ repository_id: "75" })],
    ["that is meant for another", token({ aud: "https://other.example" })],
    ["of another issuer", token({ iss: "https://evil.example" })],
    ["that is over", token({ iat: 1_000_000_000, exp: 1_000_000_300 })],
    ["that another key signed", token({}, evil)],
    ["that nobody signed", `${token().split(".").slice(0, 2).join(".")}.`],
    ["that is none", "guessed"],
  ]) {
    const run = job({ COUNTERSIGN_ID_TOKEN: wrong }, "run", ...ROLE, "--", "true");
    seen((await run.ended) !== 0 && run.said.includes("no service here"), `a token ${what} lets nobody in`);
  }

  // A token counts once, and a job that was denied runs nothing.
  const once = token();
  const denied = job({ COUNTERSIGN_ID_TOKEN: once }, "run", ...ROLE, "--", "touch", join(folder, "ran"));
  const refused = await waiting();
  await bob.call(`/requests/${refused.id}/deny`, { comment: "not tonight" });
  seen((await denied.ended) === 3 && denied.said.includes("not tonight") && !readdirSync(folder).includes("ran"), "a job that is denied runs nothing");
  const again = job({ COUNTERSIGN_ID_TOKEN: once }, "run", ...ROLE, "--", "true");
  seen((await again.ended) !== 0 && again.said.includes("no service here"), "a token counts once");

  // A job that is told to end takes its command and its access along.
  const long = job({ COUNTERSIGN_ID_TOKEN: token() }, "run", ...ROLE, "--", "sh", "-c", `psql "$DATABASE_URL" -Atc "select 'began'" && exec sleep 300`);
  await bob.call(`/requests/${(await waiting()).id}/approve`, {});
  await until("its command", () => long.printed.includes("began"));
  seen((await grants()) === 1, "a job has its grant while it runs");
  long.child.kill("SIGTERM");
  seen((await long.ended) === 143 && (await grants()) === 0, "and none when it is told to end");
  const found = await promisify(execFile)("grep", ["-rl", "PRIVATE KEY", folder]).catch(() => ({ stdout: "" }));
  seen(found.stdout === "" && readdirSync(folder).join() === "step.sh", "nothing of a job is left on its disk");
} catch (error) {
  problems.push(error.stack ?? String(error));
} finally {
  for (const child of children) child.kill();
  issuer.close();
  rmSync(folder, { recursive: true, force: true });
}
finish();
