"""A checkpoint folder as a decoder's parameters: Llama, Qwen2, Qwen3, DeepSeek-V3 and Kimi K2."""

from collections.abc import Iterator
from typing import TypedDict

import torch
from torch import Tensor

from inference.checkpoints import hub_config, weights
from inference.checkpoints.folder import CheckpointFolder
from inference.config import Experts
from inference.config import LatentAttention as LatentSizes
from inference.model import folder_matrices, rope
from inference.model.parameters import (
    GroupedQueryAttention,
    LatentAttention,
    Layer,
    MixtureMlp,
    Mlp,
    StoredMatrix,
)


class _Query(TypedDict, total=False):
    """What makes queries: `query`, or the other three."""

    query: StoredMatrix
    query_down: StoredMatrix
    query_norm: Tensor
    query_up: StoredMatrix


class FolderParameters:
    """Raises BadModelFile as `Parameters` says."""

    def __init__(self, folder: CheckpointFolder) -> None:
        self._folder = folder
        self.config = hub_config.read(folder.config, name=folder.path.name)
        weights.check_quantization(folder)

    @property
    def num_bytes(self) -> int:
        return self._folder.num_bytes

    def embedding(self) -> StoredMatrix:
        return self._matrix("model.embed_tokens", self.config.vocab_size, self.config.hidden_size)

    def head(self) -> StoredMatrix:
        if self.config.ties_embeddings:
            return self.embedding()
        return self._matrix("lm_head", self.config.vocab_size, self.config.hidden_size)

    def norm(self) -> Tensor:
        return self._vector("model.norm.weight", self.config.hidden_size)

    def rope_frequency_factors(self) -> Tensor | None:
        """None: config.json says all."""
        return None

    def layers(self) -> Iterator[Layer]:
        for layer in range(self.config.num_layers):
            yield self._layer(layer)
            self._folder.release_pages()

    def _layer(self, layer: int) -> Layer:
        config, prefix = self.config, f"model.layers.{layer}"
        experts = config.experts if config.experts is not None and config.experts.has(layer) else None
        return Layer(
            attention_norm=self._vector(f"{prefix}.input_layernorm.weight", config.hidden_size),
            attention=self._attention(f"{prefix}.self_attn"),
            mlp_norm=self._vector(f"{prefix}.post_attention_layernorm.weight", config.hidden_size),
            mlp=self._mlp(f"{prefix}.mlp", config.intermediate_size)
            if experts is None
            else self._mixture(f"{prefix}.mlp", experts),
        )

    def _attention(self, prefix: str) -> GroupedQueryAttention | LatentAttention:
        sizes = self.config.latent
        return self._grouped(prefix) if sizes is None else self._latent(prefix, sizes)

    def _grouped(self, prefix: str) -> GroupedQueryAttention:
        config = self.config
        query_size, width = config.num_heads * config.head_dim, config.hidden_size
        query_order = rope.interleaving_rows(config.num_heads, config.head_dim)
        key_order = rope.interleaving_rows(config.num_kv_heads, config.head_dim)
        return GroupedQueryAttention(
            query=self._matrix(f"{prefix}.q_proj", query_size, width, order=query_order),
            key=self._matrix(f"{prefix}.k_proj", config.kv_size, width, order=key_order),
            value=self._matrix(f"{prefix}.v_proj", config.kv_size, width),
            output=self._matrix(f"{prefix}.o_proj", width, query_size),
            bias=self._bias(prefix, query_order, key_order) if config.has_qkv_bias else None,
            query_norm=self._head_norm(f"{prefix}.q_norm.weight"),
            key_norm=self._head_norm(f"{prefix}.k_norm.weight"),
        )

    def _bias(self, prefix: str, query_order: Tensor, key_order: Tensor) -> Tensor:
        query = self._vector(f"{prefix}.q_proj.bias", query_order.numel())
        key = self._vector(f"{prefix}.k_proj.bias", key_order.numel())
        value = self._vector(f"{prefix}.v_proj.bias", self.config.kv_size)
        return torch.cat([query[query_order], key[key_order], value])

    def _head_norm(self, name: str) -> Tensor | None:
        if not self.config.has_qk_norm:
            return None
        return self._vector(name, self.config.head_dim)[rope.interleaving_rows(1, self.config.head_dim)]

    def _latent(self, prefix: str, sizes: LatentSizes) -> LatentAttention:
        config, width = self.config, self.config.hidden_size
        made_size = config.num_heads * (sizes.qk_nope_head_dim + sizes.v_head_dim)
        kv_order = self._order(1, sizes.cache_width)
        return LatentAttention(
            **self._query(prefix, sizes),
            kv_down=self._matrix(f"{prefix}.kv_a_proj_with_mqa", sizes.cache_width, width, order=kv_order),
            kv_norm=self._vector(f"{prefix}.kv_a_layernorm.weight", sizes.kv_lora_rank),
            kv_up=self._matrix(f"{prefix}.kv_b_proj", made_size, sizes.kv_lora_rank),
            output=self._matrix(f"{prefix}.o_proj", width, config.num_heads * sizes.v_head_dim),
        )

    def _query(self, prefix: str, sizes: LatentSizes) -> _Query:
        size, width = self.config.num_heads * sizes.qk_head_dim, self.config.hidden_size
        order, rank = self._order(self.config.num_heads, sizes.qk_head_dim), sizes.q_lora_rank
        if rank is None:
            return {"query": self._matrix(f"{prefix}.q_proj", size, width, order=order)}
        return {
            "query_down": self._matrix(f"{prefix}.q_a_proj", rank, width),
            "query_norm": self._vector(f"{prefix}.q_a_layernorm.weight", rank),
            "query_up": self._matrix(f"{prefix}.q_b_proj", size, rank, order=order),
        }

    def _order(self, num_heads: int, head_dim: int) -> Tensor | None:
        """The order in which neighbours rotate, where only the tail of a head does; None: the file's own."""
        if self.config.rope_is_interleaved:
            return None
        return rope.interleaving_tail_rows(num_heads, head_dim, self.config.rope_dim)

    def _mixture(self, prefix: str, experts: Experts) -> MixtureMlp:
        bias = f"{prefix}.gate.e_score_correction_bias"
        size = experts.expert_size
        routed = [self._mlp(f"{prefix}.experts.{expert}", size) for expert in range(experts.num_experts)]
        has_shared = experts.shared_size > 0
        return MixtureMlp(
            router=self._matrix(f"{prefix}.gate", experts.num_experts, self.config.hidden_size),
            choice_bias=self._vector(bias, experts.num_experts),
            experts=tuple(routed),
            shared=self._mlp(f"{prefix}.shared_experts", experts.shared_size) if has_shared else None,
        )

    def _mlp(self, prefix: str, inner: int) -> Mlp:
        width = self.config.hidden_size
        return Mlp(
            gate=self._matrix(f"{prefix}.gate_proj", inner, width),
            up=self._matrix(f"{prefix}.up_proj", inner, width),
            down=self._matrix(f"{prefix}.down_proj", width, inner),
        )

    def _vector(self, name: str, size: int) -> Tensor:
        weights.check(self._folder, name, (size,))
        return self._folder.tensor(name).float().clone()

    def _matrix(
        self, name: str, num_rows: int, num_columns: int, *, order: Tensor | None = None
    ) -> StoredMatrix:
        return folder_matrices.open_matrix(self._folder, name, (num_rows, num_columns), order)
