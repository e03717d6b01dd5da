"""The 4 and 8 bit products against their twins."""

import numpy as np
import pytest
import torch

from inference.kernels import cpu_linear, gguf_blocks, reference
from inference.kernels.cpu_linear import Int4Weight
from inference.kernels.gguf_blocks import AffineBlocks
from tests.inference import tiny_model


def random_blocks(type_name: str, num_rows: int, num_columns: int) -> AffineBlocks:
    rng = np.random.default_rng(3)
    raw = tiny_model.random_blocks(type_name, num_rows=num_rows, num_columns=num_columns, rng=rng)
    return gguf_blocks.unpack(torch.from_numpy(raw), type_name=type_name)


def packed(blocks: AffineBlocks) -> Int4Weight:
    weight = cpu_linear.empty_int4(*blocks.values.shape)
    cpu_linear.pack_int4_rows(blocks, weight, slice(0, blocks.values.shape[0]))
    return weight


def random_rows(num_rows: int, num_columns: int) -> torch.Tensor:
    return torch.randn(num_rows, num_columns, generator=torch.Generator().manual_seed(4)).to(torch.bfloat16)


def relative_error(computed: torch.Tensor, expected: torch.Tensor) -> float:
    return float((computed.float() - expected).norm() / expected.norm())


@pytest.mark.parametrize("type_name", ["Q4_0", "Q4_1", "Q4_K"])
@pytest.mark.parametrize("num_tokens", [1, 3, 4, 17])
def test_int4_product_equals_its_twin_within_bf16(type_name: str, num_tokens: int) -> None:
    blocks, x = random_blocks(type_name, 192, 512), random_rows(num_tokens, 512)
    assert relative_error(cpu_linear.int4_linear(x, packed(blocks)), reference.int4_linear(x, blocks)) < 0.006


def test_rows_packed_run_by_run_equal_the_whole() -> None:
    blocks = random_blocks("Q4_K", 192, 512)
    weight = cpu_linear.empty_int4(192, 512)
    for rows in (slice(64, 192), slice(0, 64)):
        run = AffineBlocks(blocks.values[rows], blocks.scales[rows], blocks.offsets[rows], 32)
        cpu_linear.pack_int4_rows(run, weight, rows)
    assert torch.equal(weight.packed, packed(blocks).packed)
    assert torch.equal(weight.scales_and_zeros, packed(blocks).scales_and_zeros)


@pytest.mark.parametrize("num_tokens", [1, 5])
def test_int8_product_equals_its_twin_within_bf16(num_tokens: int) -> None:
    exact, x = reference.dequantize(random_blocks("Q6_K", 96, 512)), random_rows(num_tokens, 512)
    weight = cpu_linear.empty_int8(96, 512)
    cpu_linear.quantize_int8_rows(exact, weight, slice(0, 96))
    computed = cpu_linear.int8_linear(x, weight)
    assert relative_error(computed, reference.int8_linear(x, weight.values, weight.scales)) < 0.004
    assert relative_error(computed, x.float() @ exact.T) < 0.02


def test_a_row_s_product_does_not_depend_on_the_rows_beside_it() -> None:
    weight, x = packed(random_blocks("Q4_K", 128, 512)), random_rows(7, 512)
    together = cpu_linear.int4_linear(x, weight)
    alone = torch.cat([cpu_linear.int4_linear(x[row : row + 1], weight) for row in range(7)])
    assert torch.equal(together, alone)


def test_the_int4_operator_proves_itself_here() -> None:
    assert cpu_linear.int4_operator_works()
