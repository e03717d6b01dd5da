"""pydantic-ai asks in each dialect: an answer, one in pieces, one with a tool, a refusal."""

import asyncio
import json
import os

from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ThinkingPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

KINDS = {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel, "messages": AnthropicModel}


async def tell(kind):
    agent = Agent(kind(os.environ["MODEL"]))
    asked = []

    @agent.tool_plain
    def weather(city: str) -> str:
        asked.append(city)
        return "18 °C, rain"

    plain = await agent.run("What is 17 * 23?")
    parts = [part for message in plain.new_messages() for part in message.parts]
    async with agent.run_stream("What is 17 * 23?") as stream:
        streamed = await stream.get_output()
    with_tool = await agent.run("Which weather has Paris?")
    try:
        await agent.run("Refuse this")
        status = 200
    except ModelHTTPError as fault:
        status = fault.status_code
    has_thought = any(isinstance(part, ThinkingPart) for part in parts)
    return [plain.output, streamed, with_tool.output, asked, has_thought, status]


async def main():
    print(json.dumps({name: await tell(kind) for name, kind in KINDS.items()}))


asyncio.run(main())
