"""A stored step of a turn as pages and snapshots show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from agents.transcript import Note
from chat.models import Message, Part, ToolRun, Turn


@dataclass(frozen=True, kw_only=True)
class ToolCallView:
    """`result` is None while the call runs or waits; `num_chars` of it there are, which may be more than were
    read. `decision` is what a person said to it."""

    id: str
    name: str
    arguments: str
    result: str | None
    is_error: bool
    duration_ms: int
    is_cached: bool = False
    is_waiting: bool = False
    decision: str = ""
    is_edited: bool = False
    num_chars: int = 0


@dataclass(frozen=True, kw_only=True)
class StepView:
    """One model call, its tool calls and what the platform noted behind them. `num_tokens` and `duration_ms`
    are the reasoning's. What a draft or an undone step says is no part of the answer."""

    number: int
    reasoning: str
    reasoning_html: str
    num_tokens: int
    duration_ms: int
    content: str
    content_html: str
    tool_calls: tuple[ToolCallView, ...]
    finish_reason: str
    at: datetime
    notes: tuple[Note, ...] = ()
    is_draft: bool = False
    is_undone: bool = False


def of_messages(
    messages: list[Message],
    turn: Turn,
    *,
    runs: Mapping[str, ToolRun],
    notes: tuple[Note, ...],
    is_draft: bool,
    is_undone: bool,
) -> StepView:
    """One step, of its messages in their order and its calls' newest runs by their ids."""
    reply = messages[0]
    parts = list(reply.parts.all()) if reply.role == Message.Role.ASSISTANT else []
    reasoning = _part(parts, Part.Kind.REASONING)
    content = _part(parts, Part.Kind.TEXT)
    results = {
        part.tool_call_id: part
        for message in messages[1:]
        if message.role == Message.Role.TOOL
        for part in message.parts.all()
    }
    is_over = turn.status == Turn.Status.FINISHED
    return StepView(
        number=reply.step,
        reasoning=reasoning.text,
        reasoning_html=reasoning.html,
        num_tokens=reasoning.num_tokens,
        duration_ms=reasoning.duration_ms,
        content=content.text,
        content_html=content.html,
        tool_calls=tuple(_calls(parts, results, runs, is_over=is_over)),
        finish_reason=reply.finish_reason,
        at=reply.created_at,
        notes=notes,
        is_draft=is_draft,
        is_undone=is_undone,
    )


def _part(parts: list[Part], kind: Part.Kind) -> Part:
    return next((part for part in parts if part.kind == kind), Part(kind=kind))


def _calls(
    parts: list[Part], results: dict[str, Part], runs: Mapping[str, ToolRun], *, is_over: bool
) -> Iterable[ToolCallView]:
    for part in parts:
        if part.kind != Part.Kind.TOOL_CALL:
            continue
        result = results.get(part.tool_call_id)
        run = runs.get(part.tool_call_id)
        missing = _("Stopped before it had a result.") if is_over else None
        yield ToolCallView(
            id=part.tool_call_id,
            name=part.tool_name,
            arguments=part.text,
            result=result.text if result else missing,
            is_error=result.is_error if result else is_over,
            duration_ms=result.duration_ms if result else 0,
            is_cached=run is not None and run.is_cached,
            is_waiting=run is not None and not is_over and run.state == ToolRun.State.WAITING,
            decision=run.decision if run else "",
            is_edited=run is not None and run.edition > 0,
            num_chars=getattr(result, "num_chars", len(result.text)) if result else 0,
        )
