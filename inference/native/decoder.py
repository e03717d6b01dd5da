"""The native decoder: a `port.Model` whose whole forward pass is one call of src/step.cpp."""

import ctypes
import weakref
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from inference.model.kv_pool import KVPool
from inference.model.parameters import Parameters
from inference.model.port import Span
from inference.native import library, step
from inference.native.weights import PackedWeights

# Rows that go through the layers together. Weights are read once for all of them; more would push their
# activations out of the cache between one matrix and the next.
_ROWS_AT_ONCE = 128


class NativeDecoder:
    """Weights as the file has them (4, 6, 8 bits or floats) times activations of 8 bits; all else fp32.

    Not for two threads at once. `native` None: this machine's own build. `on_progress` hears the share done,
    0 to 1. Raises weights.UnsupportedModel, BadModelFile, build.BuildFailed.
    """

    kv_dtypes = tuple(step.CACHE_TYPES)
    is_cut_invariant = True

    def __init__(
        self,
        source: Parameters,
        *,
        num_threads: int,
        on_progress: Callable[[float], None] = lambda share: None,
        rows_at_once: int = _ROWS_AT_ONCE,
        native: ctypes.CDLL | None = None,
    ) -> None:
        native = native or library.load()
        self.config = source.config
        self._weights = PackedWeights(source, on_progress=on_progress)
        self._embedding = source.embedding()
        self._step = step.Step(
            self._weights.struct, max_rows=rows_at_once, num_threads=num_threads, native=native
        )
        self._caches = _Caches()
        instructions = native.native_instruction_set().decode()
        self.kernel = f"native {instructions} {self._weights.main_kind}"
        # Not when the process ends: a daemon thread may then still be in the midst of a step.
        weakref.finalize(self, self._step.close).atexit = False

    @torch.inference_mode()
    def forward(self, token_ids: list[int], spans: list[Span], pool: KVPool) -> Tensor:
        """As `port.Model.forward` says."""
        assert len(token_ids) == sum(span.num_tokens for span in spans)
        hidden = self._embedding.rows(torch.tensor(token_ids))
        logits = torch.empty(sum(span.num_logits for span in spans), self.config.vocab_size)
        places = np.array(
            [(span.start, span.num_tokens, span.num_logits) for span in spans], np.int64
        ).T.copy()
        lengths = np.array([len(span.block_ids) for span in spans], np.int64)
        block_starts = np.cumsum(lengths) - lengths
        block_ids = np.array([block for span in spans for block in span.block_ids], np.int32)
        start = places.ctypes.data
        self._step.forward(
            step.Batch(
                num_spans=len(spans),
                starts=start,
                num_tokens=start + places.strides[0],
                num_logits=start + 2 * places.strides[0],
                block_starts=block_starts.ctypes.data,
                block_ids=block_ids.ctypes.data,
                hidden=hidden.data_ptr(),
                caches=self._caches.of(pool),
                cache_type=step.CACHE_TYPES[pool.dtype],
                logits=logits.data_ptr(),
            )
        )
        return logits

    def profile(self, *, is_on: bool) -> dict[str, float]:
        """Seconds by kind of work since the last call; switches the clock on or off."""
        return self._step.profile(is_on=is_on)


class _Caches:
    """The addresses of a pool's layers, gathered once for each pool."""

    def __init__(self) -> None:
        self._pool: weakref.ref[KVPool] | None = None
        self._addresses: ctypes.Array[ctypes.c_void_p] | None = None

    def of(self, pool: KVPool) -> int:
        """The address of an array of addresses, good until the next call."""
        if self._addresses is None or self._pool is None or self._pool() is not pool:
            assert all(layer.is_contiguous() and layer.dtype == pool.dtype for layer in pool.layers)
            self._addresses = (ctypes.c_void_p * len(pool.layers))(*(x.data_ptr() for x in pool.layers))
            self._pool = weakref.ref(pool)
        return ctypes.addressof(self._addresses)
