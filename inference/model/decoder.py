"""The decoder on torch's own operators: every architecture, the reference and the fallback."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.config import ModelConfig
from inference.model import grouped_query, latent, mixture, paging, parameters
from inference.model.grouped_query import GroupedQuery
from inference.model.kv_pool import KVPool
from inference.model.latent import Form, Latent
from inference.model.layers import RMSNorm
from inference.model.mixture import FeedForward, Mixture
from inference.model.packing import Packer, Precision
from inference.model.paging import Pass
from inference.model.parameters import Parameters
from inference.model.port import Span
from inference.model.rope import Rotary

_KERNELS: dict[Precision, str] = {
    "int4": "torch int4 g32",
    "bf16": "torch bf16 dequantised",
    "fp32": "torch fp32 reference",
}


@dataclass(frozen=True)
class Block:
    """One layer."""

    attention_norm: RMSNorm
    attention: GroupedQuery | Latent
    mlp_norm: RMSNorm
    mlp: FeedForward | Mixture

    def __call__(self, hidden: Tensor, run: Pass, *, layer: int) -> Tensor:
        """Adds to `hidden`, fp32 [num_tokens, hidden_size], in place."""
        hidden += self.attention(self.attention_norm(hidden), run, layer=layer)
        hidden += self.mlp(self.mlp_norm(hidden), is_prefill=run.is_prompt)
        return hidden


class TorchDecoder:
    """A `port.Model`. Prompts and single tokens are computed apart, in ways whose roundings differ.

    `precision` int4 is 4 and 8 bits for single tokens and, where `keeps_dense`, a bf16 copy for prompts: two
    bytes for every weight outside embedding and head. `latent_forms` are those of prompts and of single
    tokens. `on_progress` hears the share done, 0 to 1. Raises BadModelFile.
    """

    is_cut_invariant = False

    def __init__(
        self,
        source: Parameters,
        *,
        precision: Precision,
        keeps_dense: bool = True,
        latent_forms: tuple[Form, Form] = ("plain", "absorbed"),
        on_progress: Callable[[float], None] = lambda share: None,
    ) -> None:
        self.config: ModelConfig = source.config
        self.kernel = _KERNELS[precision]
        packer = Packer(precision, keeps_dense)
        self.kv_dtypes: tuple[torch.dtype, ...] = (packer.dtype, torch.float8_e4m3fn)
        self._blocks = []
        for weights in source.layers():
            self._blocks.append(_block(weights, self.config, packer, latent_forms))
            on_progress(0.9 * len(self._blocks) / self.config.num_layers)
        self._embedding = source.embedding()
        self._norm = packer.norm(source.norm(), self.config.rms_norm_eps)
        self._head = packer.head(source.head())
        self._rotary = Rotary(self.config, frequency_factors=source.rope_frequency_factors())
        on_progress(1.0)

    @torch.inference_mode()
    def forward(self, token_ids: list[int], spans: list[Span], pool: KVPool) -> Tensor:
        """As `port.Model.forward` says."""
        assert len(token_ids) == sum(span.num_tokens for span in spans)
        starts = _starts(spans)
        wanted: dict[int, Tensor] = {}
        for is_prompt in (True, False):
            chosen = [index for index, span in enumerate(spans) if (span.num_tokens > 1) == is_prompt]
            if not chosen:
                continue
            ids = [token for index in chosen for token in token_ids[starts[index] : starts[index + 1]]]
            hidden = self._run(ids, [spans[index] for index in chosen], pool, is_prompt=is_prompt)
            pieces = hidden.split_with_sizes([spans[index].num_tokens for index in chosen])
            for index, piece in zip(chosen, pieces, strict=True):
                wanted[index] = piece[piece.shape[0] - spans[index].num_logits :]
        rows = torch.cat([wanted[index] for index in range(len(spans))])
        if not rows.shape[0]:
            return torch.empty(0, self.config.vocab_size)
        return self._head(self._norm.exact(rows))

    def _run(self, token_ids: list[int], spans: Sequence[Span], pool: KVPool, *, is_prompt: bool) -> Tensor:
        """The last layer's output, fp32 [num_tokens, hidden_size]."""
        hidden = self._embedding.rows(torch.tensor(token_ids))
        positions = torch.cat([torch.arange(span.start, span.start + span.num_tokens) for span in spans])
        run = Pass(is_prompt, self._rotary.at(positions), paging.places(spans), pool)
        for layer, block in enumerate(self._blocks):
            hidden = block(hidden, run, layer=layer)
        return hidden


def _starts(spans: Sequence[Span]) -> list[int]:
    """Where each span's tokens begin, and where the last one's end."""
    starts = [0]
    for span in spans:
        starts.append(starts[-1] + span.num_tokens)
    return starts


def _block(weights: parameters.Layer, config: ModelConfig, packer: Packer, forms: tuple[Form, Form]) -> Block:
    attention: GroupedQuery | Latent
    if isinstance(weights.attention, parameters.LatentAttention):
        attention = latent.build(weights.attention, config, packer, forms)
    else:
        attention = grouped_query.build(weights.attention, config, packer)
    return Block(
        attention_norm=packer.norm(weights.attention_norm, config.rms_norm_eps),
        attention=attention,
        mlp_norm=packer.norm(weights.mlp_norm, config.rms_norm_eps),
        mlp=mixture.build(weights.mlp, config.experts, packer),
    )
