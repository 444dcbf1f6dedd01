// A conversation with the official server of files, by the official TypeScript SDK. Straight to the server or through the gateway
// it prints the same.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const { MCP_URL: url, MCP_TOKEN: token, MCP_COMMAND: command, MCP_FILES: files } = process.env;
const transport = url
  ? new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } })
  : new StdioClientTransport({ command: command.split("\t")[0], args: command.split("\t").slice(1) });
const client = new Client({ name: "files", version: "1" });
await client.connect(transport);
console.log((await client.listTools()).tools.map((tool) => tool.name).sort().join(" "));
const call = async (name, args) => {
  const { content, isError } = await client.callTool({ name, arguments: args });
  console.log(`${name}: ${JSON.stringify(content)}${isError ? " failed" : ""}`);
};
await call("write_file", { path: `${files}/a.txt`, content: "one\ntwo\n\u{1F600}\n" });
await call("read_text_file", { path: `${files}/a.txt` });
await call("read_text_file", { path: `${files}/a.txt`, head: 1 });
await call("list_directory", { path: files });
await call("search_files", { path: files, pattern: "*.txt" });
await call("read_text_file", { path: `${files}/../a.txt` });
await call("read_text_file", { path: `${files}/nothing` });
await client.close();
