"""The native products equal their torch twins, whatever the shape, the company and the instruction set."""

import ctypes
import platform

import pytest
import torch

from inference.kernels.gguf_blocks import AffineBlocks
from inference.native import build, library, matrix, self_test
from inference.native.matrix import Kind

FORMATS = ["Q4_K", "Q6_K", "Q4_1", "Q4_0", "Q8_0", "BF16", "F32"]


@pytest.fixture(scope="module")
def team():
    with library.Team(2) as team:
        yield team


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)


def stored_matrix(name, num_rows, num_columns, generator):
    if name in ("BF16", "F32"):
        return self_test.random_floats(name, num_rows, num_columns, generator)
    return self_test.random_blocks(name, num_rows, num_columns, generator)


def test_every_kernel_is_right_on_this_machine():
    assert set(self_test.run().values()) == {True}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of x86-64")
@pytest.mark.parametrize(("march", "name"), [("haswell", "avx2"), ("x86-64", "portable")])
def test_older_processors_get_the_same_products(march, name):
    native = library.load(build.build(march=march))
    assert native.native_instruction_set().decode() == name
    assert set(self_test.run(native=native).values()) == {True}


def test_the_self_test_notices_a_wrong_product(generator):
    stored = self_test.random_blocks("Q4_K", 16, 256, generator)
    packed = matrix.pack([stored])
    x = torch.randn(2, 256, generator=generator)
    wanted = self_test.expected(stored, packed, x)
    stored.raw[3, 100] ^= 1  # one nibble of one weight
    assert not self_test.is_close(self_test.expected(stored, packed, x), wanted)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("num_rows", [1, 17, 64, 130])
def test_any_number_of_rows_and_tokens(name, num_rows, team, generator):
    stored = stored_matrix(name, num_rows, 256, generator)
    packed = matrix.pack([stored])
    for num_tokens in (1, 2, 7, 70):
        x = torch.randn(num_tokens, 256, generator=generator)
        computed = matrix.linear(packed, x, team)
        assert self_test.is_close(computed, self_test.expected(stored, packed, x)), num_tokens


@pytest.mark.parametrize("name", ["Q4_1", "Q4_0", "Q8_0", "BF16", "F32"])
@pytest.mark.parametrize("num_columns", [32, 96, 576])
def test_widths_that_fill_no_step(name, num_columns, team, generator):
    stored = stored_matrix(name, 33, num_columns, generator)
    packed = matrix.pack([stored])
    x = torch.randn(3, num_columns, generator=generator)
    assert self_test.is_close(matrix.linear(packed, x, team), self_test.expected(stored, packed, x))


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_has_the_same_bits_in_any_company(name, team, generator):
    packed = matrix.pack([stored_matrix(name, 48, 512, generator)])
    x = torch.randn(77, 512, generator=generator)
    together = matrix.linear(packed, x, team)
    for first, last in [(0, 1), (5, 7), (3, 6), (10, 18), (13, 77)]:
        assert torch.equal(matrix.linear(packed, x[first:last], team), together[first:last])


@pytest.mark.parametrize("name", FORMATS)
def test_several_matrices_lie_one_under_the_other(name, team, generator):
    parts = [stored_matrix(name, num_rows, 256, generator) for num_rows in (20, 7, 32)]
    x = torch.randn(4, 256, generator=generator)
    apart = torch.cat([matrix.linear(matrix.pack([part]), x, team) for part in parts], dim=1)
    assert torch.equal(matrix.linear(matrix.pack(parts), x, team), apart)
    mixed = [parts[0], stored_matrix("F32", 3, 256, generator)]
    assert [packed.num_rows for packed in matrix.pack_all(mixed)] == ([23] if name == "F32" else [20, 3])


def test_renamed_rows_come_in_their_order(team, generator):
    plain = self_test.random_blocks("Q6_K", 40, 256, generator)
    order = torch.randperm(40, generator=generator)
    renamed = type(plain)(plain.raw, "Q6_K", 256, order)
    x = torch.randn(2, 256, generator=generator)
    straight = matrix.linear(matrix.pack([plain]), x, team)
    assert torch.equal(matrix.linear(matrix.pack([renamed]), x, team), straight[:, order])


@pytest.mark.parametrize("size", [1e-7, 1.0, 1e6])
def test_scales_of_any_size_keep_their_precision(size, team, generator):
    """fp16 alone would lose 1e-7 and overflow at 1e6."""
    values = torch.randint(0, 16, (32, 64), dtype=torch.uint8, generator=generator)
    scales = size * (torch.rand(32, 2, generator=generator) + 0.5).to(torch.float16).float()
    x = torch.randn(3, 64, generator=generator)
    for kind, offsets in ((Kind.INT4S, -8 * scales), (Kind.INT4, -5.5 * scales)):
        blocks = AffineBlocks(values, scales, offsets, 32)
        wanted = matrix.rounded(x) @ matrix_of(blocks).T
        computed = matrix.linear(matrix.pack_blocks(blocks, kind), x, team)
        assert (computed - wanted).norm() <= 1e-3 * wanted.norm()


def matrix_of(blocks):
    grouped = blocks.values.view(blocks.values.shape[0], -1, 32).float()
    return (grouped * blocks.scales.unsqueeze(-1) + blocks.offsets.unsqueeze(-1)).view(blocks.values.shape)


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_not_finite_stays_visible(name, team, generator):
    packed = matrix.pack([stored_matrix(name, 32, 256, generator)])
    x = torch.randn(3, 256, generator=generator)
    for fault in (float("nan"), float("inf"), float("-inf")):
        spoilt = x.clone()
        spoilt[1, 200] = fault
        computed = matrix.linear(packed, spoilt, team)
        assert not computed[1].isfinite().any()
        assert computed[[0, 2]].isfinite().all()


@pytest.mark.parametrize("name", FORMATS)
def test_zeros_and_tiny_activations_give_zeros(name, team, generator):
    packed = matrix.pack([stored_matrix(name, 32, 256, generator)])
    assert torch.equal(matrix.linear(packed, torch.zeros(2, 256), team), torch.zeros(2, 32))
    assert matrix.linear(packed, torch.full((1, 256), 1e-40), team).abs().max() < 1e-30


def test_results_can_be_added_to_what_is_there(team, generator):
    packed = matrix.pack([stored_matrix("Q4_K", 20, 256, generator)])
    x = torch.randn(3, 256, generator=generator)
    y = torch.ones(3, 20)
    library.load().native_linear(
        ctypes.byref(packed.struct), x.data_ptr(), 3, y.data_ptr(), True, team.handle
    )
    assert torch.equal(y, matrix.linear(packed, x, team) + 1)


def test_no_tokens_give_no_rows(team, generator):
    packed = matrix.pack([stored_matrix("Q4_K", 20, 256, generator)])
    assert matrix.linear(packed, torch.empty(0, 256), team).shape == (0, 20)
