"""Attention and rotation against their twins."""

import pytest
import torch
from torch import Tensor

from inference.kernels import cpu_attention, reference
from inference.model import rope

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.03}


def random_state(num_queries: int, num_positions: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Queries of six heads, and keys and values of two as they lie in a cache with room to spare."""
    generator = torch.Generator().manual_seed(5)
    queries = torch.randn(num_queries, 6, 64, generator=generator)
    cache = torch.randn(2, 2, num_positions + 9, 64, generator=generator)
    keys, values = cache[:, :, :num_positions].to(dtype)
    return queries.to(dtype), keys, values


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("num_positions", [1, 70])
def test_decode_attention_equals_its_twin(dtype: torch.dtype, num_positions: int) -> None:
    queries, keys, values = random_state(1, num_positions, dtype)
    computed = cpu_attention.decode_attention(queries[0], keys, values, scale=0.2)
    expected = reference.attention(queries, keys, values, scale=0.2)[0]
    torch.testing.assert_close(computed.float(), expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("num_queries", "num_positions"), [(2, 2), (5, 40), (130, 150), (128, 128)])
def test_prefill_attention_equals_its_twin(dtype: torch.dtype, num_queries: int, num_positions: int) -> None:
    queries, keys, values = random_state(num_queries, num_positions, dtype)
    computed = cpu_attention.prefill_attention(queries, keys, values, scale=0.2)
    expected = reference.attention(queries, keys, values, scale=0.2)
    torch.testing.assert_close(computed.float(), expected, rtol=0, atol=TOLERANCE[dtype])


def test_rotation_equals_its_twin() -> None:
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(3, 4, 16, generator=generator)
    angles = torch.rand(3, 8, generator=generator) * 6
    rotations = torch.polar(torch.ones_like(angles), angles).unsqueeze(1)
    torch.testing.assert_close(rope.rotate(x, rotations), reference.rotate_pairs(x, angles))
