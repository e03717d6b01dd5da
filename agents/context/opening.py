"""The opening of a turn within a part of the window: a long conversation loses its oldest turns first."""

import msgspec

from agents.context import rendering
from agents.context.sizes import FRAME_TOKENS, CountTokens, cut, tokens_of
from inference.schema import ChatMessage, Role

_LEFT_OUT = "The {num} oldest messages of this conversation are left out: they do not fit."


def trimmed(
    opening: tuple[ChatMessage, ...], max_tokens: int, count_tokens: CountTokens
) -> tuple[ChatMessage, ...]:
    """The system prompt, as many of the newest turns as fit, whole ones only, and the question: it stays even
    where it alone does not fit."""
    system, groups = _groups(opening)
    sizes = [tokens_of(group, count_tokens) for group in groups]
    total = tokens_of(system, count_tokens) + sum(sizes)
    first = 0
    while total > max_tokens and first < len(groups) - 1:
        total -= sizes[first]
        first += 1
    if not first:
        return opening
    num = sum(len(group) for group in groups[:first])
    kept = [message for group in groups[first:] for message in group]
    return (*system, rendering.platform_message(_LEFT_OUT.format(num=num)), *kept)


def squeezed(
    opening: tuple[ChatMessage, ...], max_tokens: int, count_tokens: CountTokens
) -> tuple[ChatMessage, ...]:
    """The system prompt and the question alone, their middles cut out where they do not fit."""
    system, groups = _groups(opening)
    question = [groups[-1][0]] if groups else []
    if tokens_of([*system, *question], count_tokens) <= max_tokens:
        return (*system, *question)
    asked = [_cut(message, max_tokens * 2 // 3, count_tokens) for message in question]
    left = max_tokens - tokens_of(asked, count_tokens)
    return (*(_cut(message, left // len(system), count_tokens) for message in system), *asked)


def _groups(opening: tuple[ChatMessage, ...]) -> tuple[list[ChatMessage], list[list[ChatMessage]]]:
    """The system prompt, and the rest cut before each user message."""
    system = [message for message in opening if message.role is Role.SYSTEM]
    groups: list[list[ChatMessage]] = []
    for message in opening:
        if message.role is Role.SYSTEM:
            continue
        if message.role is Role.USER or not groups:
            groups.append([])
        groups[-1].append(message)
    return system, groups


def _cut(message: ChatMessage, max_tokens: int, count_tokens: CountTokens) -> ChatMessage:
    if tokens_of([message], count_tokens) <= max_tokens:
        return message
    content = cut(message.content, max_tokens - FRAME_TOKENS, count_tokens)
    return msgspec.structs.replace(message, content=content)
