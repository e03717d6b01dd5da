"""What the choices of one call used together: their prompt once, their output all."""

from collections.abc import Sequence
from dataclasses import dataclass

from inference.schema import Usage
from webapp.api.chat_reply import Reply


@dataclass(frozen=True, kw_only=True)
class Bill:
    """`usage` is None where nothing is to be paid. `is_estimated`: a part of it was counted by nobody."""

    usage: Usage | None = None
    is_estimated: bool = False


def of(replies: Sequence[Reply], *, input_text: str) -> Bill:
    """The backend's counts, and estimates of what the choices said that it did not count: those that were
    cut, and all those of a provider that never counts.
    """
    is_counted = any(_is_counted(reply) for reply in replies)
    usages, is_estimated = [], False
    for reply in replies:
        if reply.finished and _is_counted(reply):
            usages.append(reply.finished.usage)
        elif not reply.is_empty:
            is_estimated = True
            usages.append(reply.estimated_usage(input_text="" if is_counted else input_text))
        elif reply.finished:
            usages.append(reply.finished.usage)
    return Bill(usage=_together(usages) if usages else None, is_estimated=is_estimated)


def _is_counted(reply: Reply) -> bool:
    return reply.finished is not None and reply.finished.usage.total_tokens > 0


def _together(usages: Sequence[Usage]) -> Usage:
    """The prompt is taken as the choice met it that found the least of it in the cache: the others found what
    that one had put there.
    """
    prompt = max(usages, key=lambda usage: usage.input_uncached_tokens, default=Usage())
    return Usage(
        input_uncached_tokens=prompt.input_uncached_tokens,
        input_cached_tokens=prompt.input_cached_tokens,
        output_tokens=sum(usage.output_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
    )
