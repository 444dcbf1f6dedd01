// A server for the official conformance suite: everything that its scenarios ask a server for, with the official TypeScript SDK.
// It listens on PORT of this machine.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { McpServer, ResourceTemplate } from "@modelcontextprotocol/sdk/server/mcp.js";
import { createMcpExpressApp } from "@modelcontextprotocol/sdk/server/express.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { completable } from "@modelcontextprotocol/sdk/server/completable.js";
import {
  CreateMessageResultSchema, ElicitResultSchema, ListToolsRequestSchema, SetLevelRequestSchema, SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA==";
const SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  $defs: { address: { type: "object", properties: { street: { type: "string" }, city: { type: "string" } } } },
  properties: { name: { type: "string" }, address: { $ref: "#/$defs/address" } },
  additionalProperties: false,
};
const text = (words) => ({ type: "text", text: words });
const image = { type: "image", data: PIXEL, mimeType: "image/png" };
const resource = (uri, mimeType, words) => ({ type: "resource", resource: { uri, mimeType, text: words } });
const said = (...content) => ({ content });
const user = (content) => ({ role: "user", content });

const DEFAULTS = {
  name: { type: "string", default: "John Doe" },
  age: { type: "integer", default: 30 },
  score: { type: "number", default: 95.5 },
  status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
  verified: { type: "boolean", default: true },
};
const titled = (...words) => words.map((title, index) => ({ const: `value${index + 1}`, title }));
const OPTIONS = ["option1", "option2", "option3"];
const ENUMS = {
  untitledSingle: { type: "string", enum: OPTIONS },
  titledSingle: { type: "string", oneOf: titled("First Option", "Second Option", "Third Option") },
  legacyEnum: { type: "string", enum: ["opt1", "opt2", "opt3"], enumNames: ["Option One", "Option Two", "Option Three"] },
  untitledMulti: { type: "array", items: { type: "string", enum: OPTIONS } },
  titledMulti: { type: "array", items: { anyOf: titled("First Choice", "Second Choice", "Third Choice") } },
};

function tools(server) {
  const tool = (name, does, inputSchema) => server.registerTool(name, { description: `for ${name}`, inputSchema }, does);
  const elicit = async (extra, message, properties, required) => {
    const params = { message, requestedSchema: { type: "object", properties, required } };
    return extra.sendRequest({ method: "elicitation/create", params }, ElicitResultSchema);
  };
  tool("test_simple_text", async () => said(text("This is a simple text response for testing.")));
  tool("test_image_content", async () => said(image));
  tool("test_audio_content", async () => said({ type: "audio", data: SILENCE, mimeType: "audio/wav" }));
  tool("test_embedded_resource", async () =>
    said(resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")));
  tool("test_multiple_content_types", async () =>
    said(text("Multiple content types test:"), image,
      resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')));
  tool("test_error_handling", async () => {
    throw new Error("This tool intentionally returns an error for testing");
  });
  tool("test_tool_with_logging", async (extra) => {
    for (const words of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
      await extra.sendNotification({ method: "notifications/message", params: { level: "info", data: words } });
      await sleep(50);
    }
    return said(text("It was told three times."));
  });
  tool("test_tool_with_progress", async (extra) => {
    const progressToken = extra._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) {
        await extra.sendNotification({ method: "notifications/progress", params: { progressToken, progress, total: 100 } });
      }
      await sleep(50);
    }
    return said(text(String(progressToken)));
  });
  tool("test_sampling", async ({ prompt }, extra) => {
    const params = { messages: [user(text(prompt))], maxTokens: 100 };
    const { content } = await extra.sendRequest({ method: "sampling/createMessage", params }, CreateMessageResultSchema);
    return said(text(`LLM response: ${content.text}`));
  }, { prompt: z.string() });
  tool("test_elicitation", async ({ message }, extra) => {
    const asked = { username: { type: "string" }, email: { type: "string" } };
    const { action, content } = await elicit(extra, message, asked, ["username", "email"]);
    return said(text(`User response: action=${action}, content=${JSON.stringify(content)}`));
  }, { message: z.string() });
  for (const [name, properties] of [["sep1034_defaults", DEFAULTS], ["sep1330_enums", ENUMS]]) {
    tool(`test_elicitation_${name}`, async (extra) => {
      const { action, content } = await elicit(extra, "Say what you like.", properties, []);
      return said(text(`Elicitation completed: action=${action}, content=${JSON.stringify(content)}`));
    });
  }
  tool("test_reconnection", async () => said(text("Nothing was cut off.")));
  tool("json_schema_2020_12_tool", async () => said(text("It has a schema.")), {});
  // The SDK writes schemas anew; this one is to be listed as it stands.
  const list = server.server._requestHandlers.get("tools/list");
  server.server.setRequestHandler(ListToolsRequestSchema, async (request, extra) => {
    const listed = await list(request, extra);
    listed.tools.find((tool) => tool.name === "json_schema_2020_12_tool").inputSchema = SCHEMA;
    return listed;
  });
}

function resources(server) {
  const told = (mimeType) => ({ description: "for the scenarios", mimeType });
  const texts = {
    "test://static-text": "This is the content of the static text resource.",
    "test://watched-resource": "It is watched.",
  };
  for (const [uri, words] of Object.entries(texts)) {
    server.registerResource(uri, uri, told("text/plain"), async () => ({ contents: [{ uri, mimeType: "text/plain", text: words }] }));
  }
  const uri = "test://static-binary";
  server.registerResource(uri, uri, told("image/png"), async () => ({ contents: [{ uri, mimeType: "image/png", blob: PIXEL }] }));
  const template = new ResourceTemplate("test://template/{id}/data", { list: undefined });
  server.registerResource("template", template, told("application/json"), async (uri, { id }) => {
    const data = { id, templateTest: true, data: `Data for ID: ${id}` };
    return { contents: [{ uri: uri.href, mimeType: "application/json", text: JSON.stringify(data) }] };
  });
  server.server.registerCapabilities({ resources: { subscribe: true }, logging: {} });
  for (const schema of [SubscribeRequestSchema, UnsubscribeRequestSchema, SetLevelRequestSchema]) {
    server.server.setRequestHandler(schema, async () => ({}));
  }
}

function prompts(server) {
  const prompt = (name, does, argsSchema) => server.registerPrompt(name, { description: `for ${name}`, argsSchema }, does);
  prompt("test_simple_prompt", async () => ({ messages: [user(text("This is a simple prompt for testing."))] }));
  prompt("test_prompt_with_arguments", async ({ arg1, arg2 }) =>
    ({ messages: [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))] }),
  { arg1: completable(z.string(), (value) => ["paris", "park", "party"].filter((one) => one.startsWith(value))), arg2: z.string() });
  prompt("test_prompt_with_embedded_resource", async ({ resourceUri }) => ({
    messages: [
      user(resource(resourceUri, "text/plain", "Embedded resource content for testing.")),
      user(text("Please process the embedded resource above.")),
    ],
  }), { resourceUri: z.string() });
  prompt("test_prompt_with_image", async () => ({ messages: [user(image), user(text("Please analyze the image above."))] }));
}

const sessions = new Map();
const app = createMcpExpressApp();
app.all("/mcp", async (request, response) => {
  let transport = sessions.get(request.headers["mcp-session-id"]);
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (name) => sessions.set(name, transport),
      onsessionclosed: (name) => sessions.delete(name),
    });
    const server = new McpServer({ name: "conformance", version: "1" });
    resources(server);
    tools(server);
    prompts(server);
    await server.connect(transport);
  }
  await transport.handleRequest(request, response, request.body);
});
app.listen(Number(process.env.PORT), "127.0.0.1");
