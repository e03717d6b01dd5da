"""The torch twin of every kernel: fp32, plain, slow. What a kernel computes is defined here."""

import math

import torch
from torch import Tensor

from inference.config import Experts, LatentAttention, Llama3Stretch, Yarn
from inference.kernels.gguf_blocks import AffineBlocks


def dequantize(blocks: AffineBlocks) -> Tensor:
    """scale * value + offset, fp32 [rows, columns]."""
    num_rows, num_columns = blocks.values.shape
    grouped = blocks.values.view(num_rows, -1, blocks.group_size).float()
    return (grouped * blocks.scales.unsqueeze(-1) + blocks.offsets.unsqueeze(-1)).view(num_rows, num_columns)


def int4_linear(x: Tensor, blocks: AffineBlocks) -> Tensor:
    """x @ dequantize(blocks).T: x [num_tokens, in] -> fp32 [num_tokens, out]."""
    return x.float() @ dequantize(blocks).T


def int8_linear(x: Tensor, values: Tensor, scales: Tensor) -> Tensor:
    """x @ (values * scales).T: values int8 [out, in], scales [out] -> fp32 [num_tokens, out]."""
    return x.float() @ (values.float() * scales.float().unsqueeze(-1)).T


def attention(queries: Tensor, keys: Tensor, values: Tensor, *, scale: float) -> Tensor:
    """Causal attention of the last positions of a sequence over all of it.

    queries  [num_queries, num_heads, head_dim]; query i stands at position num_positions - num_queries + i
    keys     [num_kv_heads, num_positions, head_dim]; each serves num_heads // num_kv_heads heads in a row
    values   [num_kv_heads, num_positions, value_dim]
    returns  fp32 [num_queries, num_heads, value_dim]
    """
    num_queries, num_heads, head_dim = queries.shape
    num_kv_heads, num_positions, _ = keys.shape
    grouped = queries.float().view(num_queries, num_kv_heads, num_heads // num_kv_heads, head_dim)
    scores = torch.einsum("qhgd,hkd->qhgk", grouped, keys.float()) * scale
    positions = torch.arange(num_positions, device=queries.device)
    is_future = positions > positions[num_positions - num_queries :].unsqueeze(-1)
    scores = scores.masked_fill(is_future[:, None, None, :], float("-inf"))
    attended = torch.einsum("qhgk,hkd->qhgd", scores.softmax(dim=-1), values.float())
    return attended.reshape(num_queries, num_heads, -1)


def latent_attention(
    queries: Tensor, latents: Tensor, kv_up: Tensor, *, config: LatentAttention, scale: float
) -> Tensor:
    """Multi-head latent attention in its plain form: every head's keys and values are made from the latents.

    queries  [num_queries, num_heads, nope + rope], rotated
    latents  [num_positions, kv_lora_rank + rope]: the normed latent, then the rotated key of all heads
    kv_up    [num_heads * (nope + v), kv_lora_rank]: per head the key's part, then the value
    returns  fp32 [num_queries, num_heads, v]
    """
    latent, shared_key = latents.float().split_with_sizes(
        [config.kv_lora_rank, config.qk_rope_head_dim], dim=1
    )
    made = (latent @ kv_up.float().T).view(latents.shape[0], queries.shape[1], -1).transpose(0, 1)
    keys, values = made.split_with_sizes([config.qk_nope_head_dim, config.v_head_dim], dim=2)
    shared_keys = shared_key.expand(keys.shape[0], -1, -1)
    return attention(queries, torch.cat([keys, shared_keys], dim=2), values, scale=scale)


def route(logits: Tensor, choice_bias: Tensor, experts: Experts) -> tuple[Tensor, Tensor]:
    """DeepSeek-V3's choice of experts (noaux_tc): the bias chooses, the scores weigh.

    logits   fp32 [num_tokens, num_experts], router @ x
    returns  weights fp32 and expert ids int64, both [num_tokens, num_per_token], heaviest choice first
    """
    scores = logits.sigmoid()
    choice = scores + choice_bias
    if experts.num_groups > 1:
        grouped = choice.view(logits.shape[0], experts.num_groups, -1)
        best_groups = grouped.topk(2, dim=2).values.sum(2).topk(experts.num_groups_chosen, dim=1).indices
        is_open = torch.zeros_like(grouped[..., 0], dtype=torch.bool).scatter_(1, best_groups, value=True)
        choice = grouped.masked_fill(~is_open.unsqueeze(2), float("-inf")).view(choice.shape)
    chosen = choice.topk(experts.num_per_token, dim=1).indices
    weights = scores.gather(1, chosen)
    if experts.normalizes_weights:
        weights = weights / (weights.sum(dim=1, keepdim=True) + 1e-20)
    return weights * experts.scaling_factor, chosen


def rotate_pairs(x: Tensor, angles: Tensor) -> Tensor:
    """Turn each pair of neighbours (x[2i], x[2i+1]) by angles[i].

    x [num_tokens, num_heads, head_dim], angles [num_tokens, head_dim // 2] -> fp32, x's shape
    """
    even, odd = x.float()[..., 0::2], x.float()[..., 1::2]
    cosine, sine = angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)
    turned = torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1)
    return turned.reshape(x.shape)


def yarn_frequencies(plain: Tensor, yarn: Yarn, *, theta: float) -> Tensor:
    """YaRN's blend (arXiv 2309.00071, as DeepSeek applies it): pairs that turn often keep their frequency,
    slow ones are divided by the factor, those between are mixed.

    plain fp64 [dim // 2], theta ** (-2 i / dim) -> the same shape
    """
    dim = 2 * plain.numel()

    def border(num_rotations: float) -> float:
        return (
            dim
            * math.log(yarn.original_max_positions / (num_rotations * 2 * math.pi))
            / (2 * math.log(theta))
        )

    low, high = border(yarn.beta_fast), border(yarn.beta_slow)
    if yarn.truncates:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    width = high - low if high != low else 0.001
    ramp = ((torch.arange(dim // 2, dtype=plain.dtype) - low) / width).clamp(0, 1)
    return plain * (1 - ramp) + plain / yarn.factor * ramp


def llama3_frequencies(plain: Tensor, stretch: Llama3Stretch) -> Tensor:
    """Llama 3.1's stretch: by wavelength, fast pairs stay, slow ones are divided, those between are mixed."""
    rotations = stretch.original_max_positions * plain / (2 * math.pi)
    low, high = stretch.low_frequency_factor, stretch.high_frequency_factor
    kept = ((rotations - low) / (high - low)).clamp(0, 1)
    return plain * kept + plain / stretch.factor * (1 - kept)
