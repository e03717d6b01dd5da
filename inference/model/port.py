"""What the engine asks of a model, whichever way it computes: tokens and places in, logits out."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from inference.config import ModelConfig
from inference.model.kv_pool import KVPool


@dataclass(frozen=True, kw_only=True)
class Span:
    """The next `num_tokens` tokens of one sequence, whose first `start` positions are computed already.

    Position p lies in slot p % BLOCK_TOKENS of block `block_ids[p // BLOCK_TOKENS]` of the pool; the blocks
    reach to the span's last token at least. `num_logits` of its last tokens answer with logits: none (0) in
    the middle of a prompt, several where guessed tokens are checked.
    """

    block_ids: list[int]
    start: int
    num_tokens: int
    num_logits: int = 1


class Model(Protocol):
    """A decoder with its weights. `kernel` names what computes it; `kv_dtypes` are those it can cache in.

    `is_cut_invariant`: a token's numbers are the same bit for bit however its sequence was cut into spans.
    """

    @property
    def config(self) -> ModelConfig: ...

    @property
    def kernel(self) -> str: ...

    @property
    def kv_dtypes(self) -> tuple[torch.dtype, ...]: ...

    @property
    def is_cut_invariant(self) -> bool: ...

    def forward(self, token_ids: list[int], spans: list[Span], pool: KVPool) -> Tensor:
        """Run each span's tokens, write their keys and values into the pool.

        token_ids  the spans' tokens, one span after the other
        returns    fp32 [sum of the spans' num_logits, vocab_size], in the spans' order

        A row's numbers do not depend on the other spans of the call, nor, on the native path, on how a
        sequence was cut into spans.
        """
        ...
