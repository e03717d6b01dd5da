"""Searching and reading over MCP: the tools that turns have for it, each call on the user's account.

A call is checked, bounded, cached and cleaned as a turn's is. What it brings is a stranger's text, and says
so.
"""

import json
from collections import Counter
from typing import Any
from uuid import uuid4

import mcp_types
from django.conf import settings

from agents import passages
from agents.tool import Intent, Tool, ToolContext, ToolResult
from agents.tool_cache.redis_cache import RedisToolCache
from agents.tooling.outgoing import Secrets
from agents.tooling.policy import Policy
from agents.tooling.toolset import Toolset
from chat import search_tools
from webapp.accounts.models import User
from webapp.api import database
from webapp.billing import fees
from webapp.billing.refusals import InsufficientFunds

# What the calls of each user that are being carried out may cost: they are paid once they have brought
# something, and all of them must be payable.
_under_way: Counter[Any] = Counter()
_READS = mcp_types.ToolAnnotations(read_only_hint=True, open_world_hint=True)


class NotOffered(Exception):
    """No tool of this name searches or reads here."""


class Refused(Exception):
    """The call brought nothing; the text says what to do."""


async def offered() -> list[mcp_types.Tool]:
    """What this platform has set up, as it has."""
    tools = await database.run(search_tools.tools)
    return [
        mcp_types.Tool(
            name=tool.spec.name,
            description=tool.spec.description,
            input_schema=tool.spec.parameters,
            annotations=_READS,
        )
        for tool in tools
    ]


async def call(user: User, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What the tool brings, its passages numbered from 1. Raises NotOffered and Refused."""
    tools = await database.run(search_tools.tools)
    tool = next((tool for tool in tools if tool.spec.name == name), None)
    if tool is None:
        raise NotOffered(name)
    most_nano = getattr(tool, "price_nano", 0)
    _under_way[user.pk] += most_nano
    try:
        await database.run(fees.require, user, _under_way[user.pk])
        result = await _result(tool, user, arguments)
        if cost_nano := result.usage.cost_nano:
            await database.run(fees.charge, user, cost_nano, note=name)
    except InsufficientFunds as refusal:
        raise Refused(str(refusal)) from refusal
    finally:
        _under_way[user.pk] -= most_nano
        if not _under_way[user.pk]:
            del _under_way[user.pk]
    if result.is_error:
        raise Refused(result.for_model)
    return _brought(passages.numbered(result, first=1))


async def _result(tool: Tool, user: User, arguments: dict[str, Any]) -> ToolResult:
    key = uuid4().hex
    intent = Intent(
        step=1, index=0, call_id=key, name=tool.spec.name, arguments=json.dumps(arguments), key=key
    )
    policy = Policy(secrets=Secrets(settings.KEPT_SECRETS))
    async with RedisToolCache.opened(settings.REDIS_URL) as cache:
        toolset = Toolset([tool], policy=policy, cache=cache)
        # A person's calls go together as those of a turn do: nobody else reads what they have read.
        context = ToolContext(key=key, turn_id=f"mcp {user.pk}", tenant=str(user.pk))
        result = await toolset.run(intent, context)
    if not isinstance(result, ToolResult):
        raise Refused(f"{tool.spec.name} would wait for a person: nobody is there.")
    return result


def _brought(result: ToolResult) -> dict[str, Any]:
    return {
        "text": result.for_model,
        "trust": str(result.trust),
        "is_cached": result.is_cached,
        "passages": [
            {
                "number": number,
                "source": passage.source,
                "title": passage.title,
                "text": passage.text,
                "fetched_at": passage.fetched_at.isoformat(),
            }
            for number, passage in enumerate(result.passages, 1)
        ],
    }
