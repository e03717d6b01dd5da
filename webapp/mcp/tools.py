"""What other programs may do here over MCP, each tool one call of the chat: start a turn, ask how far it is,
stop it, search; and the tools by which turns search and read (webapp.mcp.looking). Everything is done in the
name of the key's user.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Literal
from uuid import UUID, uuid4

import msgspec
from mcp_types import Tool, ToolAnnotations

from chat import dispatch, reports
from chat.dispatch import Refusal
from chat.frames import Limits, TurnSend
from chat.models import Turn
from webapp.accounts.models import User
from webapp.api import database
from webapp.catalog.models import ServedModel
from webapp.mcp import looking

POLL_S = 0.25
MAX_WAIT_S = 30.0
MAX_HITS = 50


class ToolRefused(Exception):
    """The tool was not carried out; the text says what to do."""


class _Submit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    question: str
    model: str = ""
    long_thinking: bool = True
    effort: Literal["auto", "low", "high", "heavy"] = "auto"
    limits: Limits = Limits()
    conversation: str | None = None
    request_id: UUID | None = None


class _Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    run: UUID
    wait_s: float = 0.0


class _Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    run: UUID


class _Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    query: str
    limit: int = 10


async def call(user: User, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What the tool brings, as JSON. Raises ToolRefused."""
    if name not in _TOOLS:
        return await _look(user, name, arguments)
    kind, run = _TOOLS[name]
    try:
        return await run(user, msgspec.convert(arguments, kind))
    except msgspec.ValidationError as fault:
        raise ToolRefused(f"The arguments of {name} are wrong: {fault}.") from fault
    except Refusal as refusal:
        raise ToolRefused(refusal.message) from refusal
    except Turn.DoesNotExist:
        raise ToolRefused("There is no such run.") from None


async def offered() -> list[Tool]:
    """What a model is told of them."""
    return [*OFFERED, *await looking.offered()]


async def _look(user: User, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        return await looking.call(user, name, arguments)
    except looking.Refused as refusal:
        raise ToolRefused(str(refusal)) from refusal
    except looking.NotOffered:
        known = ", ".join(tool.name for tool in await offered())
        raise ToolRefused(f"There is no tool {name[:80]!r}. Tools: {known}.") from None


async def _submit(user: User, wanted: _Submit) -> dict[str, Any]:
    return await database.run(_start, user, wanted)


def _start(user: User, wanted: _Submit) -> dict[str, Any]:
    command = TurnSend(
        client_id=str(wanted.request_id or uuid4()),
        text=wanted.question,
        model=wanted.model or _first_model(),
        conversation=wanted.conversation,
        long_thinking=wanted.long_thinking,
        effort=wanted.effort,
        limits=wanted.limits,
    )
    turn = dispatch.submit_turn(user, command)
    return {"run": str(turn.id), "conversation": str(turn.conversation_id), "status": turn.status}


async def _status(user: User, wanted: _Status) -> dict[str, Any]:
    give_up_at = time.monotonic() + min(max(wanted.wait_s, 0.0), MAX_WAIT_S)
    # Waits here, not on one of the database's few threads.
    while not await database.run(reports.is_at_rest, user, wanted.run) and time.monotonic() < give_up_at:
        await asyncio.sleep(POLL_S)
    return _named(asdict(await database.run(reports.report, user, wanted.run)))


async def _cancel(user: User, wanted: _Cancel) -> dict[str, Any]:
    await database.run(dispatch.stop, user, wanted.run)
    return _named(asdict(await database.run(reports.report, user, wanted.run)))


async def _search(user: User, wanted: _Search) -> dict[str, Any]:
    if not wanted.query.strip():
        raise ToolRefused("The query is empty.")
    most = min(max(wanted.limit, 1), MAX_HITS)
    hits = await database.run(reports.search, user, wanted.query[:500], most=most)
    return {"results": [_named(asdict(hit)) for hit in hits]}


def _named(values: dict[str, Any]) -> dict[str, Any]:
    """A turn is called a run here, which is what programs know."""
    return {"run" if name == "turn" else name: value for name, value in values.items()}


def _first_model() -> str:
    model = ServedModel.objects.offered().first()
    if model is None:
        raise ToolRefused("No model is on offer here. Ask an administrator.")
    return model.name


_Run = Callable[[User, Any], Awaitable[dict[str, Any]]]
_TOOLS: dict[str, tuple[type[msgspec.Struct], _Run]] = {
    "run_submit": (_Submit, _submit),
    "run_status": (_Status, _status),
    "run_cancel": (_Cancel, _cancel),
    "search": (_Search, _search),
}


# ---- what a model is told of them

_COUNT = {"type": "integer", "minimum": 1}
_LIMITS = {
    "type": "object",
    "description": "Limits of the run in place of the effort's own.",
    "properties": {
        "max_steps": _COUNT,
        "max_seconds": _COUNT,
        "max_reasoning_tokens": {"type": "integer", "minimum": 0},
        "max_cost": {"type": "string", "description": "An amount of money, like 0.50."},
        "max_total_tokens": _COUNT,
        "max_sandbox_seconds": _COUNT,
        "max_fetched_bytes": _COUNT,
        "max_calls_per_tool": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
    },
    "additionalProperties": False,
}
_RUN = {"type": "string", "format": "uuid", "description": "The id that run_submit gave."}
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)


def _schema(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


OFFERED = [
    Tool(
        name="run_submit",
        description=(
            "Start a run: the model thinks, uses tools and answers, for seconds to hours, whoever watches. "
            "Returns its id at once; ask run_status for the answer."
        ),
        input_schema=_schema(
            {
                "question": {"type": "string", "minLength": 1},
                "model": {"type": "string", "description": "A model on offer; the first one if left out."},
                "long_thinking": {"type": "boolean", "default": True},
                "effort": {"type": "string", "enum": ["auto", "low", "high", "heavy"], "default": "auto"},
                "limits": _LIMITS,
                "conversation": {"type": "string", "description": "The conversation to go on with."},
                "request_id": {
                    "type": "string",
                    "format": "uuid",
                    "description": "An id of yours: the same one again starts no second run.",
                },
            },
            "question",
        ),
        annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False),
    ),
    Tool(
        name="run_status",
        description=(
            "How far a run is: queued, running, waiting (for a person, named in `waiting`) or finished, with "
            "its answer so far."
        ),
        input_schema=_schema(
            {
                "run": _RUN,
                "wait_s": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": MAX_WAIT_S,
                    "description": "Wait so long for it to finish.",
                },
            },
            "run",
        ),
        annotations=_READS,
    ),
    Tool(
        name="run_cancel",
        description="Stop a run. What it has answered so far is kept and billed.",
        input_schema=_schema({"run": _RUN}, "run"),
        annotations=ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True),
    ),
    Tool(
        name="search",
        description="Find messages and answers in your conversations that hold all words of the query.",
        input_schema=_schema(
            {
                "query": {"type": "string", "minLength": 1},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_HITS, "default": 10},
            },
            "query",
        ),
        annotations=_READS,
    ),
]
