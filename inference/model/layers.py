"""The pieces between the attention blocks: linear maps over quantised weights, norms, the token embedding."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference.kernels import cpu_linear
from inference.kernels.cpu_linear import Int4Weight, Int8Weight


@dataclass(frozen=True)
class Linear:
    """x @ weight.T for a weight of one or more parts, one under the other.

    `dense` is the whole weight once more in x's dtype, for prompts: from about 32 rows on a bf16 product
    beats the INT4 operator (1536 to 17920: 16 rows 2.6 ms against 7.9, 64 rows 10 against 8, 256 rows 41
    against 16). None saves its memory.
    """

    parts: Sequence[Int4Weight | Int8Weight | Tensor]
    dense: Tensor | None = None

    def __call__(self, x: Tensor, *, is_prefill: bool) -> Tensor:
        """x [num_tokens, in] -> [num_tokens, out], in x's dtype.

        The way is chosen by `is_prefill`, not by the number of rows, and on either way a row's result does
        not depend on the rows beside it: so a sequence gets the same numbers in any batch and any chunks.
        """
        if self.dense is not None and is_prefill:
            return functional.linear(x, self.dense)
        outputs = [_multiply(x, part) for part in self.parts]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def _multiply(x: Tensor, part: Int4Weight | Int8Weight | Tensor) -> Tensor:
    if isinstance(part, Int4Weight):
        return cpu_linear.int4_linear(x, part)
    if isinstance(part, Int8Weight):
        return cpu_linear.int8_linear(x, part)
    return functional.linear(x, part)


@dataclass(frozen=True)
class RMSNorm:
    weight: Tensor
    eps: float
    dtype: torch.dtype

    def __call__(self, hidden: Tensor) -> Tensor:
        """fp32 [num_tokens, hidden_size] -> the same shape in the compute dtype."""
        return self.exact(hidden).to(self.dtype)

    def exact(self, hidden: Tensor) -> Tensor:
        """The same in fp32."""
        return functional.rms_norm(hidden, self.weight.shape, self.weight, self.eps)


@dataclass(frozen=True)
class Head:
    """The output projection: approximate logits of the whole vocabulary, exact ones of the likeliest tokens.

    The 8-bit product answers in bf16, whose steps of 1/8 near 20 would make ties among the best tokens.
    `exact_rows` gives fp32 weights of chosen tokens, from which their logits are computed again; None where
    `linear` is exact.
    """

    linear: Linear
    exact_rows: Callable[[Tensor], Tensor] | None
    num_exact: int = 64

    def __call__(self, normed: Tensor) -> Tensor:
        """fp32 [num_rows, hidden_size] -> fp32 [num_rows, vocab_size]."""
        dtype = torch.float32 if self.exact_rows is None else torch.bfloat16
        logits = self.linear(normed.to(dtype), is_prefill=False).float()
        if self.exact_rows is None:
            return logits
        likeliest = logits.topk(min(self.num_exact, logits.shape[1]), dim=1, sorted=False).indices
        for row, token_ids in enumerate(likeliest):
            logits[row, token_ids] = self.exact_rows(token_ids) @ normed[row]
        return logits
