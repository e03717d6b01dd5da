"""The model on its device: runs a plan's tokens and says which logits can be trusted."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.engine.scheduler import Plan
from inference.model.attention import Span
from inference.model.llama import LlamaModel


@dataclass(frozen=True)
class ModelRunner:
    """`kernel` names what computes few rows at a time."""

    model: LlamaModel
    kernel: str
    dtype: torch.dtype

    def run(self, plan: Plan) -> tuple[Tensor, list[bool]]:
        """Compute the plan's tokens; fills the caches.

        Returns the logits behind each sequence's last computed token, fp32 [num_sequences, vocab_size], and
        for each row whether all of it is finite.
        """
        token_ids: list[int] = []
        spans = []
        for sequence, num_tokens in zip(plan.sequences, plan.num_tokens, strict=True):
            assert sequence.cache is not None
            start = sequence.cache.num_tokens
            token_ids += sequence.token_ids[start : start + num_tokens]
            spans.append(Span(sequence.cache, num_tokens))
        logits = self.model.forward(token_ids, spans)
        return logits, torch.isfinite(logits).all(dim=1).tolist()
