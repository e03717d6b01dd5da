"""Proves each kernel against its torch twin on this machine, before anything is computed with it.

Weights are made up as a file's own bytes, so that packing is proved too; shapes are uneven on purpose.
"""

import ctypes

import torch
from torch import Tensor

from inference.kernels import reference
from inference.model.gguf_source import GGUFMatrix
from inference.native import library, matrix
from inference.native.matrix import Kind, PackedMatrix

_NUM_ROWS, _NUM_COLUMNS, _NUM_TOKENS = 40, 768, 11
_TOLERANCE = 1e-5
# GGUF's format: columns and bytes of a block, and where its fp16 numbers lie.
_BLOCKS = {
    "Q4_K": (256, 144, (0, 2)),
    "Q6_K": (256, 210, (208,)),
    "Q4_1": (32, 20, (0, 2)),
    "Q4_0": (32, 18, (0,)),
    "Q8_0": (32, 34, (0,)),
}
_FLOATS = {"BF16": torch.bfloat16, "F32": torch.float32}


def run(*, native: ctypes.CDLL | None = None, num_threads: int = 2) -> dict[str, bool]:
    """Each format's name and whether its products are right: equal to the twin's within rounding, a row's
    bits the same alone and in company, and NaN not lost. About 0.1 s.
    """
    generator = torch.Generator().manual_seed(0)
    with library.Team(num_threads, library=native) as team:
        stored = [
            *(random_blocks(name, _NUM_ROWS, _NUM_COLUMNS, generator) for name in _BLOCKS),
            *(random_floats(name, _NUM_ROWS, _NUM_COLUMNS - 1, generator) for name in _FLOATS),
        ]
        return {one.format: _is_right(one, team, generator) for one in stored}


def random_blocks(name: str, num_rows: int, num_columns: int, generator: torch.Generator) -> GGUFMatrix:
    """A matrix of one of GGUF's affine formats with random integers and scales near 1."""
    columns, num_bytes, halves = _BLOCKS[name]
    raw = torch.randint(
        0, 256, (num_rows, num_columns // columns, num_bytes), dtype=torch.uint8, generator=generator
    )
    for at in halves:
        scales = torch.rand(*raw.shape[:2], 1, generator=generator) + 0.5
        raw[..., at : at + 2] = scales.to(torch.float16).view(torch.uint8)
    return GGUFMatrix(raw.view(num_rows, -1), name, num_columns)


def random_floats(name: str, num_rows: int, num_columns: int, generator: torch.Generator) -> GGUFMatrix:
    """A matrix of one of GGUF's float formats."""
    values = torch.randn(num_rows, num_columns, generator=generator).to(_FLOATS[name])
    return GGUFMatrix(values.view(torch.uint8).view(num_rows, -1), name, num_columns)


def _is_right(stored: GGUFMatrix, team: library.Team, generator: torch.Generator) -> bool:
    packed = matrix.pack([stored])
    x = torch.randn(_NUM_TOKENS, stored.num_columns, generator=generator)
    computed = matrix.linear(packed, x, team)
    alone = torch.cat([matrix.linear(packed, row, team) for row in x.unsqueeze(1)])
    return (
        is_close(computed, expected(stored, packed, x))
        and torch.equal(computed, alone)
        and _shows_nan(packed, x, team)
    )


def expected(stored: GGUFMatrix, packed: PackedMatrix, x: Tensor) -> Tensor:
    """The twin's product: x rounded as the integer kernels round it, the weights exactly."""
    if packed.kind in (Kind.BF16, Kind.FP32):
        return x @ stored.rows(slice(None)).T
    return reference.int4_linear(matrix.rounded(x), stored.blocks(slice(None)))


def is_close(computed: Tensor, wanted: Tensor) -> bool:
    """Within what sums in another order may differ; False where anything is not finite."""
    return bool((computed - wanted).norm() <= _TOLERANCE * wanted.norm())


def _shows_nan(packed: PackedMatrix, x: Tensor, team: library.Team) -> bool:
    """One NaN among a row's activations spoils that row, all of it, and no other."""
    spoilt = x.clone()
    spoilt[1, 33] = float("nan")
    is_nan = matrix.linear(packed, spoilt, team).isnan()
    return bool(is_nan[1].all()) and int(is_nan.sum()) == packed.num_rows
