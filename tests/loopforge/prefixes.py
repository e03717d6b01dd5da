"""What a provider's prefix cache would find of a prompt: the blocks that an earlier prompt began with."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tests.loopforge.wire import BLOCK, Counted, tokens_of

MOST_KEPT = 1_000_000


class Prefixes:
    """Remembers, of every prompt, the digest of each of its beginnings, message by message."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def count(self, messages: Sequence[Mapping[str, Any]], tools: object) -> Counted:
        """Takes the prompt in; its cached tokens are those of the longest beginning that was seen before."""
        if len(self._seen) > MOST_KEPT:
            self._seen.clear()
        each = tokens_of(messages)
        chain = hashlib.sha256(msgspec.json.encode(tools))
        num_cached = num_so_far = 0
        is_known = True
        for message, num_tokens in zip(messages, each, strict=True):
            chain.update(msgspec.json.encode(message))
            num_so_far += num_tokens
            is_known = is_known and chain.digest() in self._seen
            num_cached = num_so_far if is_known else num_cached
            self._seen.add(chain.digest())
        return Counted(prompt=num_so_far, cached=num_cached // BLOCK * BLOCK)
