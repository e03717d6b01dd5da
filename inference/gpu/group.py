"""Several devices of one machine as one model: a process for each, the first of which the engine drives.

Every call of the first is told to the others, which make it on their share; the sums meet by
torch.distributed (NCCL between GPUs, gloo between processes of a CPU).
"""

import os
import socket
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.distributed
import torch.multiprocessing
from torch import Tensor

from inference.gpu.decoder import GpuDecoder
from inference.gpu.sharding import Shard
from inference.model.kv_pool import KVPool
from inference.model.port import Span

# A model's share on the device of its process; called in each of them.
MakeDecoder = Callable[[Shard], GpuDecoder]


class GroupDecoder:
    """A `port.Model` computed by a group of processes; pools are those of its own `make_pool`.

    A device that fails ends its process and with it the group: the others' next sum raises RuntimeError.
    """

    is_cut_invariant = False

    def __init__(self, make: MakeDecoder, *, count: int) -> None:
        """`make` must be picklable: the other processes are spawned with it."""
        self._followers = _spawn(make, count)
        _join_group(0, count)
        self._own = make(Shard(0, count))
        torch.distributed.barrier()
        self.config = self._own.config
        self.kernel = f"{self._own.kernel}, {count} devices"
        self.kv_dtypes = self._own.kv_dtypes

    def make_pool(self, num_blocks: int) -> KVPool:
        """One pool, in every process; a second one takes the place of the first in the others."""
        _tell(("pool", num_blocks))
        return _pool(self._own, num_blocks)

    def forward(self, token_ids: list[int], spans: list[Span], pool: KVPool) -> Tensor:
        """As `port.Model.forward` says."""
        _tell(("forward", token_ids, spans))
        return self._own.forward(token_ids, spans, pool)

    def close(self) -> None:
        """Ends the other processes."""
        _tell(("end",))
        for process in self._followers.processes:
            process.join()
        torch.distributed.destroy_process_group()


def _spawn(make: MakeDecoder, count: int) -> Any:
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    os.environ["MASTER_PORT"] = str(_free_port())
    return torch.multiprocessing.spawn(  # type: ignore[attr-defined,no-untyped-call]
        _follow, args=(make, count), nprocs=count - 1, join=False, daemon=True
    )


def _follow(index: int, make: MakeDecoder, count: int) -> None:
    """The life of every process but the first."""
    rank = index + 1
    _join_group(rank, count)
    own = make(Shard(rank, count))
    torch.distributed.barrier()
    pool: KVPool | None = None
    while True:
        order = _hear()
        if order[0] == "end":
            torch.distributed.destroy_process_group()
            return
        if order[0] == "pool":
            pool = _pool(own, order[1])
        else:
            assert pool is not None
            own.forward(order[1], order[2], pool)


def _join_group(rank: int, count: int) -> None:
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
        torch.distributed.init_process_group("nccl", rank=rank, world_size=count)
    else:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=count)


def _pool(decoder: GpuDecoder, num_blocks: int) -> KVPool:
    return KVPool(decoder.config, num_blocks=num_blocks, dtype=torch.bfloat16, device=decoder.device)


def _tell(order: tuple[Any, ...]) -> None:
    torch.distributed.broadcast_object_list([order])


def _hear() -> tuple[Any, ...]:
    heard: list[Any] = [None]
    torch.distributed.broadcast_object_list(heard)
    return cast("tuple[Any, ...]", heard[0])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
