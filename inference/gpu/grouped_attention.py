"""Grouped-query attention: Llama's, Qwen2's and Qwen3's."""

import torch
from torch import Tensor
from torch.nn import functional

from inference.config import ModelConfig
from inference.gpu.places import Place, Rows, Run, Singles
from inference.gpu.weights import Grouped
from inference.kernels.gpu.suite import Suite


def attend(
    normed: Tensor,
    weights: Grouped,
    rows: Rows,
    place: Place,
    pool: Tensor,
    config: ModelConfig,
    kernels: Suite,
) -> Tensor:
    """bf16 [num_rows, hidden_size] -> [num_rows, num_heads * head_dim]. Keys and values go into the pool."""
    projected = functional.linear(normed, weights.qkv)
    if weights.bias is not None:
        projected = (projected.float() + weights.bias).to(normed.dtype)
    heads = projected.view(normed.shape[0], -1, config.head_dim)
    queries, keys, values = heads.tensor_split(
        [config.num_heads, config.num_heads + config.num_kv_heads], dim=1
    )
    queries = _placed(queries, weights.query_norm, rows, config, kernels)
    keys = _placed(keys, weights.key_norm, rows, config, kernels)
    kernels.store_heads(keys, values, rows.slots, pool)
    if isinstance(place, Singles):
        attended = kernels.decode_grouped(
            queries, pool, place.block_tables, place.lengths, scale=config.softmax_scale
        )
    else:
        runs = [_over(queries[run.rows], run, pool, config, kernels) for run in place.each]
        attended = torch.cat(runs).to(normed.dtype)
    return attended.flatten(1)


def _placed(heads: Tensor, norm: Tensor | None, rows: Rows, config: ModelConfig, kernels: Suite) -> Tensor:
    """Normed where the model does that, and rotated."""
    if norm is None:
        normed = heads.contiguous()
    else:
        normed = functional.rms_norm(heads.float(), norm.shape, norm, config.rms_norm_eps).to(heads.dtype)
    kernels.rotate(normed, rows.cosines, rows.sines, normed)
    return normed


def _over(queries: Tensor, run: Run, pool: Tensor, config: ModelConfig, kernels: Suite) -> Tensor:
    """A prompt's queries over all positions up to them."""
    end = run.start + queries.shape[0]
    seen = pool[run.blocks].permute(0, 3, 2, 1, 4).flatten(0, 1)[:end]
    attended, _ = kernels.prefill(
        queries.contiguous(),
        seen.flatten(2).contiguous(),
        None,
        start=run.start,
        first=0,
        nope=config.head_dim,
        scale=config.softmax_scale,
    )
    return attended
