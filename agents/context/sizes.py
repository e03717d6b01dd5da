"""About how many tokens messages are, where no tokenizer is at hand."""

from collections.abc import Callable, Iterable

from agents.transcript import Step
from inference.schema import ChatMessage

CountTokens = Callable[[str], int]

FRAME_TOKENS = 8  # what a chat template puts around a message
CALL_TOKENS = 16  # the id and the name of a call, in the reply and again with its result

CUT = "\n[… cut …]\n"


def tokens_of(messages: Iterable[ChatMessage], count_tokens: CountTokens) -> int:
    return sum(_tokens_of_one(message, count_tokens) for message in messages)


def _tokens_of_one(message: ChatMessage, count_tokens: CountTokens) -> int:
    text = message.reasoning + message.content + "".join(call.arguments for call in message.tool_calls)
    num_ids = len(message.tool_calls) + (message.tool_call_id is not None)
    return count_tokens(text) + FRAME_TOKENS + CALL_TOKENS * num_ids


def tokens_of_step(step: Step, messages: tuple[ChatMessage, ...], count_tokens: CountTokens) -> int:
    """The same of a step whose messages are shown whole, from the counts it was stored with where it has
    them."""
    if not messages:
        return 0
    reply, *results = messages
    if step.num_tokens:
        num_tokens = step.num_tokens + FRAME_TOKENS + CALL_TOKENS * len(reply.tool_calls)
    else:
        num_tokens = _tokens_of_one(reply, count_tokens)
    for record, message in zip(step.calls, results, strict=True):
        if record.num_tokens:
            num_tokens += record.num_tokens + FRAME_TOKENS + CALL_TOKENS
        else:
            num_tokens += _tokens_of_one(message, count_tokens)
    return num_tokens


def cut(text: str, max_tokens: int, count_tokens: CountTokens) -> str:
    """The text, or its beginning and its end around a mark, in at most so many tokens."""
    if max_tokens <= 0:
        return ""
    num_tokens = count_tokens(text)
    num_chars = len(text)
    kept = text
    while num_tokens > max_tokens and kept:
        num_chars = int(num_chars * min(0.9, max_tokens / num_tokens))
        tail = num_chars // 3
        kept = f"{text[: num_chars - tail]}{CUT}{text[len(text) - tail :]}" if num_chars else ""
        num_tokens = count_tokens(kept)
    return kept
