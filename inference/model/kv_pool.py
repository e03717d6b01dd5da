"""The memory of all keys and values: blocks of 64 positions that sequences share and hand back."""

import math

import torch
from torch import Tensor

from inference.config import ModelConfig
from inference.model import pages

BLOCK_TOKENS = 64


class KVPool:
    """`layers[i]` holds layer i's part of every block. On a CPU its memory is taken as blocks are first
    written, on another device at once.

    grouped-query attention  [num_blocks, 2, num_kv_heads, BLOCK_TOKENS, head_dim]: keys, then values
    latent attention         [num_blocks, BLOCK_TOKENS, kv_lora_rank + qk_rope_head_dim]: the normed latent,
                             then the rotated key that all heads share
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        num_blocks: int,
        dtype: torch.dtype,
        device: torch.device | None = None,
    ) -> None:
        self.num_blocks = num_blocks
        self.dtype = dtype
        shape = (num_blocks, *block_shape(config))
        num_bytes = math.prod(shape) * dtype.itemsize
        self.layers: list[Tensor] = []
        for _ in range(config.num_layers):
            if device is None or device.type == "cpu":
                self.layers.append(pages.zeroed(num_bytes).view(dtype).view(shape))
            else:
                self.layers.append(torch.zeros(shape, dtype=dtype, device=device))


def block_shape(config: ModelConfig) -> tuple[int, ...]:
    """The shape of one layer's part of one block."""
    if config.latent is not None:
        return (BLOCK_TOKENS, config.latent.cache_width)
    return (2, config.num_kv_heads, BLOCK_TOKENS, config.head_dim)


def bytes_per_block(config: ModelConfig, dtype: torch.dtype) -> int:
    """What one block of all layers takes."""
    return config.cache_values_per_token * BLOCK_TOKENS * dtype.itemsize
