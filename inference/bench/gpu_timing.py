"""Time on a device, and the two limits that everything is held against: bytes moved and products made."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Work = Callable[[], object]


@dataclass(frozen=True)
class Stopwatch:
    """Median seconds of one call. On CUDA the calls are captured into a graph, so that no launch is counted
    that a serving step would not wait for; several inputs take turns, so that no cache holds them all.
    """

    device: torch.device
    repeats: int = 20

    def measure(self, calls: Sequence[Work], *, captures: bool = True) -> float:
        """`calls`: the same work on different inputs."""
        for call in calls:
            call()
        if self.device.type != "cuda":
            return statistics.median(self._by_clock(call) for call in calls)
        torch.cuda.synchronize()
        runs = [self._captured(call) for call in calls] if captures else list(calls)
        times = []
        for _ in range(self.repeats):
            for run in runs:
                start, end = _event(), _event()
                start.record()
                run()
                end.record()
                times.append((start, end))
        torch.cuda.synchronize()
        return float(statistics.median(start.elapsed_time(end) / 1000 for start, end in times))

    @staticmethod
    def _by_clock(call: Work) -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    @staticmethod
    def _captured(call: Work) -> Work:
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return graph.replay


@dataclass(frozen=True)
class Limits:
    """Measured in this run: bytes a second of a copy (read and written), bf16 operations a second."""

    bandwidth: float
    products: float


def limits(watch: Stopwatch) -> Limits:
    """A copy far larger than the cache, and a large matrix product on random data."""
    is_small = watch.device.type != "cuda"
    size = 1 << (20 if is_small else 31)
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=watch.device)
    target = torch.empty_like(source)
    copying = watch.measure([lambda: target.copy_(source)])
    side = 128 if is_small else 8192
    left = torch.randn(side, side, device=watch.device, dtype=torch.bfloat16)
    right = torch.randn(side, side, device=watch.device, dtype=torch.bfloat16)
    multiplying = watch.measure([lambda: left @ right])
    return Limits(2 * size / copying, 2 * side**3 / multiplying)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
