"""Proves the native step on this machine, before any model is computed with it.

Attention of both kinds, rotary positions, norms, the mixture and the paged cache, against torch's decoder on
random fp32 weights.
"""

import ctypes

import torch
from torch import Tensor

from inference.model.decoder import TorchDecoder
from inference.model.kv_pool import KVPool
from inference.model.port import Model, Span
from inference.native.decoder import NativeDecoder
from inference.native.sample_decoders import VOCAB_SIZE, RandomParameters

# Between them these use every part of the step; the others are subsets.
_ARCHITECTURES = ("qwen3", "kimi_k2")
_NUM_TOKENS = 70  # more than a block
_TOLERANCE = 1e-4


def run(*, native: ctypes.CDLL | None = None, num_threads: int = 2) -> dict[str, bool]:
    """Each architecture's name and whether its logits are right: the reference's to rounding, and the same
    bits token by token as at once.
    """
    results = {}
    for architecture in _ARCHITECTURES:
        source = RandomParameters(architecture)
        decoder = NativeDecoder(source, num_threads=num_threads, native=native)
        results[f"step {architecture}"] = agrees(decoder, TorchDecoder(source, precision="fp32"))
    return results


def agrees(decoder: NativeDecoder, reference: Model) -> bool:
    """Whether a decoder of sample weights computes what `reference` does, however its tokens are cut."""
    token_ids = torch.randint(VOCAB_SIZE, (_NUM_TOKENS,), generator=torch.Generator().manual_seed(0)).tolist()
    at_once = _logits(decoder, token_ids, cut=_NUM_TOKENS)
    expected = _logits(reference, token_ids, cut=_NUM_TOKENS)
    is_close = bool((at_once - expected).abs().max() <= _TOLERANCE)
    return is_close and torch.equal(_logits(decoder, token_ids, cut=1), at_once)


def _logits(model: Model, token_ids: list[int], *, cut: int) -> Tensor:
    """Behind every token, from spans of `cut` tokens."""
    pool = KVPool(model.config, num_blocks=3, dtype=torch.float32)
    rows = []
    for start in range(0, len(token_ids), cut):
        part = token_ids[start : start + cut]
        span = Span(block_ids=[2, 0], start=start, num_tokens=len(part), num_logits=len(part))
        rows.append(model.forward(part, [span], pool))
    return torch.cat(rows)
