"""Multi-head latent attention in its two equal forms: absorbed for single tokens, plain for prompts."""

import torch
from torch import Tensor
from torch.nn import functional

from inference.config import ModelConfig
from inference.gpu.places import Place, Rows, Run, Singles
from inference.gpu.weights import Latent
from inference.kernels.gpu import attention
from inference.kernels.gpu.suite import Suite

# Keys and values made for this many positions at a time: 0.27 GB for 64 heads of 128 + 128.
_POSITIONS_AT_ONCE = 8192


def attend(
    normed: Tensor,
    weights: Latent,
    rows: Rows,
    place: Place,
    pool: Tensor,
    config: ModelConfig,
    kernels: Suite,
) -> Tensor:
    """bf16 [num_rows, hidden_size] -> [num_rows, num_heads * v]. Writes the rows' latents into the pool."""
    sizes = config.latent
    assert sizes is not None
    projected = functional.linear(normed, weights.down)
    query, own = projected.tensor_split([weights.down.shape[0] - sizes.cache_width], dim=1)
    if weights.query_norm is None:
        query = normed
    else:
        query = functional.rms_norm(query.float(), query.shape[1:], weights.query_norm, sizes.norm_eps)
    kernels.store_latents(
        own.contiguous(), weights.kv_norm, sizes.norm_eps, rows.cosines, rows.sines, rows.slots, pool
    )
    queries = functional.linear(query.to(normed.dtype), weights.query_up)
    queries = queries.view(normed.shape[0], -1, sizes.qk_head_dim)
    turning = queries[..., sizes.qk_nope_head_dim :]
    kernels.rotate(turning, rows.cosines, rows.sines, turning)
    if isinstance(place, Singles):
        return _absorbed(queries, weights, place, pool, config, kernels)
    runs = [_plain(queries[run.rows], run, weights, pool, config, kernels) for run in place.each]
    return torch.cat(runs).to(normed.dtype).flatten(1)


def _absorbed(
    queries: Tensor, weights: Latent, place: Singles, pool: Tensor, config: ModelConfig, kernels: Suite
) -> Tensor:
    """Queries are taken into the latents' space, and what they gather there is taken back."""
    assert config.latent is not None
    nope, rank = config.latent.qk_nope_head_dim, config.latent.kv_lora_rank
    absorbed = torch.empty(
        *queries.shape[:2], config.latent.cache_width, dtype=queries.dtype, device=queries.device
    )
    by_head = queries[..., :nope].transpose(0, 1)
    absorbed[..., :rank] = torch.bmm(by_head, weights.kv_up[:, :nope]).transpose(0, 1)
    absorbed[..., rank:] = queries[..., nope:]
    gathered = kernels.decode_latent(
        absorbed, pool, place.block_tables, place.lengths, rank=rank, scale=config.softmax_scale
    )
    values = torch.bmm(gathered.transpose(0, 1), weights.kv_up[:, nope:].transpose(1, 2))
    return values.transpose(0, 1).flatten(1)


def _plain(
    queries: Tensor, run: Run, weights: Latent, pool: Tensor, config: ModelConfig, kernels: Suite
) -> Tensor:
    """Every head's keys and values are made from the latents of all positions seen."""
    assert config.latent is not None
    rank, nope = config.latent.kv_lora_rank, config.latent.qk_nope_head_dim
    end = run.start + queries.shape[0]
    latents = pool[run.blocks].flatten(0, 1)[:end]
    parts = []
    for first in range(0, end, _POSITIONS_AT_ONCE):
        seen = latents[first : first + _POSITIONS_AT_ONCE]
        made = functional.linear(seen[:, :rank], weights.kv_up.flatten(0, 1))
        parts.append(
            kernels.prefill(
                queries,
                made.view(seen.shape[0], queries.shape[1], -1),
                seen[:, rank:],
                start=run.start,
                first=first,
                nope=nope,
                scale=config.softmax_scale,
            )
        )
    return attention.join(parts)
