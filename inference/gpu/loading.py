"""A checkpoint onto this machine's GPUs: how many take part, and what their memory goes to."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from inference.gpu import weights
from inference.gpu.decoder import BUCKETS, GpuDecoder
from inference.gpu.group import GroupDecoder
from inference.gpu.sharding import CannotShard, Shard
from inference.gpu.weights import UnsupportedModel, check
from inference.kernels.gpu import self_test, tuning
from inference.kernels.gpu.suite import Suite
from inference.model import kv_pool, sources
from inference.model.kv_pool import BLOCK_TOKENS, KVPool
from inference.model.parameters import Parameters
from inference.model.port import Model

logger = logging.getLogger(__name__)

_GIB = 1 << 30
# For captured steps, a prompt's activations and what libraries take, beside weights and pool.
_WORKSPACE_BYTES = 4 * _GIB
_MAX_FULL_CONTEXTS = 64


@dataclass(frozen=True)
class MemoryPlan:
    """What a device's memory goes to, in bytes."""

    total: int
    weights: int
    pool: int
    workspace: int

    def __str__(self) -> str:
        parts = {"weights": self.weights, "keys and values": self.pool, "workspace": self.workspace}
        named = ", ".join(f"{name} {size / _GIB:.1f} GiB" for name, size in parts.items())
        return f"{named} of {self.total / _GIB:.1f} GiB"


def plan(*, total: int, free: int, block_bytes: int, wanted_tokens: int) -> tuple[MemoryPlan, int]:
    """How the `free` of `total` bytes are used once the weights are loaded, and the pool's number of blocks.

    block_bytes  of all layers together
    Raises UnsupportedModel when not even one context of 1,024 tokens fits.
    """
    most = _MAX_FULL_CONTEXTS * -(-wanted_tokens // BLOCK_TOKENS)
    num_blocks = min(most, max(0, free - _WORKSPACE_BYTES) // block_bytes)
    if num_blocks * BLOCK_TOKENS < min(1024, wanted_tokens):
        raise UnsupportedModel(
            f"its weights leave {free / _GIB:.1f} GiB of {total / _GIB:.1f} GiB, too little to work in"
        )
    pool = num_blocks * block_bytes
    return MemoryPlan(total, total - free, pool, _WORKSPACE_BYTES), num_blocks


@dataclass(frozen=True)
class _MakeShare:
    """A device's share of a checkpoint, made in that device's process."""

    path: Path
    max_context_tokens: int

    def __call__(self, shard: Shard) -> GpuDecoder:
        device = torch.device("cuda", shard.rank)
        share = weights.load(sources.open_parameters(self.path), device=device, shard=shard)
        return GpuDecoder(share, max_context_tokens=self.max_context_tokens, shard=shard)


def load(
    path: Path,
    parameters: Parameters,
    *,
    wanted_tokens: int,
    on_progress: Callable[[float], None],
) -> tuple[Model, KVPool, str]:
    """The model on all GPUs of this machine, its pool, and how the kernels' self-test went.

    Raises UnsupportedModel, BadModelFile.
    """
    check(parameters.config)
    count = 1 if parameters.config.latent is None else torch.cuda.device_count()
    device = torch.device("cuda", 0)
    kernels = self_test.proven(device)
    if not tuning.is_measured(kernels.device):
        logger.warning("no tuning table for %s: it runs with the default one", kernels.device)
    try:
        model, pool = _on_devices(path, parameters, kernels, count, wanted_tokens, on_progress)
    except CannotShard as fault:
        raise UnsupportedModel(str(fault)) from fault
    return model, pool, _words(kernels)


def _on_devices(
    path: Path,
    parameters: Parameters,
    kernels: Suite,
    count: int,
    wanted_tokens: int,
    on_progress: Callable[[float], None],
) -> tuple[Model, KVPool]:
    block_bytes = kv_pool.bytes_per_block(parameters.config, torch.bfloat16)
    if count > 1:
        group = GroupDecoder(_MakeShare(path, wanted_tokens), count=count)
        return group, group.make_pool(_planned_blocks(block_bytes, wanted_tokens))
    device = torch.device("cuda", 0)
    share = weights.load(parameters, device=device, on_progress=on_progress)
    decoder = GpuDecoder(share, max_context_tokens=wanted_tokens, kernels=kernels)
    num_blocks = _planned_blocks(block_bytes, wanted_tokens)
    pool = KVPool(parameters.config, num_blocks=num_blocks, dtype=torch.bfloat16, device=device)
    buckets = decoder.capture(pool, most_sequences=BUCKETS[-3])
    logger.info("captured steps of up to %d sequences", buckets[-1])
    return decoder, pool


def _planned_blocks(block_bytes: int, wanted_tokens: int) -> int:
    free, total = torch.cuda.mem_get_info()
    planned, num_blocks = plan(total=total, free=free, block_bytes=block_bytes, wanted_tokens=wanted_tokens)
    logger.info("memory of each device: %s", planned)
    return num_blocks


def _words(kernels: Suite) -> str:
    if not kernels.wrong:
        return "passed"
    return f"computed by torch instead: {', '.join(sorted(kernels.wrong))}"
