"""The kernels as a decoder calls them: cut up by the device's table; twins where they proved wrong."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.config import Experts
from inference.kernels.gpu import attention, experts, grouped, latent, routing, rows, tuning, twins
from inference.kernels.gpu.experts import Int4Experts

KERNELS = (
    "route",
    "mix",
    "decode_latent",
    "decode_grouped",
    "prefill",
    "add_rms_norm",
    "rotate",
    "store_latents",
    "store_heads",
    "best_tokens",
)


@dataclass(frozen=True)
class Suite:
    """`device` is the name in the tuning table; `wrong` are the kernels whose twins serve.

    Shapes are those of the kernels' own functions. `can_capture`: a CUDA graph may hold what it launches.
    """

    device: str
    wrong: frozenset[str] = frozenset()

    @property
    def can_capture(self) -> bool:
        return not self.wrong & {"mix", "decode_latent", "decode_grouped", "store_latents", "store_heads"}

    def route(
        self, logits: Tensor, choice_bias: Tensor, router: Experts, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Routers with groups are the twin's."""
        source = twins if "route" in self.wrong or router.num_groups > 1 else routing
        return source.route(logits, choice_bias, router, lengths)

    def mix(
        self,
        planes: Tensor,
        weights: Tensor,
        chosen: Tensor,
        gate_up: Int4Experts,
        down: Int4Experts,
        added: Tensor | None,
    ) -> Tensor:
        """Every token's chosen experts by their weights, and `added`: fp32 [num_tokens, hidden_size].

        planes   bf16 [num_tokens, hidden_size], in plane order
        weights  fp32, and chosen int32, [num_tokens, num_per_token]; -1 chooses nobody
        added    fp32 [num_tokens, hidden_size]
        """
        if "mix" in self.wrong:
            return twins.mix(experts.from_planes(planes), weights, chosen, gate_up, down, added)
        num_tokens, num_per_token = chosen.shape
        widen = tuning.experts(self.device, "gate_up", num_tokens)
        narrow = tuning.experts(self.device, "down", num_tokens)
        work = routing.gather_work(chosen, gate_up.num_experts, rows_per_block=widen.rows_per_block)
        activated = experts.gate_up(planes, gate_up, work, num_per_token, widen)
        if narrow.rows_per_block != widen.rows_per_block:
            work = routing.gather_work(chosen, gate_up.num_experts, rows_per_block=narrow.rows_per_block)
        shares = experts.down(activated, weights, down, work, narrow)
        return experts.combine(shares, num_per_token, added, chosen)

    def decode_latent(
        self, queries: Tensor, pool: Tensor, block_tables: Tensor, lengths: Tensor, *, rank: int, scale: float
    ) -> Tensor:
        if "decode_latent" in self.wrong:
            return twins.decode_latent(queries, pool, block_tables, lengths, rank=rank, scale=scale)
        config = tuning.attention(self.device, "latent_decode", queries.shape[0])
        return latent.decode(queries, pool, block_tables, lengths, rank=rank, scale=scale, config=config)

    def decode_grouped(
        self, queries: Tensor, pool: Tensor, block_tables: Tensor, lengths: Tensor, *, scale: float
    ) -> Tensor:
        if "decode_grouped" in self.wrong:
            return twins.decode_grouped(queries, pool, block_tables, lengths, scale=scale)
        config = tuning.attention(self.device, "grouped_decode", queries.shape[0])
        return grouped.decode(queries, pool, block_tables, lengths, scale=scale, config=config)

    def prefill(
        self,
        queries: Tensor,
        made: Tensor,
        shared_keys: Tensor | None,
        *,
        start: int,
        first: int,
        nope: int,
        scale: float,
    ) -> tuple[Tensor, Tensor]:
        if "prefill" in self.wrong:
            return twins.prefill(queries, made, shared_keys, start=start, first=first, nope=nope, scale=scale)
        config = tuning.attention(self.device, "prefill", queries.shape[0])
        return attention.prefill(
            queries, made, shared_keys, start=start, first=first, nope=nope, scale=scale, config=config
        )

    def add_rms_norm(
        self,
        hidden: Tensor,
        added: Tensor | None,
        weight: Tensor,
        eps: float,
        *,
        planes: Tensor | None = None,
    ) -> Tensor:
        source = twins if "add_rms_norm" in self.wrong else rows
        return source.add_rms_norm(hidden, added, weight, eps, planes=planes)

    def rotate(self, x: Tensor, cosines: Tensor, sines: Tensor, out: Tensor) -> None:
        source = twins if "rotate" in self.wrong else rows
        source.rotate(x, cosines, sines, out)

    def store_latents(
        self,
        projected: Tensor,
        weight: Tensor,
        eps: float,
        cosines: Tensor,
        sines: Tensor,
        slots: Tensor,
        pool: Tensor,
    ) -> None:
        source = twins if "store_latents" in self.wrong else rows
        source.store_latents(projected, weight, eps, cosines, sines, slots, pool)

    def store_heads(self, keys: Tensor, values: Tensor, slots: Tensor, pool: Tensor) -> None:
        store = twins.store_heads if "store_heads" in self.wrong else grouped.store
        store(keys, values, slots, pool)

    def best_tokens(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        source = twins if "best_tokens" in self.wrong else rows
        return source.best_tokens(logits)


def device_name(device: torch.device) -> str:
    """As the tuning table calls it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "interpreter"
