"""A GGUF file as a decoder's parameters."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.checkpoints import BadModelFile, gguf_config
from inference.checkpoints.gguf_file import GGUFFile
from inference.kernels import gguf_blocks, reference
from inference.kernels.gguf_blocks import AFFINE_TYPES, FLOAT_TYPES, AffineBlocks
from inference.model import rope
from inference.model.parameters import GroupedQueryAttention, Layer, Mlp


@dataclass(frozen=True)
class GGUFMatrix:
    """A StoredMatrix over a file's bytes, uint8 [rows, row_bytes]. `order` renames rows: row i is stored at
    order[i].
    """

    raw: Tensor
    format: str
    num_columns: int
    order: Tensor | None = None

    @property
    def num_rows(self) -> int:
        return self.raw.shape[0]

    @property
    def is_affine(self) -> bool:
        return self.format in AFFINE_TYPES

    def rows(self, indices: Tensor | slice) -> Tensor:
        if self.is_affine:
            return reference.dequantize(self.blocks(indices))
        return gguf_blocks.unpack_float(self._stored(indices), type_name=self.format)

    def blocks(self, indices: Tensor | slice) -> AffineBlocks:
        return gguf_blocks.unpack(self._stored(indices), type_name=self.format)

    def _stored(self, indices: Tensor | slice) -> Tensor:
        return self.raw[indices if self.order is None else self.order[indices]]


class GGUFParameters:
    """Parameters of a Llama, Qwen2 or Qwen3 in a GGUF file. Raises BadModelFile as `Parameters` says."""

    def __init__(self, file: GGUFFile) -> None:
        self._file = file
        self.config = gguf_config.read(file)

    @property
    def num_bytes(self) -> int:
        return sum(tensor.num_bytes for tensor in self._file.tensors.values())

    def embedding(self) -> GGUFMatrix:
        return self._matrix("token_embd.weight", self.config.vocab_size, self.config.hidden_size)

    def head(self) -> GGUFMatrix:
        if self.config.ties_embeddings:
            return self.embedding()
        return self._matrix("output.weight", self.config.vocab_size, self.config.hidden_size)

    def norm(self) -> Tensor:
        return self._vector("output_norm.weight", self.config.hidden_size)

    def rope_frequency_factors(self) -> Tensor | None:
        if gguf_config.ROPE_FACTORS not in self._file.tensors:
            return None
        return self._vector(gguf_config.ROPE_FACTORS, self.config.rope_dim // 2)

    def layers(self) -> Iterator[Layer]:
        for layer in range(self.config.num_layers):
            yield self._layer(f"blk.{layer}.")
            self._file.release_pages()

    def _layer(self, prefix: str) -> Layer:
        config = self.config
        inner, outer = config.intermediate_size, config.hidden_size
        return Layer(
            attention_norm=self._vector(f"{prefix}attn_norm.weight", outer),
            attention=self._attention(prefix),
            mlp_norm=self._vector(f"{prefix}ffn_norm.weight", outer),
            mlp=Mlp(
                gate=self._matrix(f"{prefix}ffn_gate.weight", inner, outer),
                up=self._matrix(f"{prefix}ffn_up.weight", inner, outer),
                down=self._matrix(f"{prefix}ffn_down.weight", outer, inner),
            ),
        )

    def _attention(self, prefix: str) -> GroupedQueryAttention:
        config = self.config
        query_size, width = config.num_heads * config.head_dim, config.hidden_size
        query_order, key_order = self._order(config.num_heads), self._order(config.num_kv_heads)
        return GroupedQueryAttention(
            query=self._matrix(f"{prefix}attn_q.weight", query_size, width, order=query_order),
            key=self._matrix(f"{prefix}attn_k.weight", config.kv_size, width, order=key_order),
            value=self._matrix(f"{prefix}attn_v.weight", config.kv_size, width),
            output=self._matrix(f"{prefix}attn_output.weight", width, query_size),
            bias=self._bias(prefix, query_order, key_order) if config.has_qkv_bias else None,
            query_norm=self._head_norm(f"{prefix}attn_q_norm.weight"),
            key_norm=self._head_norm(f"{prefix}attn_k_norm.weight"),
        )

    def _bias(self, prefix: str, query_order: Tensor | None, key_order: Tensor | None) -> Tensor:
        config = self.config
        query = self._vector(f"{prefix}attn_q.bias", config.num_heads * config.head_dim)
        key = self._vector(f"{prefix}attn_k.bias", config.kv_size)
        value = self._vector(f"{prefix}attn_v.bias", config.kv_size)
        query = query if query_order is None else query[query_order]
        return torch.cat([query, key if key_order is None else key[key_order], value])

    def _head_norm(self, name: str) -> Tensor | None:
        if not self.config.has_qk_norm:
            return None
        order = self._order(1)
        weight = self._vector(name, self.config.head_dim)
        return weight if order is None else weight[order]

    def _order(self, num_heads: int) -> Tensor | None:
        """The order in which neighbouring rows of each head rotate together; None: the file's own."""
        config = self.config
        return None if config.rope_is_interleaved else rope.interleaving_rows(num_heads, config.head_dim)

    def _vector(self, name: str, size: int) -> Tensor:
        return self._matrix(name, 1, size).rows(slice(None))[0].clone()

    def _matrix(
        self, name: str, num_rows: int, num_columns: int, *, order: Tensor | None = None
    ) -> GGUFMatrix:
        raw = torch.from_numpy(self._file.raw(name))
        info = self._file.tensors[name]
        if info.type_name not in AFFINE_TYPES and info.type_name not in FLOAT_TYPES:
            known = ", ".join(sorted([*AFFINE_TYPES, *FLOAT_TYPES]))
            raise BadModelFile(
                f"tensor {name} is stored as {info.type_name}; this engine reads {known}: take such a file"
            )
        if (info.num_rows, info.shape[-1]) != (num_rows, num_columns):
            raise BadModelFile(
                f"tensor {name} has shape {list(info.shape)}, the file's own header asks for "
                f"[{num_rows}, {num_columns}]: fetch the file again, or another one"
            )
        return GGUFMatrix(raw, info.type_name, num_columns, order)
