// The official conformance suite in its server mode, unmodified. Straight to the server or through the gateway it prints the same:
// what each of its checks found. A check that fails fails it.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer, request as call } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SUITE = ["--import", "./conformance_fs.mjs", "node_modules/@modelcontextprotocol/conformance/dist/index.js"];
/** What cannot apply, and why. */
const LEFT_OUT = {
  "server-sse-polling": "it is about taking up an answer again after the connection was cut off, which the gateway does not do",
};
/** What is looked at only if answers are streams, which they need not be: it is told where it fails. */
const OF_STREAMS = "server-sse-streams-functional";

const upstream = new URL(process.env.MCP_URL);
const token = process.env.MCP_TOKEN;

/** The suite shows no credential. In front of the gateway stands what shows one; whoever comes by its name comes by the gateway's. */
const sessions = new Set();
const front = createServer((asked, answer) => {
  const own = `127.0.0.1:${front.address().port}`;
  const headers = Object.fromEntries(Object.entries(asked.headers).map(([name, value]) => [name, `${value}`.replace(own, upstream.host)]));
  if (token) headers.authorization = `Bearer ${token}`;
  const on = call(upstream, { method: asked.method, headers }, (got) => {
    if (got.headers["mcp-session-id"]) sessions.add(got.headers["mcp-session-id"]);
    answer.writeHead(got.statusCode, got.headers);
    got.pipe(answer);
  });
  on.on("error", () => answer.destroy());
  answer.on("close", () => on.destroy());
  asked.pipe(on);
});
await new Promise((listens) => front.listen(0, "127.0.0.1", listens));
const url = `http://127.0.0.1:${front.address().port}/mcp`;
/** The suite leaves its sessions open, of which nobody may have many. */
async function leave() {
  for (const session of sessions) await fetch(url, { method: "DELETE", headers: { "mcp-session-id": session } });
  sessions.clear();
}

const listed = execFileSync("node", [...SUITE, "list", "--server"], { encoding: "utf8" });
const scenarios = [...listed.matchAll(/^ {2}- (\S+)/gm)].map(([, name]) => name);
for (const scenario of scenarios.filter((name) => !(name in LEFT_OUT))) {
  const folder = mkdtempSync(join(tmpdir(), "conformance-"));
  const args = ["server", "--url", url, "--scenario", scenario, "--output-dir", folder];
  // It ends with an error where a check fails, which is told below.
  await new Promise((ended) => spawn("node", [...SUITE, ...args], { stdio: "ignore" }).on("close", ended));
  const [played] = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith("checks.json"));
  const checks = played ? JSON.parse(readFileSync(join(folder, played), "utf8")) : [{ id: scenario, status: "WAS NOT PLAYED" }];
  rmSync(folder, { recursive: true });
  await leave();
  for (const { id, status, errorMessage } of checks) {
    if (status === "INFO" || (status === "SUCCESS" && id === OF_STREAMS)) continue;
    console.log(`${scenario}: ${id}: ${status}${errorMessage ? `: ${errorMessage}` : ""}`);
    if (status !== "SUCCESS") process.exitCode = 1;
  }
}
for (const [scenario, why] of Object.entries(LEFT_OUT)) console.log(`${scenario}: left out: ${why}`);
front.close();
front.closeAllConnections();
