"""A conversation with the official Python SDK, unmodified. Straight to the server or through the gateway it prints the same."""

import asyncio
import json
import os

import httpx2
from mcp import Client, StdioServerParameters, types
from mcp.client.streamable_http import streamable_http_client


def say(what, value):
    print(f"{what}: {json.dumps(value, sort_keys=True)}")


async def sampled(context, params):
    text = types.TextContent(type="text", text="sampled")
    return types.CreateMessageResult(model="none", role="assistant", content=text)


async def talk(server):
    async with Client(server, sampling_callback=sampled) as client:
        tools = (await client.list_tools()).tools
        say("tools", sorted(tool.name for tool in tools))

        async def call(name, arguments):
            steps = []

            async def progress(done, total, message):
                if done >= 1:
                    steps.append(done)

            try:
                result = await client.call_tool(name, arguments, progress_callback=progress)
                content = [item.model_dump(mode="json", exclude_none=True) for item in result.content]
                say(name, {"content": content, "error": result.is_error, "steps": steps[:3]})
            except Exception as error:  # What goes wrong is part of the conversation.
                say(name, {"raised": type(error).__name__, "message": str(error)})

        await call("echo", {"message": "hello \U0001F600 \u202e\n\"quoted\""})
        await call("get-sum", {"a": 1.5, "b": 2})
        await call("get-structured-content", {"location": "Chicago"})
        await call("trigger-long-running-operation", {"duration": 1, "steps": 4})
        await call("trigger-sampling-request", {"prompt": "p", "maxTokens": 7})
        say("prompts", sorted(prompt.name for prompt in (await client.list_prompts()).prompts))
        resources = (await client.list_resources()).resources
        say("resources", sorted(str(resource.uri) for resource in resources))
        read = await client.read_resource(str(resources[0].uri))
        say("resource", len(read.contents[0].text))


async def main():
    url, token, command = (os.environ.get(name) for name in ["MCP_URL", "MCP_TOKEN", "MCP_COMMAND"])
    if url is None:
        program, *args = command.split("\t")
        return await talk(StdioServerParameters(command=program, args=args))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        await talk(streamable_http_client(url, http_client=http))


asyncio.run(main())
