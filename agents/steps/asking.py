"""A model call on the side: for those who judge, sum up or read. No tools, no thinking, nothing streamed.
It is paid for by itself: who asks need not count."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from inference.schema import ChatMessage


class AskFailed(Exception):
    """The model did not answer, or there is no money for it; go on without."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    text: str


class Ask(Protocol):
    async def __call__(self, messages: Sequence[ChatMessage], *, max_tokens: int) -> Asked:
        """The model's answer to these messages. Raises AskFailed, and Interrupted when the turn is
        stopped."""
        ...
