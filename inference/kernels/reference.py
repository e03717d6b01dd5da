"""The torch twin of every kernel: fp32, plain, slow. What a kernel computes is defined here."""

import math

import torch
from torch import Tensor

from inference.config import Llama3Stretch, Yarn
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


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention of the last positions of a sequence over all of it.

    queries       [num_queries, num_heads, head_dim]; query i stands at position num_positions - num_queries +
    i keys, values  [num_kv_heads, num_positions, head_dim]; each kv head serves num_heads // num_kv_heads
    heads in a row returns       fp32 [num_queries, num_heads, head_dim]
    """
    num_queries, num_heads, head_dim = queries.shape
    num_kv_heads, num_positions, _ = keys.shape
    grouped = queries.float().view(num_queries, num_kv_heads, num_heads // num_kv_heads, head_dim)
    scores = torch.einsum("qhgd,hkd->qhgk", grouped, keys.float()) / math.sqrt(head_dim)
    query_positions = torch.arange(num_positions - num_queries, num_positions)
    is_future = torch.arange(num_positions) > query_positions.unsqueeze(-1)
    scores = scores.masked_fill(is_future[:, None, None, :], float("-inf"))
    attended = torch.einsum("qhgk,hkd->qhgd", scores.softmax(dim=-1), values.float())
    return attended.reshape(num_queries, num_heads, head_dim)


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
