"""The Agents SDK of OpenAI over both of its APIs: an answer, one in pieces, one with a tool, a refusal."""

import asyncio
import json
import os

from openai import BadRequestError

from agents import Agent, Runner, function_tool, set_default_openai_api, set_tracing_disabled

set_tracing_disabled(True)
asked = []


@function_tool
def weather(city: str) -> str:
    """The weather of a city."""
    asked.append(city)
    return "18 °C, rain"


async def tell():
    agent = Agent(name="a", instructions="Be brief.", model=os.environ["MODEL"], tools=[weather])
    plain = await Runner.run(agent, "What is 17 * 23?")
    stream = Runner.run_streamed(agent, "What is 17 * 23?")
    pieces = [
        event.data.delta
        async for event in stream.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    with_tool = await Runner.run(agent, "Which weather has Paris?")
    try:
        await Runner.run(agent, "Refuse this")
        status = 200
    except BadRequestError as fault:
        status = fault.status_code
    kinds = [item.type for item in plain.new_items]
    has_thought = "reasoning_item" in kinds
    return [plain.final_output, "".join(pieces), with_tool.final_output, has_thought, status]


async def main():
    told = {}
    for api in ("responses", "chat_completions"):
        set_default_openai_api(api)
        told[api] = await tell()
    print(json.dumps(told | {"asked": asked}))


asyncio.run(main())
