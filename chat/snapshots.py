"""A conversation's branch as a document of its own: questions, answers and the web pages they cite.

It holds what people may hand on and nothing else: no cost, no tool's input or result, no file. It is what a
shared link shows and what JSON exports hold, so its fields change only with VERSION.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from django.utils import timezone

from agents.passages import is_page
from chat import history
from chat.history import TurnView
from chat.models import Conversation, Turn

FORMAT = "kimi-k2-thinking/conversation"
VERSION = 1
QUOTE_CHARS = 400


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A web page that the answer cites as `number`, with the beginning of the passage that was read."""

    number: int
    title: str
    address: str
    quote: str
    read_at: datetime


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A question and its answer, both Markdown."""

    question: str
    answer: str
    model: str
    asked_at: datetime
    reasoning: str = ""
    thought_ms: int = 0
    sources: tuple[Source, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    format: str = FORMAT
    version: int = VERSION
    title: str
    made_at: datetime
    exchanges: tuple[Exchange, ...]


class NothingFinished(Exception):
    """The conversation has no finished answer yet."""


def of_branch(conversation: Conversation, *, with_reasoning: bool) -> Snapshot:
    """The branch on show, as far as it is finished. Raises NothingFinished."""
    return _of(conversation, history.branch(conversation), with_reasoning=with_reasoning)


def of_turn(turn: Turn, *, with_reasoning: bool) -> Snapshot:
    """It alone. Raises NothingFinished."""
    return _of(turn.conversation, [history.turn_view(turn)], with_reasoning=with_reasoning)


def _of(conversation: Conversation, views: Iterable[TurnView], *, with_reasoning: bool) -> Snapshot:
    views = [view for view in views if view.is_finished]
    if not views:
        raise NothingFinished
    return Snapshot(
        title=conversation.title,
        made_at=timezone.now(),
        exchanges=tuple(_exchange(view, with_reasoning=with_reasoning) for view in views),
    )


def _exchange(view: TurnView, *, with_reasoning: bool) -> Exchange:
    thought = [step for step in view.steps if step.reasoning and not step.is_draft and not step.is_undone]
    return Exchange(
        question=view.user_text,
        answer=view.answer,
        model=view.model_label,
        asked_at=view.turn.created_at,
        reasoning="\n\n".join(step.reasoning for step in thought) if with_reasoning else "",
        thought_ms=sum(step.duration_ms for step in thought) if with_reasoning else 0,
        sources=_sources(view),
    )


def _sources(view: TurnView) -> tuple[Source, ...]:
    """Of the passages only those of the web: others are files of the person."""
    return tuple(
        Source(
            number=number,
            title=passage.title,
            address=passage.source,
            quote=passage.text[:QUOTE_CHARS],
            read_at=passage.fetched_at,
        )
        for number, passage in sorted(view.passages.items())
        if is_page(passage.source)
    )
