// A conversation with the official inspector's command line, unmodified. Straight to the server or through the gateway it prints
// the same.
import { execFileSync } from "node:child_process";

const { MCP_URL: url, MCP_TOKEN: token, MCP_COMMAND: command } = process.env;
const target = url ? [url, ...(token ? ["--header", `Authorization: Bearer ${token}`] : [])] : command.split("\t");
const ask = (...what) => {
  const args = ["node_modules/.bin/mcp-inspector", "--cli", ...target, ...what];
  let said;
  try {
    said = execFileSync("node", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    said = `failed with ${error.status}`;
  }
  console.log(`${what.slice(1).join(" ")}: ${said.trim()}`);
};
ask("--method", "tools/list");
ask("--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hello");
ask("--method", "tools/call", "--tool-name", "get-sum", "--tool-arg", "a=1", "--tool-arg", "b=2");
ask("--method", "prompts/list");
ask("--method", "prompts/get", "--prompt-name", "simple-prompt");
ask("--method", "resources/list");
ask("--method", "resources/templates/list");
