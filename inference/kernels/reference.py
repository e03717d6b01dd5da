"""The torch twin of every kernel: fp32, plain, slow. What a kernel computes is defined here."""

import math

import torch
from torch import Tensor

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
