"""Proves every kernel on the device against its twin, before anything is computed with it.

Shapes are uneven on purpose; outputs that a kernel should write are poisoned before. Experts are
multiplied in every way that the device's table names.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from inference.config import Experts
from inference.kernels.gpu import suite, twins
from inference.kernels.gpu.experts import Int4Experts, to_planes
from inference.kernels.gpu.suite import KERNELS, Suite

logger = logging.getLogger(__name__)

_TOLERANCE = 2e-2  # of the norm; operands are bf16
_ROUTER = Experts(
    num_experts=12,
    num_per_token=3,
    expert_size=64,
    shared_size=0,
    first_layer=0,
    layer_step=1,
    normalizes_weights=True,
    scaling_factor=2.5,
)
_HIDDEN_SIZE = 224
_PAGE = 64
_HEADS, _RANK, _ROPE, _NOPE, _VALUE = 5, 64, 16, 32, 32


def proven(device: torch.device) -> Suite:
    """The device's kernels; a twin stands in for each that is wrong or does not compile, which is logged."""
    results = run(device)
    wrong = frozenset(name for name, is_right in results.items() if not is_right)
    if wrong:
        logger.warning("kernels that failed their self-test, computed by torch instead: %s", sorted(wrong))
    return Suite(suite.device_name(device), wrong)


def run(device: torch.device, kernels: Suite | None = None) -> dict[str, bool]:
    """Each kernel's name and whether it is right."""
    kernels = kernels or Suite(suite.device_name(device))
    generator = torch.Generator().manual_seed(0)
    return {name: _holds(name, kernels, _Inputs(device, generator)) for name in KERNELS}


class _Inputs:
    """Random tensors on the device."""

    def __init__(self, device: torch.device, generator: torch.Generator) -> None:
        self.device, self.generator = device, generator

    def normal(self, *shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        return torch.randn(*shape, generator=self.generator).to(self.device, dtype)

    def ints(self, low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=self.generator).to(self.device, torch.int32)

    def experts(self, num_rows: int, num_columns: int) -> Int4Experts:
        words = self.ints(-(2**31), 2**31, _ROUTER.num_experts, num_rows, num_columns // 8)
        scales = torch.rand(_ROUTER.num_experts, num_rows, num_columns // 32, generator=self.generator)
        return Int4Experts(words, (scales / num_columns**0.5).to(self.device, torch.bfloat16))


def _holds(name: str, kernels: Suite, inputs: _Inputs) -> bool:
    try:
        return all(_is_close(ours, theirs) for ours, theirs in _CHECKS[name](kernels, inputs))
    except Exception:  # whatever a compiler or driver throws: the twin serves
        logger.exception("the kernel %s does not run on this device", name)
        return False


def _is_close(ours: Tensor, theirs: Tensor) -> bool:
    ours, theirs = ours.double(), theirs.double()
    return bool((ours - theirs).norm() <= _TOLERANCE * theirs.norm())  # false for NaN


_Pairs = list[tuple[Tensor, Tensor]]


def _route(kernels: Suite, inputs: _Inputs) -> _Pairs:
    pairs: _Pairs = []
    for num_experts in (12, 384):
        logits, bias = inputs.normal(7, num_experts, dtype=torch.float32), inputs.normal(num_experts).float()
        ours, theirs = kernels.route(logits, bias, _ROUTER), twins.route(logits, bias, _ROUTER)
        pairs += [(ours[0], theirs[0]), (ours[1], theirs[1])]
    return pairs


def _mix(kernels: Suite, inputs: _Inputs) -> _Pairs:
    gate_up = inputs.experts(2 * _ROUTER.expert_size, _HIDDEN_SIZE)
    down = inputs.experts(_HIDDEN_SIZE, _ROUTER.expert_size)
    pairs: _Pairs = []
    for num_tokens in (1, 9, 70):
        x = inputs.normal(num_tokens, _HIDDEN_SIZE)
        weights = inputs.normal(num_tokens, _ROUTER.num_per_token).float().abs()
        chosen = inputs.ints(-1, _ROUTER.num_experts - 1, num_tokens, _ROUTER.num_per_token)
        added = inputs.normal(num_tokens, _HIDDEN_SIZE, dtype=torch.float32)
        ours = kernels.mix(to_planes(x), weights, chosen, gate_up, down, added)
        pairs.append((ours, twins.mix(x, weights, chosen, gate_up, down, added)))
    return pairs


def _decode_latent(kernels: Suite, inputs: _Inputs) -> _Pairs:
    pool = inputs.normal(9, _PAGE, _RANK + _ROPE)
    tables, lengths = _tables(inputs)
    queries = inputs.normal(3, _HEADS, _RANK + _ROPE)
    ours = kernels.decode_latent(queries, pool, tables, lengths, rank=_RANK, scale=0.1)
    return [(ours, twins.decode_latent(queries, pool, tables, lengths, rank=_RANK, scale=0.1))]


def _decode_grouped(kernels: Suite, inputs: _Inputs) -> _Pairs:
    pool = inputs.normal(9, 2, 2, _PAGE, _VALUE)
    tables, lengths = _tables(inputs)
    queries = inputs.normal(3, 6, _VALUE)
    ours = kernels.decode_grouped(queries, pool, tables, lengths, scale=0.1)
    return [(ours, twins.decode_grouped(queries, pool, tables, lengths, scale=0.1))]


def _tables(inputs: _Inputs) -> tuple[Tensor, Tensor]:
    """Scattered blocks of three sequences, and their lengths: more than a block, nothing, whole blocks."""
    tables = torch.tensor([[3, 1, 0], [2, 0, 0], [5, 6, 8]], dtype=torch.int32, device=inputs.device)
    return tables, torch.tensor([150, 0, 192], dtype=torch.int32, device=inputs.device)


def _prefill(kernels: Suite, inputs: _Inputs) -> _Pairs:
    queries, made = inputs.normal(37, _HEADS, _NOPE + _ROPE), inputs.normal(100, _HEADS, _NOPE + _VALUE)
    shared = inputs.normal(100, _RANK + _ROPE)[:, _RANK:]
    ours = kernels.prefill(queries, made, shared, start=63, first=0, nope=_NOPE, scale=0.1)
    theirs = twins.prefill(queries, made, shared, start=63, first=0, nope=_NOPE, scale=0.1)
    alone = queries[..., :_NOPE].repeat(1, 2, 1).contiguous()
    grouped = kernels.prefill(alone, made, None, start=63, first=0, nope=_NOPE, scale=0.1)
    expected = twins.prefill(alone, made, None, start=63, first=0, nope=_NOPE, scale=0.1)
    return [*zip(ours, theirs, strict=True), *zip(grouped, expected, strict=True)]


def _add_rms_norm(kernels: Suite, inputs: _Inputs) -> _Pairs:
    hidden, added = inputs.normal(5, _HIDDEN_SIZE, dtype=torch.float32), inputs.normal(5, _HIDDEN_SIZE)
    weight, planes = inputs.normal(_HIDDEN_SIZE).float(), torch.full_like(added, torch.nan)
    kept = hidden.clone()
    ours = kernels.add_rms_norm(kept, added, weight, 1e-5, planes=planes)
    theirs = twins.add_rms_norm(hidden, added, weight, 1e-5)
    return [(ours, theirs), (planes, to_planes(theirs)), (kept, hidden)]


def _rotate(kernels: Suite, inputs: _Inputs) -> _Pairs:
    x, angles = inputs.normal(4, _HEADS, _NOPE + _ROPE), inputs.normal(4, _ROPE // 2).float()
    ours, theirs = torch.full_like(x[..., _NOPE:], torch.nan), torch.empty_like(x[..., _NOPE:])
    kernels.rotate(x[..., _NOPE:], angles.cos(), angles.sin(), ours)
    twins.rotate(x[..., _NOPE:], angles.cos(), angles.sin(), theirs)
    return [(ours, theirs)]


def _store_latents(kernels: Suite, inputs: _Inputs) -> _Pairs:
    projected, weight = inputs.normal(3, _RANK + _ROPE), inputs.normal(_RANK).float()
    angles = inputs.normal(3, _ROPE // 2).float()
    slots = torch.tensor([3, -1, 70], device=inputs.device)
    ours = inputs.normal(2, _PAGE, _RANK + _ROPE)
    theirs = ours.clone()
    kernels.store_latents(projected, weight, 1e-6, angles.cos(), angles.sin(), slots, ours)
    twins.store_latents(projected, weight, 1e-6, angles.cos(), angles.sin(), slots, theirs)
    return [(ours, theirs)]


def _store_heads(kernels: Suite, inputs: _Inputs) -> _Pairs:
    keys, values = inputs.normal(3, 2, _VALUE), inputs.normal(3, 2, _VALUE)
    slots = torch.tensor([3, -1, 70], device=inputs.device)
    ours = inputs.normal(2, 2, 2, _PAGE, _VALUE)
    theirs = ours.clone()
    kernels.store_heads(keys, values, slots, ours)
    twins.store_heads(keys, values, slots, theirs)
    return [(ours, theirs)]


def _best_tokens(kernels: Suite, inputs: _Inputs) -> _Pairs:
    logits = inputs.normal(3, 9001, dtype=torch.float32)
    return list(zip(kernels.best_tokens(logits), twins.best_tokens(logits), strict=True))


_CHECKS: dict[str, Callable[[Suite, _Inputs], _Pairs]] = {
    "route": _route,
    "mix": _mix,
    "decode_latent": _decode_latent,
    "decode_grouped": _decode_grouped,
    "prefill": _prefill,
    "add_rms_norm": _add_rms_norm,
    "rotate": _rotate,
    "store_latents": _store_latents,
    "store_heads": _store_heads,
    "best_tokens": _best_tokens,
}
