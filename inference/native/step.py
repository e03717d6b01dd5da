"""The decoder step of src/step.cpp as ctypes sees it: the twins of src/step_weights.h, field by field.

Pointers are integers; whoever fills a struct keeps what it points to alive.
"""

import ctypes
from ctypes import POINTER, Structure, c_double, c_float, c_int32, c_int64, c_void_p

import torch

from inference.native import library

# src/step_profile.h
KINDS_OF_WORK = (
    "norm",
    "input",
    "rotate",
    "absorb",
    "attention",
    "output",
    "gate_up",
    "activate",
    "down",
    "mixture",
    "head",
)
# src/attention_cache.h's CacheType
CACHE_TYPES = {torch.bfloat16: 0, torch.float8_e4m3fn: 1, torch.float32: 2}


class Projection(Structure):
    _fields_ = [("parts", POINTER(library.Matrix)), ("num_parts", c_int64)]


class MlpWeights(Structure):
    _fields_ = [("gate_up", Projection), ("down", Projection), ("size", c_int64)]


class LayerWeights(Structure):
    _fields_ = [
        ("attention_norm", c_void_p),
        ("mlp_norm", c_void_p),
        ("input", Projection),
        ("bias", c_void_p),
        ("query_norm", c_void_p),
        ("key_norm", c_void_p),
        ("query_up", Projection),
        ("key_up", POINTER(library.Matrix)),
        ("value_up", POINTER(library.Matrix)),
        ("output", Projection),
        ("mlp", MlpWeights),
        ("router", Projection),
        ("choice_bias", c_void_p),
        ("experts", POINTER(MlpWeights)),
    ]


class Routing(Structure):
    _fields_ = [
        ("num_experts", c_int64),
        ("num_per_token", c_int64),
        ("num_groups", c_int64),
        ("num_groups_chosen", c_int64),
        ("normalizes", c_int32),
        ("scaling", c_float),
    ]


class Weights(Structure):
    _fields_ = [
        ("vocab_size", c_int64),
        ("hidden_size", c_int64),
        ("num_layers", c_int64),
        ("num_heads", c_int64),
        ("num_kv_heads", c_int64),
        ("head_dim", c_int64),
        ("query_rank", c_int64),
        ("kv_rank", c_int64),
        ("nope_dim", c_int64),
        ("rope_dim", c_int64),
        ("value_dim", c_int64),
        ("mlp_size", c_int64),
        ("expert_size", c_int64),
        ("routing", Routing),
        ("norm_eps", c_float),
        ("inner_norm_eps", c_float),
        ("softmax_scale", c_float),
        ("rotary_magnitude", c_double),
        ("frequencies", c_void_p),
        ("layers", POINTER(LayerWeights)),
        ("norm", c_void_p),
        ("head", Projection),
    ]


class Batch(Structure):
    _fields_ = [
        ("num_spans", c_int64),
        ("starts", c_void_p),
        ("num_tokens", c_void_p),
        ("num_logits", c_void_p),
        ("block_starts", c_void_p),
        ("block_ids", c_void_p),
        ("hidden", c_void_p),
        ("caches", c_void_p),
        ("cache_type", c_int32),
        ("logits", c_void_p),
    ]


class Step:
    """A step over `weights`, which it keeps, on threads of its own. One caller at a time."""

    def __init__(
        self, weights: Weights, *, max_rows: int, num_threads: int, native: ctypes.CDLL | None = None
    ) -> None:
        """`native` None: this machine's own build. Raises MemoryError; library.load's errors."""
        self._library = native or library.load()
        self._weights = weights
        create = self._library.native_step_create
        create.restype, create.argtypes = c_void_p, [POINTER(Weights), c_int64, c_int32]
        self._library.native_step_destroy.argtypes = [c_void_p]
        self._forward = self._library.native_step_forward
        self._forward.restype, self._forward.argtypes = c_int32, [c_void_p, POINTER(Batch)]
        self._library.native_step_profile.argtypes = [c_void_p, c_int32, c_void_p]
        self._handle: int | None = create(ctypes.byref(weights), max_rows, num_threads)
        if self._handle is None:
            raise MemoryError("no memory for the decoder's work buffers")

    def forward(self, batch: Batch) -> None:
        """Run one batch. Raises MemoryError."""
        if self._forward(self._handle, ctypes.byref(batch)) != 0:
            raise MemoryError("no memory for a step's work buffers")

    def profile(self, *, is_on: bool) -> dict[str, float]:
        """Seconds by kind of work since the last call; switches the clock on or off."""
        seconds = (c_double * len(KINDS_OF_WORK))()
        self._library.native_step_profile(self._handle, is_on, seconds)
        return dict(zip(KINDS_OF_WORK, seconds, strict=True))

    def close(self) -> None:
        """End the threads and give the memory back. A second call does nothing."""
        if self._handle is not None:
            self._library.native_step_destroy(self._handle)
            self._handle = None
