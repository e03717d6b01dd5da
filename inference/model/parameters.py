"""A decoder's parameters by their place in the architecture, whatever file they come from.

Matrices stay as stored until their rows are asked for, so that a model is read layer by layer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from inference.config import ModelConfig
from inference.kernels.gguf_blocks import AffineBlocks


class StoredMatrix(Protocol):
    """A matrix [num_rows, num_columns] as its file holds it.

    `format` is GGUF's name (Q4_K, Q6_K, Q8_0, F32, BF16 …), INT4_G32 for compressed-tensors' pack-quantized
    or F8_E4M3 for block-scaled FP8. Rows come in the order in which rotary pairs are neighbours.
    """

    @property
    def format(self) -> str: ...

    @property
    def num_rows(self) -> int: ...

    @property
    def num_columns(self) -> int: ...

    @property
    def is_affine(self) -> bool:
        """Whether the rows are integers with scales, which `blocks` gives."""
        ...

    def rows(self, indices: Tensor | slice) -> Tensor:
        """The chosen rows, fp32 [num_chosen, num_columns]."""
        ...

    def blocks(self, indices: Tensor | slice) -> AffineBlocks:
        """The chosen rows of an affine matrix, unpacked; no rounding beyond the file's own."""
        ...


@dataclass(frozen=True, kw_only=True)
class GroupedQueryAttention:
    """`bias` [q + k + v rows] and the norms of each query's and key's head [head_dim]: None where there are
    none. Vectors are fp32 here and below.
    """

    query: StoredMatrix
    key: StoredMatrix
    value: StoredMatrix
    output: StoredMatrix
    bias: Tensor | None = None
    query_norm: Tensor | None = None
    key_norm: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class LatentAttention:
    """`query` alone, or `query_down`, `query_norm` and `query_up` through the query's own latent.

    query, query_up  [num_heads * (nope + rope), in]: per head the part without position, then the rotated one
    kv_down          [kv_lora_rank + rope, hidden_size]: the latent, then the shared key
    kv_up            [num_heads * (nope + v), kv_lora_rank]: per head the key's part, then the value
    """

    query: StoredMatrix | None = None
    query_down: StoredMatrix | None = None
    query_norm: Tensor | None = None
    query_up: StoredMatrix | None = None
    kv_down: StoredMatrix
    kv_norm: Tensor
    kv_up: StoredMatrix
    output: StoredMatrix


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """down(silu(gate x) * up x)."""

    gate: StoredMatrix
    up: StoredMatrix
    down: StoredMatrix


@dataclass(frozen=True, kw_only=True)
class MixtureMlp:
    """`router` [num_experts, hidden_size]; `choice_bias` [num_experts] is added to scores for choosing
    only.
    """

    router: StoredMatrix
    choice_bias: Tensor
    experts: tuple[Mlp, ...]
    shared: Mlp | None


@dataclass(frozen=True, kw_only=True)
class Layer:
    attention_norm: Tensor
    attention: GroupedQueryAttention | LatentAttention
    mlp_norm: Tensor
    mlp: Mlp | MixtureMlp


class Parameters(Protocol):
    """A model file's parameters. All methods raise BadModelFile for what is missing or misshapen."""

    config: ModelConfig

    @property
    def num_bytes(self) -> int:
        """What the file's tensors take on disk."""
        ...

    def embedding(self) -> StoredMatrix: ...

    def layers(self) -> Iterator[Layer]:
        """One after the other; the pages of a layer may leave memory once the next is asked for."""
        ...

    def norm(self) -> Tensor: ...

    def head(self) -> StoredMatrix:
        """The output projection; the embedding where the model ties them."""
        ...

    def rope_frequency_factors(self) -> Tensor | None:
        """What each rotary frequency is divided by [rope_dim // 2]; None: nothing."""
        ...
