// A conversation with the official TypeScript SDK, unmodified. Straight to the server or through the gateway it prints the same.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";

const say = (what, value) => console.log(`${what}: ${JSON.stringify(value)}`);

const client = new Client(
  { name: "conversation", version: "1" },
  { capabilities: { sampling: {}, elicitation: {}, roots: { listChanged: true } } },
);
client.setRequestHandler(CreateMessageRequestSchema, async () => ({
  model: "none",
  role: "assistant",
  content: { type: "text", text: "sampled" },
}));
client.setRequestHandler(ListRootsRequestSchema, async () => ({ roots: [{ uri: "file:///tmp", name: "tmp" }] }));
client.setRequestHandler(ElicitRequestSchema, async () => ({ action: "decline" }));

const { MCP_URL: url, MCP_TOKEN: token, MCP_COMMAND: command } = process.env;
const transport = url
  ? new StreamableHTTPClientTransport(new URL(url), {
      requestInit: token ? { headers: { Authorization: `Bearer ${token}` } } : {},
    })
  : new StdioClientTransport({ command: command.split("\t")[0], args: command.split("\t").slice(1) });
await client.connect(transport);
say("server", client.getServerVersion().name);
const capabilities = client.getServerCapabilities();
say("capabilities", ["tools", "prompts", "resources", "logging", "completions"].filter((name) => name in capabilities));

const tools = (await client.listTools()).tools;
say("tools", tools.map((tool) => tool.name).sort());
say("schema", tools.find((tool) => tool.name === "get-sum")?.inputSchema);
const call = async (name, args, options) => {
  try {
    const found = await client.callTool({ name, arguments: args }, undefined, options);
    say(name, found.structuredContent ?? found.content);
  } catch (error) {
    say(name, { code: error.code, message: error.message });
  }
};
await call("echo", { message: "hello \u{1F600} \u202e\n\"quoted\"" });
await call("get-sum", { a: 1.5, b: 2 });
await call("get-structured-content", { location: "New York" });
await call("get-annotated-message", { messageType: "error", includeImage: false });
await call("get-tiny-image", {});
const steps = [];
await call("trigger-long-running-operation", { duration: 1, steps: 4 }, {
  onprogress: (progress) => steps.push(progress.progress),
});
// The last may come with the answer, and go unheard.
say("progress", steps.filter((step) => step >= 1).slice(0, 3));
await call("trigger-sampling-request", { prompt: "p", maxTokens: 7 });
const prompts = (await client.listPrompts()).prompts;
say("prompts", prompts.map((prompt) => prompt.name).sort());
say("prompt", (await client.getPrompt({ name: "simple-prompt" })).messages);
const resources = (await client.listResources()).resources;
say("resources", resources.map((resource) => resource.uri).sort());
say("resource", (await client.readResource({ uri: resources[0].uri })).contents[0].text?.length);
say("templates", (await client.listResourceTemplates()).resourceTemplates.length);
say("ping", await client.ping());
try {
  await client.request({ method: "nothing/of/this" }, (await import("zod")).z.any());
} catch (error) {
  say("unknown", typeof error.code);
}
await client.close();
