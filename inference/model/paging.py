"""Where a pass's tokens lie in the pool: writing what they leave there, gathering what they see."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.model.kv_pool import BLOCK_TOKENS, KVPool
from inference.model.port import Span


@dataclass(frozen=True)
class Place:
    """One span's places: `seen` are the ids of the blocks with all its positions, `blocks` and `slots`
    [num_tokens] those of its own tokens; `rows` are its rows of the pass.
    """

    rows: slice
    end: int
    seen: Tensor
    blocks: Tensor
    slots: Tensor


@dataclass(frozen=True)
class Pass:
    """Spans that go through the layers together: runs of a prompt, or one new token each.

    The two are computed in ways whose roundings differ; which one it is depends on the span alone, never on
    its company.
    """

    is_prompt: bool
    rotations: Tensor
    places: Sequence[Place]
    pool: KVPool


def places(spans: Sequence[Span]) -> list[Place]:
    """The spans' places, their rows one after the other."""
    found, start = [], 0
    for span in spans:
        positions = torch.arange(span.start, span.start + span.num_tokens)
        end = span.start + span.num_tokens
        seen = torch.tensor(span.block_ids[: -(-end // BLOCK_TOKENS)])
        blocks = seen[positions // BLOCK_TOKENS]
        found.append(
            Place(slice(start, start + span.num_tokens), end, seen, blocks, positions % BLOCK_TOKENS)
        )
        start += span.num_tokens
    return found


def write_heads(layer: Tensor, place: Place, keys: Tensor, values: Tensor) -> None:
    """Put keys and values [num_tokens, num_kv_heads, head_dim] into a layer of grouped-query attention."""
    rows = torch.stack([keys, values], dim=1).to(layer.dtype)
    _as_indexable(layer)[place.blocks, :, :, place.slots] = _as_indexable(rows)


def heads(layer: Tensor, place: Place, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Keys and values of all positions up to the span's last, [num_kv_heads, num_positions, head_dim]."""
    by_head = _as_indexable(layer).permute(1, 2, 0, 3, 4).index_select(2, place.seen)
    keys, values = by_head.flatten(2, 3)[:, :, : place.end].view(layer.dtype).to(dtype)
    return keys, values


def write_latents(layer: Tensor, place: Place, latents: Tensor) -> None:
    """Put latents [num_tokens, width] into a layer of latent attention."""
    _as_indexable(layer)[place.blocks, place.slots] = _as_indexable(latents.to(layer.dtype))


def latents(layer: Tensor, place: Place, dtype: torch.dtype) -> Tensor:
    """The latents of all positions up to the span's last, [num_positions, width]."""
    gathered = _as_indexable(layer).index_select(0, place.seen).flatten(0, 1)[: place.end]
    return gathered.view(layer.dtype).to(dtype)


def _as_indexable(x: Tensor) -> Tensor:
    """The same memory as bytes where torch cannot index the type (fp8)."""
    return x.view(torch.uint8) if x.dtype.itemsize == 1 else x
