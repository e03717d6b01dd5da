"""Multi-head latent attention (DeepSeek-V2) over the pool, in its two equal forms.

Plain: every head's keys and values are made anew from the latents of all positions. Absorbed: queries are
taken into the latents' space instead, where all heads share one key, and what they gather is taken back.
Plain costs less for a run of tokens, absorbed for a single one.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from inference import config as model_config
from inference.config import ModelConfig
from inference.kernels import cpu_attention
from inference.model import paging, parameters, rope
from inference.model.layers import Linear, RMSNorm
from inference.model.packing import Packer
from inference.model.paging import Pass, Place

Form = Literal["plain", "absorbed"]


@dataclass(frozen=True)
class Query:
    """x to every head's query: one projection, or two with a norm between."""

    down: Linear | None
    norm: RMSNorm | None
    up: Linear

    def __call__(self, x: Tensor, *, is_prefill: bool) -> Tensor:
        if self.down is not None and self.norm is not None:
            x = self.norm(self.down(x, is_prefill=is_prefill).float())
        return self.up(x, is_prefill=is_prefill)


@dataclass(frozen=True)
class Latent:
    """`kv_up` [num_heads * (nope + v), kv_lora_rank] stays dense in the compute dtype: both forms multiply by
    its parts. `forms` are those of prompts and of single tokens.
    """

    config: ModelConfig
    sizes: model_config.LatentAttention
    query: Query
    kv_down: Linear
    kv_norm: RMSNorm
    kv_up: Tensor
    output: Linear
    forms: tuple[Form, Form]

    def __call__(self, x: Tensor, run: Pass, *, layer: int) -> Tensor:
        """x [num_tokens, hidden_size] -> the same shape. Writes the new latents into the pool."""
        queries = self._queries(x, run)
        latents = self._latents(x, run)
        form = self.forms[0] if run.is_prompt else self.forms[1]
        attend = self._plain if form == "plain" else self._absorbed
        attended = torch.empty(x.shape[0], self.config.num_heads, self.sizes.v_head_dim, dtype=x.dtype)
        pages = run.pool.layers[layer]
        for place in run.places:
            paging.write_latents(pages, place, latents[place.rows])
            attended[place.rows] = attend(queries, paging.latents(pages, place, x.dtype), place)
        return self.output(attended.flatten(1), is_prefill=run.is_prompt)

    def _queries(self, x: Tensor, run: Pass) -> Tensor:
        """[num_tokens, num_heads, nope + rope], the last part rotated."""
        projected = self.query(x, is_prefill=run.is_prompt).float()
        heads = projected.view(x.shape[0], self.config.num_heads, -1)
        fixed, turning = heads.split_with_sizes(
            [self.sizes.qk_nope_head_dim, self.sizes.qk_rope_head_dim], dim=2
        )
        return torch.cat([fixed, rope.rotate(turning.contiguous(), run.rotations)], dim=2).to(x.dtype)

    def _latents(self, x: Tensor, run: Pass) -> Tensor:
        """[num_tokens, kv_lora_rank + rope]: the normed latent, then the rotated key; fp32."""
        projected = self.kv_down(x, is_prefill=run.is_prompt).float()
        latent, key = projected.split_with_sizes(
            [self.sizes.kv_lora_rank, self.sizes.qk_rope_head_dim], dim=1
        )
        rotated = rope.rotate(key.unsqueeze(1).contiguous(), run.rotations)
        return torch.cat([self.kv_norm.exact(latent), rotated[:, 0]], dim=1)

    def _plain(self, queries: Tensor, latents: Tensor, place: Place) -> Tensor:
        sizes = self.sizes
        latent, shared_key = latents.split_with_sizes([sizes.kv_lora_rank, sizes.qk_rope_head_dim], dim=1)
        made = (latent @ self.kv_up.T).view(latents.shape[0], self.config.num_heads, -1).transpose(0, 1)
        keys, values = made.split_with_sizes([sizes.qk_nope_head_dim, sizes.v_head_dim], dim=2)
        shared_keys = shared_key.expand(self.config.num_heads, -1, -1)
        return cpu_attention.prefill_attention(
            queries[place.rows],
            torch.cat([keys, shared_keys], dim=2),
            values,
            scale=self.config.softmax_scale,
        )

    def _absorbed(self, queries: Tensor, latents: Tensor, place: Place) -> Tensor:
        sizes = self.sizes
        by_head = self.kv_up.view(self.config.num_heads, -1, sizes.kv_lora_rank)
        key_up, value_up = by_head.split_with_sizes([sizes.qk_nope_head_dim, sizes.v_head_dim], dim=1)
        own = queries[place.rows]
        fixed, turning = own.split_with_sizes([sizes.qk_nope_head_dim, sizes.qk_rope_head_dim], dim=2)
        absorbed = torch.bmm(fixed.transpose(0, 1), key_up).transpose(0, 1)
        gathered = cpu_attention.prefill_attention(
            torch.cat([absorbed, turning], dim=2),
            latents.unsqueeze(0),
            latents[:, : sizes.kv_lora_rank].unsqueeze(0),
            scale=self.config.softmax_scale,
        )
        return torch.bmm(gathered.transpose(0, 1), value_up.transpose(1, 2)).transpose(0, 1)


def build(
    weights: parameters.LatentAttention, config: ModelConfig, packer: Packer, forms: tuple[Form, Form]
) -> Latent:
    assert config.latent is not None
    eps = config.latent.norm_eps
    up = weights.query if weights.query is not None else weights.query_up
    assert up is not None
    query = Query(
        down=None if weights.query_down is None else packer.linear(weights.query_down),
        norm=None if weights.query_norm is None else packer.norm(weights.query_norm, eps),
        up=packer.linear(up),
    )
    return Latent(
        config=config,
        sizes=config.latent,
        query=query,
        kv_down=packer.linear(weights.kv_down),
        kv_norm=packer.norm(weights.kv_norm, eps),
        kv_up=packer.dense(weights.kv_up),
        output=packer.linear(weights.output),
        forms=forms,
    )
