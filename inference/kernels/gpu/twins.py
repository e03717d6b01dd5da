"""What each kernel computes, in torch's operators: on any device, slowly. They serve where a kernel is wrong.

Signatures are those of the kernels; how a kernel is cut up is of no account here.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from inference.checkpoints import pack_quantized
from inference.config import Experts
from inference.kernels import reference
from inference.kernels.gpu.experts import Int4Experts, to_planes


def route(
    logits: Tensor, choice_bias: Tensor, experts: Experts, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    weights, chosen = reference.route(logits, choice_bias, experts)
    if lengths is not None:
        chosen = chosen.masked_fill((lengths == 0).unsqueeze(1), -1)
    return weights, chosen.int()


def mix(
    x: Tensor, weights: Tensor, chosen: Tensor, gate_up: Int4Experts, down: Int4Experts, added: Tensor | None
) -> Tensor:
    """As `suite.Suite.mix`, with x in its own order."""
    mixed = torch.zeros(x.shape, dtype=torch.float32, device=x.device) if added is None else added.clone()
    for expert in sorted(set(chosen.flatten().tolist()) - {-1}):
        tokens, places = (chosen == expert).nonzero(as_tuple=True)
        gate, up = (x[tokens] @ _dense(gate_up, expert, x.dtype).T).float().chunk(2, dim=1)
        activated = (functional.silu(gate) * up).to(x.dtype)
        computed = (activated @ _dense(down, expert, x.dtype).T).float()
        mixed.index_add_(0, tokens, computed * weights[tokens, places].unsqueeze(1))
    return mixed


def _dense(weights: Int4Experts, expert: int, dtype: torch.dtype) -> Tensor:
    return pack_quantized.dequantize(weights.words[expert], weights.scales[expert]).to(dtype)


def decode_latent(
    queries: Tensor, pool: Tensor, block_tables: Tensor, lengths: Tensor, *, rank: int, scale: float
) -> Tensor:
    gathered = torch.zeros(*queries.shape[:2], rank, dtype=queries.dtype, device=queries.device)
    for sequence, length in enumerate(lengths.tolist()):
        if length:
            seen = pool[block_tables[sequence].long()].flatten(0, 1)[:length]
            gathered[sequence] = reference.attention(
                queries[sequence : sequence + 1], seen.unsqueeze(0), seen[:, :rank].unsqueeze(0), scale=scale
            )[0]
    return gathered


def decode_grouped(
    queries: Tensor, pool: Tensor, block_tables: Tensor, lengths: Tensor, *, scale: float
) -> Tensor:
    attended = torch.zeros_like(queries)
    for sequence, length in enumerate(lengths.tolist()):
        if length:
            seen = pool[block_tables[sequence].long()].permute(1, 2, 0, 3, 4).flatten(2, 3)[:, :, :length]
            attended[sequence] = reference.attention(
                queries[sequence : sequence + 1], seen[0], seen[1], scale=scale
            )[0]
    return attended


def prefill(
    queries: Tensor,
    made: Tensor,
    shared_keys: Tensor | None,
    *,
    start: int,
    first: int,
    nope: int,
    scale: float,
) -> tuple[Tensor, Tensor]:
    made = made.repeat_interleave(queries.shape[1] // made.shape[1], dim=1).float()
    keys, values = made[..., :nope], made[..., nope:]
    if shared_keys is not None:
        keys = torch.cat([keys, shared_keys.float().unsqueeze(1).expand(-1, made.shape[1], -1)], dim=2)
    scores = torch.einsum("qhd,khd->qhk", queries.float(), keys) * scale
    positions = first + torch.arange(made.shape[0], device=made.device)
    own = start + torch.arange(queries.shape[0], device=made.device)
    scores = scores.masked_fill((positions > own.unsqueeze(1)).unsqueeze(1), float("-inf"))
    logs = scores.logsumexp(dim=2)
    shares = (scores - logs.unsqueeze(2)).exp().nan_to_num(0.0)
    return torch.einsum("qhk,khd->qhd", shares, values), logs / math.log(2.0)


def add_rms_norm(
    hidden: Tensor, added: Tensor | None, weight: Tensor, eps: float, *, planes: Tensor | None = None
) -> Tensor:
    if added is not None:
        hidden += added
    normed = functional.rms_norm(hidden, weight.shape, weight, eps).bfloat16()
    if planes is not None:
        planes.copy_(to_planes(normed))
    return normed


def rotate(x: Tensor, cosines: Tensor, sines: Tensor, out: Tensor) -> None:
    even, odd = x.float()[..., 0::2], x.float()[..., 1::2]
    cosines, sines = cosines.unsqueeze(1), sines.unsqueeze(1)
    turned = torch.stack([even * cosines - odd * sines, even * sines + odd * cosines], dim=-1)
    out.copy_(turned.flatten(2))


def store_latents(
    projected: Tensor, weight: Tensor, eps: float, cosines: Tensor, sines: Tensor, slots: Tensor, pool: Tensor
) -> None:
    rank = weight.shape[0]
    latents = functional.rms_norm(projected[:, :rank].float(), weight.shape, weight, eps)
    keys = torch.empty_like(projected[:, None, rank:])
    rotate(projected[:, None, rank:], cosines, sines, keys)
    is_stored = slots >= 0
    rows = torch.cat([latents.to(pool.dtype), keys[:, 0].to(pool.dtype)], dim=1)
    pool.view(-1, pool.shape[2])[slots[is_stored]] = rows[is_stored]


def store_heads(keys: Tensor, values: Tensor, slots: Tensor, pool: Tensor) -> None:
    for token, slot in enumerate(slots.tolist()):
        if slot >= 0:
            block, place = divmod(slot, pool.shape[3])
            pool[block, 0, :, place], pool[block, 1, :, place] = keys[token], values[token]


def best_tokens(logits: Tensor) -> tuple[Tensor, Tensor]:
    return logits.argmax(dim=1), logits.logsumexp(dim=1)
