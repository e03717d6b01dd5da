"""The opening of a turn within a part of the window: a long conversation loses its oldest turns first.

A turn that goes on with another has the steps of that one in its opening: they keep their question, and lose
old results before they lose old steps.
"""

from collections.abc import Sequence

import msgspec

from agents.context import rendering
from agents.context.sizes import FRAME_TOKENS, CountTokens, cut, tokens_of
from inference.schema import ChatMessage, Role

KEPT_RESULTS = 5

_LEFT_OUT = "The {num} oldest messages of this conversation are left out: they do not fit."
_STEPS_LEFT_OUT = "{num} messages of earlier steps are left out here: they do not fit."


def trimmed(
    opening: tuple[ChatMessage, ...], max_tokens: int, count_tokens: CountTokens
) -> tuple[ChatMessage, ...]:
    """The system prompt, as many of the newest turns as fit, and the question: it stays even where it alone
    does not fit."""
    system, turns = _turns(opening)
    sizes = [tokens_of(turn, count_tokens) for turn in turns]
    total = tokens_of(system, count_tokens) + sum(sizes)
    if total <= max_tokens:
        return opening
    first = 0
    while total > max_tokens and first < len(turns) - _num_needed(turns):
        total -= sizes[first]
        first += 1
    num = sum(len(turn) for turn in turns[:first])
    note = [rendering.platform_message(_LEFT_OUT.format(num=num))] if num else []
    kept = turns[first:]
    if total > max_tokens and len(kept) > 1:
        allowed = max_tokens - total + sizes[first]
        kept[0] = _shortened(kept[0], allowed, count_tokens)
    return (*system, *note, *(message for turn in kept for message in turn))


def squeezed(
    opening: tuple[ChatMessage, ...], max_tokens: int, count_tokens: CountTokens
) -> tuple[ChatMessage, ...]:
    """The system prompt and the question alone, their middles cut out where they do not fit."""
    system, _ = _turns(opening)
    questions = questions_of(opening)
    if tokens_of([*system, *questions], count_tokens) <= max_tokens:
        return (*system, *questions)
    share = max_tokens * 2 // 3 // max(len(questions), 1)
    asked = [_cut(message, share, count_tokens) for message in questions]
    left = max_tokens - tokens_of(asked, count_tokens)
    return (*(_cut(message, left // len(system), count_tokens) for message in system), *asked)


def questions_of(opening: tuple[ChatMessage, ...]) -> list[ChatMessage]:
    """What the turn answers; before it, the question of the turn that it goes on with."""
    _, turns = _turns(opening)
    return [turn[0] for turn in turns[-_num_needed(turns) :]] if turns else []


def _turns(opening: tuple[ChatMessage, ...]) -> tuple[list[ChatMessage], list[list[ChatMessage]]]:
    """The system prompt, and the rest cut before each question."""
    system = [message for message in opening if message.role is Role.SYSTEM]
    turns: list[list[ChatMessage]] = []
    for message in opening:
        if message.role is Role.SYSTEM:
            continue
        if message.is_question or not turns:
            turns.append([])
        turns[-1].append(message)
    return system, turns


def _num_needed(turns: Sequence[Sequence[ChatMessage]]) -> int:
    """The question, and the turn before it where its steps are gone on with."""
    return 2 if len(turns) > 1 and any(message.tool_calls for message in turns[-2]) else 1


def _shortened(turn: Sequence[ChatMessage], max_tokens: int, count_tokens: CountTokens) -> list[ChatMessage]:
    """The turn without its old results, and without its oldest steps where that is not enough."""
    results = [at for at, message in enumerate(turn) if message.role is Role.TOOL]
    old = set(results[:-KEPT_RESULTS])
    shown = [rendering.hidden_message(message) if at in old else message for at, message in enumerate(turn)]
    first_step = next((at for at, message in enumerate(shown) if message.role is Role.ASSISTANT), len(shown))
    head, steps = shown[:first_step], shown[first_step:]
    total, first = tokens_of(shown, count_tokens), 0
    while first < len(steps) and (total > max_tokens or steps[first].role is Role.TOOL):
        total -= tokens_of([steps[first]], count_tokens)
        first += 1
    note = [rendering.platform_message(_STEPS_LEFT_OUT.format(num=first))] if first else []
    return [*head, *note, *steps[first:]]


def _cut(message: ChatMessage, max_tokens: int, count_tokens: CountTokens) -> ChatMessage:
    if tokens_of([message], count_tokens) <= max_tokens:
        return message
    content = cut(message.content, max_tokens - FRAME_TOKENS, count_tokens)
    return msgspec.structs.replace(message, content=content)
