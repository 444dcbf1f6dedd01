// The official TypeScript SDK with its own OAuth client, which is given the address of a server and nothing else. Before the gateway
// its person lets it in, as a browser would; straight to the server there is nobody to ask. Both ways it prints the same.
import { auth, UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const say = (what, value) => console.log(`${what}: ${JSON.stringify(value)}`);
const must = (is, what) => {
  if (!is) throw new Error(what);
};

const url = new URL(process.env.MCP_URL);
const [name, password] = process.env.MCP_PERSON?.split(":") ?? [];

/** What the SDK remembers of itself, and where it has a browser go. */
class Memory {
  redirectUrl = "http://127.0.0.1:33418/callback";
  clientMetadata = {
    client_name: "conversation", redirect_uris: [this.redirectUrl], grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"], token_endpoint_auth_method: "none",
  };
  state = () => "what the client said";
  clientInformation = () => this.client;
  saveClientInformation = (client) => void (this.client = client);
  tokens = () => this.kept;
  saveTokens = (tokens) => void (this.kept = tokens);
  codeVerifier = () => this.verifier;
  saveCodeVerifier = (verifier) => void (this.verifier = verifier);
  redirectToAuthorization = (page) => void (this.page = page);
}

/** Says yes at the console, as the page there does. */
async function letIn(page) {
  must(page.origin === url.origin && page.pathname === "/authorize", `the browser is sent to ${page}`);
  const call = async (path, body, cookie) => {
    const headers = { "content-type": "application/json", "x-countersign": "1", ...(cookie && { cookie }) };
    const answer = await fetch(`${page.origin}/api/v1${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    must(answer.ok, `${path}: ${answer.status} ${await answer.clone().text()}`);
    return answer;
  };
  const cookie = (await call("/sign-in", { user: name, password })).headers.get("set-cookie").split(";")[0];
  const request = Object.fromEntries(page.searchParams);
  const asked = await (await call("/me/client", request, cookie)).json();
  must(asked.client === "conversation" && asked.here, `the person is shown ${JSON.stringify(asked)}`);
  const { redirect_to } = await (await call("/me/client/answer", { request, allow: true }, cookie)).json();
  const back = new URL(redirect_to).searchParams;
  must(back.get("state") === "what the client said" && back.get("iss") === page.origin, `the client is told ${redirect_to}`);
  return back.get("code");
}

const memory = new Memory();
const begin = async () => {
  const client = new Client({ name: "conversation", version: "1" });
  const transport = new StreamableHTTPClientTransport(url, name ? { authProvider: memory } : {});
  try {
    await client.connect(transport);
  } catch (error) {
    must(name && error instanceof UnauthorizedError, error.stack);
    await transport.finishAuth(await letIn(memory.page));
    return begin();
  }
  return client;
};
const client = await begin();
say("server", client.getServerVersion().name);
say("tools", (await client.listTools()).tools.map((tool) => tool.name).sort());
const call = async (tool, args) => say(tool, (await client.callTool({ name: tool, arguments: args })).content);
await call("echo", { message: "hello" });
if (name) {
  // The next token, by the last one; and one that the gateway does not know, for which the SDK gets the next by itself.
  const before = memory.tokens();
  must(await auth(memory, { serverUrl: url }) === "AUTHORIZED", "no next token");
  must(memory.tokens().refresh_token !== before.refresh_token, "the refresh token is the same");
  memory.saveTokens({ ...memory.tokens(), access_token: "over" });
}
await call("get-sum", { a: 1.5, b: 2 });
await client.close();
