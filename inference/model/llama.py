"""The dense decoder of the Llama family, Qwen2 included: token ids and caches in, logits out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference.config import ModelConfig
from inference.model import attention, rope
from inference.model.attention import Attention, Span
from inference.model.layers import Head, Linear, RMSNorm
from inference.model.rope import Rotary
from inference.model.weights import StoredMatrix, Weights


@dataclass(frozen=True)
class Block:
    """One layer. `gate_up` gives the gate's and the up projection's outputs side by side."""

    attention_norm: RMSNorm
    attention: Attention
    mlp_norm: RMSNorm
    gate_up: Linear
    down: Linear

    def __call__(self, hidden: Tensor, rotations: Tensor, spans: Sequence[Span], *, layer: int) -> Tensor:
        """Adds to `hidden`, fp32 [num_tokens, hidden_size], in place."""
        hidden += self.attention(self.attention_norm(hidden), rotations, spans, layer=layer)
        is_prefill = attention.is_prefilling(spans)
        gate, up = self.gate_up(self.mlp_norm(hidden), is_prefill=is_prefill).chunk(2, dim=1)
        hidden += self.down(functional.silu(gate) * up, is_prefill=is_prefill)
        return hidden


@dataclass(frozen=True)
class LlamaModel:
    config: ModelConfig
    embedding: StoredMatrix
    blocks: Sequence[Block]
    norm: RMSNorm
    head: Head
    rotary: Rotary

    @torch.inference_mode()
    def forward(self, token_ids: Sequence[int], spans: Sequence[Span]) -> Tensor:
        """Run each span's tokens behind what its cache holds; fills the caches.

        token_ids  the spans' tokens, one span after the other
        returns    fp32 [num_spans, vocab_size], the logits that follow each span's last token
        """
        assert len(token_ids) == sum(span.num_tokens for span in spans)
        hidden = self.embedding.rows(torch.tensor(token_ids))
        rotations = self.rotary.at(_positions(spans))
        for layer, block in enumerate(self.blocks):
            hidden = block(hidden, rotations, spans, layer=layer)
        for span in spans:
            span.cache.num_tokens += span.num_tokens
        last_rows = torch.tensor([span.num_tokens for span in spans]).cumsum(0) - 1
        return self.head(self.norm.exact(hidden[last_rows]))


def _positions(spans: Sequence[Span]) -> Tensor:
    starts = [(span.cache.num_tokens, span.num_tokens) for span in spans]
    return torch.cat([torch.arange(start, start + num_tokens) for start, num_tokens in starts])


def load(
    weights: Weights, config: ModelConfig, *, max_context_tokens: int, on_progress: Callable[[float], None]
) -> LlamaModel:
    """Read every parameter. `on_progress` hears the share done, 0 to 1. Raises BadModelFile."""
    blocks = []
    for layer in range(config.num_layers):
        blocks.append(_block(weights, config, layer))
        on_progress(0.9 * (layer + 1) / config.num_layers)
    embedding = weights.matrix("token_embd.weight")
    output = weights.matrix("output.weight") if weights.has("output.weight") else embedding
    factors = weights.vector("rope_freqs.weight") if weights.has("rope_freqs.weight") else None
    model = LlamaModel(
        config=config,
        embedding=embedding,
        blocks=blocks,
        norm=_norm(weights, config, "output_norm"),
        head=weights.head(output),
        rotary=Rotary(config, frequency_factors=factors),
    )
    on_progress(1.0)
    return model


def _block(weights: Weights, config: ModelConfig, layer: int) -> Block:
    prefix = f"blk.{layer}."
    return Block(
        attention_norm=_norm(weights, config, f"{prefix}attn_norm"),
        attention=_attention(weights, config, prefix),
        mlp_norm=_norm(weights, config, f"{prefix}ffn_norm"),
        gate_up=weights.linear([weights.matrix(f"{prefix}ffn_{part}.weight") for part in ("gate", "up")]),
        down=weights.linear([weights.matrix(f"{prefix}ffn_down.weight")]),
    )


def _attention(weights: Weights, config: ModelConfig, prefix: str) -> Attention:
    """Queries' and keys' rows are brought into the order in which neighbours rotate together."""
    orders = {"q": _order(config, config.num_heads), "k": _order(config, config.num_kv_heads), "v": None}
    matrices = [weights.matrix(f"{prefix}attn_{part}.weight", order=order) for part, order in orders.items()]
    bias = None
    if weights.has(f"{prefix}attn_q.bias"):
        vectors = {part: weights.vector(f"{prefix}attn_{part}.bias") for part in orders}
        bias = torch.cat([v if orders[part] is None else v[orders[part]] for part, v in vectors.items()])
    return Attention(
        config=config,
        qkv=weights.linear(matrices),
        bias=bias,
        output=weights.linear([weights.matrix(f"{prefix}attn_output.weight")]),
    )


def _order(config: ModelConfig, num_heads: int) -> Tensor | None:
    return None if config.rope_is_interleaved else rope.interleaving_rows(num_heads, config.head_dim)


def _norm(weights: Weights, config: ModelConfig, name: str) -> RMSNorm:
    return RMSNorm(weights.vector(f"{name}.weight"), config.rms_norm_eps, weights.dtype)
