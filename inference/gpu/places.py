"""Which rows a pass computes, and where in the pool they stand."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """What the rows of a pass have in common, on the device.

    cosines, sines  fp32 [num_rows, rope_dim // 2]
    slots           int64 [num_rows]: where what each row leaves goes in a layer of the pool, -1 nowhere
    lengths         int32 [num_rows]: 0 for rows that only fill a batch up; None where there are none
    """

    cosines: Tensor
    sines: Tensor
    slots: Tensor
    lengths: Tensor | None


@dataclass(frozen=True)
class Singles:
    """A single new token of each sequence.

    block_tables  int32 [num_sequences, most_blocks]
    lengths       int32 [num_sequences], the new token included
    """

    block_tables: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class Run:
    """One sequence's rows of a pass: position `start` and on; `blocks` int64 hold all up to the last."""

    rows: slice
    start: int
    blocks: Tensor


@dataclass(frozen=True)
class Runs:
    """Several new tokens of each sequence."""

    each: Sequence[Run]


Place = Singles | Runs
