"""A sequence on its way through the engine: its tokens, its blocks of the KV pool, its place in the queue."""

from collections import deque
from dataclasses import dataclass, field

from inference.engine import blocks
from inference.engine.blocks import BlockKey
from inference.engine.lookup import PromptLookup
from inference.engine.sampler import Sampler
from inference.engine.sequence import Sequence
from inference.model.kv_pool import BLOCK_TOKENS


@dataclass(eq=False, kw_only=True)
class Progress:
    """`token_ids` are the prompt and what was generated; the first `num_computed` have their keys and values
    in `block_ids`, of which the first `num_published` others may find.

    num_cached_tokens  those found computed when it first started: not its own, found again later

    arrival    counts the sequences as they came
    rank       the priority it was admitted with: its own, raised by waiting
    waits_from the step since which it waits to be admitted first
    """

    sequence: Sequence
    sampler: Sampler
    lookup: PromptLookup | None = None
    arrival: int = 0
    rank: int = 0
    waits_from: int = 0
    token_ids: list[int] = field(init=False)
    forced_ids: deque[int] = field(init=False, default_factory=deque)
    block_ids: list[int] = field(init=False, default_factory=list)
    num_computed: int = field(init=False, default=0)
    num_published: int = field(init=False, default=0)
    num_cached_tokens: int = field(init=False, default=0)
    has_started: bool = field(init=False, default=False)
    _keys: list[BlockKey] = field(init=False)

    def __post_init__(self) -> None:
        self.token_ids = list(self.sequence.prompt_ids)
        self._keys = [blocks.root_key(self.sequence.salt)]

    @property
    def tenant(self) -> str:
        return self.sequence.tenant or self.sequence.salt

    @property
    def num_output_tokens(self) -> int:
        return len(self.token_ids) - len(self.sequence.prompt_ids)

    @property
    def num_uncomputed(self) -> int:
        """Tokens whose keys and values are still missing; one is left when the next token can be drawn."""
        return len(self.token_ids) - self.num_computed

    @property
    def is_generating(self) -> bool:
        """Whether it is past its prompt, or what of it has to be computed again."""
        return self.num_output_tokens > 0 and self.num_uncomputed <= BLOCK_TOKENS

    @property
    def num_missing_blocks(self) -> int:
        """Blocks that its known tokens need beyond those it holds."""
        return max(0, num_blocks(len(self.token_ids)) - len(self.block_ids))

    def key(self, index: int) -> BlockKey:
        """The key of full block `index`; -1 is the root's."""
        while len(self._keys) < index + 2:
            start = (len(self._keys) - 1) * BLOCK_TOKENS
            self._keys.append(blocks.block_key(self._keys[-1], self.token_ids[start : start + BLOCK_TOKENS]))
        return self._keys[index + 1]


def num_blocks(num_tokens: int) -> int:
    """Blocks that hold so many tokens."""
    return -(-num_tokens // BLOCK_TOKENS)
