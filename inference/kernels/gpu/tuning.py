"""How each kernel is cut up on which device: a table (`tuning.toml`), never tuned while serving."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

TABLE = Path(__file__).parent / "tuning.toml"


@dataclass(frozen=True)
class ExpertConfig:
    """`rows_per_block` pairs share one reading of an expert's weights; a program computes `block_columns`
    outputs and reads `block_words` words (of 8 weights) of each at a time.
    """

    way: Literal["rows", "tiles"]
    rows_per_block: int
    block_columns: int
    block_words: int
    num_warps: int
    num_stages: int


@dataclass(frozen=True)
class AttentionConfig:
    """A program attends with `block_heads` heads (decode) or queries (prefill) to `block_positions` positions
    at a time; `num_splits` programs share a sequence.
    """

    block_heads: int
    block_positions: int
    num_splits: int
    num_warps: int
    num_stages: int


def experts(device: str, matrix: Literal["gate_up", "down"], num_tokens: int) -> ExpertConfig:
    """The entry of the smallest number of tokens that is at least `num_tokens`, else the largest."""
    return ExpertConfig(**_entry(device, matrix, num_tokens))


def attention(
    device: str, kernel: Literal["latent_decode", "grouped_decode", "prefill"], size: int
) -> AttentionConfig:
    """`size`: sequences for decode, queries for prefill."""
    return AttentionConfig(**_entry(device, kernel, size))


def is_measured(device: str) -> bool:
    """Whether the device has entries of its own, or runs with those of another."""
    return device in _table()["device"]


def _entry(device: str, kernel: str, size: int) -> dict[str, Any]:
    table = _table()["device"]
    rows: list[dict[str, Any]] = table.get(device, table["default"])[kernel]
    chosen = next((row for row in rows if size <= row["up_to"]), rows[-1])
    return {name: value for name, value in chosen.items() if name != "up_to"}


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    return tomllib.loads(TABLE.read_text())
