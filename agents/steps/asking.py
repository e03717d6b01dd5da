"""A model call on the side: for those who judge, sum up or merge. No tools, no thinking, nothing streamed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from inference.schema import ChatMessage, Usage


class AskFailed(Exception):
    """The model did not answer, or there is no money for it; go on without."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who asked keeps the usage in the note it writes: that is what bills it."""

    text: str
    usage: Usage


class Ask(Protocol):
    async def __call__(self, messages: Sequence[ChatMessage], *, max_tokens: int) -> Asked:
        """The model's answer to these messages. Raises AskFailed, and Interrupted when the turn is
        stopped."""
        ...
