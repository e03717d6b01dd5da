"""How many tokens a text may be, where no tokenizer is at hand: a bound to hold by, an estimate to bill by.

The bound needs no model: every token of a byte-level vocabulary stands for at least one byte. The estimate is
for streams that were cut before their backend could count them; their records are marked as estimated.
"""

from collections.abc import Iterable

import msgspec

from inference.schema import ChatMessage, ToolSpec

TOKENS_OF_A_FRAME = 16  # role markers and separators that a chat template puts around each message
TOKENS_OF_A_PROMPT = (
    512  # what a template may add by itself: a default system prompt, how to call tools, how to think
)


def most_input_tokens(
    messages: Iterable[ChatMessage], *, tools: Iterable[ToolSpec] = (), context_tokens: int
) -> int:
    """The most tokens this prompt can be: at most the model's context, past which a backend refuses it."""
    num_messages = num_bytes = 0
    for message in messages:
        num_messages += 1
        num_bytes += len(msgspec.json.encode(message))
    num_bytes += sum(len(msgspec.json.encode(tool)) for tool in tools)
    return min(num_bytes + num_messages * TOKENS_OF_A_FRAME + TOKENS_OF_A_PROMPT, context_tokens)


def estimated_tokens(text: str) -> int:
    """About how many tokens this text is: a quarter for each ASCII character, two thirds for any other."""
    num_ascii = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
    num_other = len(text) - num_ascii
    return -(-num_ascii // 4) + -(-num_other * 2 // 3)
