"""How fast this machine's cores read memory: what a decode step could reach at most."""

import time

import torch

from inference.bench.workload import Measure

_NUM_BYTES = 1 << 30
_NUM_PASSES = 5


class MemoryRead:
    """Sums a gigabyte, far beyond every cache, with all threads; the best of a few passes."""

    measures = frozenset((Measure.READ,))

    def __init__(self, *, num_threads: int) -> None:
        torch.set_num_threads(num_threads)
        self._memory = torch.ones(_NUM_BYTES // 4)
        self.facts = {"kernel": f"sum of fp32, {num_threads} threads"}

    def sample(self, measure: Measure) -> float:
        """GB/s, in powers of ten."""
        assert measure is Measure.READ
        return _NUM_BYTES / 1e9 / min(self._pass_s() for _ in range(_NUM_PASSES))

    def _pass_s(self) -> float:
        started_at = time.perf_counter()
        self._memory.sum()
        return time.perf_counter() - started_at
