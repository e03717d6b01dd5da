"""One sequence over a pool of its own, its blocks in an order that no test can take for granted."""

import torch
from torch import Tensor

from inference.model.kv_pool import BLOCK_TOKENS, KVPool
from inference.model.port import Model, Span


class Driver:
    """Runs tokens behind those already run."""

    def __init__(
        self,
        model: Model,
        *,
        num_tokens: int,
        pool: KVPool | None = None,
        block_ids: list[int] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        num_blocks = -(-num_tokens // BLOCK_TOKENS)
        self.model = model
        self.pool = pool or KVPool(model.config, num_blocks=num_blocks + 2, dtype=dtype or model.kv_dtypes[0])
        self.block_ids = block_ids or list(range(num_blocks, 0, -1))
        self.num_tokens = 0

    def span(self, num_tokens: int, *, num_logits: int = 1) -> Span:
        """The next tokens' span; counts them as run."""
        span = Span(
            block_ids=self.block_ids, start=self.num_tokens, num_tokens=num_tokens, num_logits=num_logits
        )
        self.num_tokens += num_tokens
        return span

    def run(self, token_ids: list[int], *, num_logits: int = 1) -> Tensor:
        """The logits behind the last `num_logits` of them."""
        return self.model.forward(token_ids, [self.span(len(token_ids), num_logits=num_logits)], self.pool)
