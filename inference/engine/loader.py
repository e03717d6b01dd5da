"""A model file to a running engine: how many threads, which kernel, how much memory for what."""

import ctypes
import errno
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from inference.engine import resources
from inference.engine.engine import Engine
from inference.engine.scheduler import SchedulerLimits
from inference.kernels import cpu_linear
from inference.model import kv_pool, sources
from inference.model.decoder import TorchDecoder
from inference.model.kv_pool import BLOCK_TOKENS, KVPool
from inference.model.packing import Precision as TorchPrecision
from inference.model.parameters import Parameters
from inference.model.port import Model
from inference.native import self_test as native_self_test
from inference.native import step_self_test
from inference.native.build import BuildFailed
from inference.native.decoder import NativeDecoder
from inference.native.weights import UnsupportedModel, packed_bytes

logger = logging.getLogger(__name__)

Precision = Literal["gpu", "native"] | TorchPrecision
KVDtype = Literal["full", "fp8"]

# The share of the memory left after loading that the KV pool may take, and the most full contexts worth
# holding. It is taken from the system block by block, as blocks are first used.
_POOL_SHARE = 0.3
_MAX_FULL_CONTEXTS = 4
# A shorter context than this is of no use to anybody, unless it was asked for.
_LEAST_CONTEXT_TOKENS = 1024
# A weight of four to five bits, as bf16.
_DENSE_FACTOR = 4


class TooLittleMemory(OSError):
    """The text says what is missing and what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.ENOMEM, text)


class WrongResults(Exception):
    """A kernel does not compute what it should on this machine."""


def load(
    path: Path,
    *,
    on_progress: Callable[[float], None],
    max_context_tokens: int | None = None,
    num_threads: int | None = None,
    precision: Precision | None = None,
    kv_dtype: KVDtype = "full",
    limits: SchedulerLimits | None = None,
    speculates: bool | None = None,
) -> Engine:
    """Load a GGUF model or a checkpoint folder and run some tokens through it; `on_progress` hears the share
    done, 0 to 1.

    The context is the model's own unless `max_context_tokens` or the memory at hand say less. The precision
    is the best that proves right on this machine: gpu, native, int4, bf16. Keys and values are kept as
    the model computes them (full), or in half of that (fp8) where that is exact enough.

    Raises BadModelFile, TooLittleMemory, or OSError where the path cannot be read.
    """
    num_threads = num_threads or resources.num_cores()
    torch.set_num_threads(num_threads)
    _keep_freed_memory()
    parameters = sources.open_parameters(path)
    config = parameters.config
    wanted = min(config.max_context_tokens, max_context_tokens or config.max_context_tokens)
    built = _build_on_gpu(path, parameters, precision, wanted, on_progress)
    if built is None:
        assert precision != "gpu"
        _check_weights_fit(parameters.num_bytes)
        model, self_test = _build(
            parameters,
            precision,
            num_threads=num_threads,
            on_progress=lambda share: on_progress(0.95 * share),
        )
        pool = _make_pool(model, kv_dtype, wanted)
    else:
        model, pool, self_test = built
    engine = Engine(
        model,
        pool,
        max_context_tokens=wanted,
        limits=limits,
        speculates=speculates,
        about={"self_test": self_test},
    )
    engine.warm_up()
    on_progress(1.0)
    logger.info("model loaded: %s", engine.describe())
    return engine


def _build_on_gpu(
    path: Path,
    parameters: Parameters,
    precision: Precision | None,
    wanted_tokens: int,
    on_progress: Callable[[float], None],
) -> tuple[Model, KVPool, str] | None:
    """The decoder on this machine's GPUs; None where there are none, where another way was asked for, or for
    a model that has no kernels. Raises WrongResults where a GPU was asked for and cannot serve.
    """
    if precision not in (None, "gpu"):
        return None
    why = "no CUDA device, or torch was built without CUDA"
    if torch.cuda.is_available():
        # Triton comes with torch's CUDA build alone.
        from inference.gpu import loading
        from inference.gpu.weights import UnsupportedModel as NoKernels

        try:
            return loading.load(path, parameters, wanted_tokens=wanted_tokens, on_progress=on_progress)
        except NoKernels as fault:
            logger.warning("computing on the CPU instead of the GPU: %s", fault)
            why = str(fault)
    if precision == "gpu":
        raise WrongResults(f"the GPU cannot serve this model: {why}")
    return None


def _build(
    parameters: Parameters,
    precision: Literal["native"] | TorchPrecision | None,
    *,
    num_threads: int,
    on_progress: Callable[[float], None],
) -> tuple[Model, str]:
    """The decoder, and how the self-test of its kernel went or why the better one was not taken."""
    self_test = "passed"
    if precision is None or precision == "native":
        try:
            _prove_native_kernels()
            _check_weights_fit(packed_bytes(parameters))
            decoder = NativeDecoder(parameters, num_threads=num_threads, on_progress=on_progress)
            # What is left to torch is too small to be worth waking its threads for, each step anew.
            torch.set_num_threads(1)
            return decoder, self_test
        except (BuildFailed, UnsupportedModel, WrongResults) as fault:
            logger.warning("computing with torch's operators instead of native kernels: %s", fault)
            self_test = f"no native kernels: {fault}"
        precision = _best_torch_precision()
    keeps_dense = precision == "int4" and _has_memory_for_dense(parameters)
    fallback = TorchDecoder(parameters, precision=precision, keeps_dense=keeps_dense, on_progress=on_progress)
    return fallback, self_test


def _prove_native_kernels() -> None:
    """Raises BuildFailed or WrongResults where they are not to be used."""
    results = native_self_test.run() | step_self_test.run()
    wrong = [name for name, is_right in results.items() if not is_right]
    if wrong:
        raise WrongResults(f"their self-test failed for {', '.join(wrong)}")


def _best_torch_precision() -> TorchPrecision:
    if cpu_linear.int4_operator_works():
        return "int4"
    logger.warning("torch's INT4 operator does not work on this machine: computing in bf16, which is slower")
    return "bf16"


def _make_pool(model: Model, kv_dtype: KVDtype, wanted_tokens: int) -> KVPool:
    """As much as pays and fits. Raises TooLittleMemory."""
    dtype = model.kv_dtypes[0]
    if kv_dtype == "fp8":
        # Measured on Qwen2.5 1.5B: the likeliest token is another one at every fourth place.
        if model.config.has_qkv_bias:
            logger.warning(
                "keys and values stay in %s: with this model's key biases fp8 is too coarse", dtype
            )
        else:
            dtype = torch.float8_e4m3fn
    block_bytes = kv_pool.bytes_per_block(model.config, dtype)
    fitting = int(resources.available_bytes() * _POOL_SHARE) // block_bytes
    context_blocks = -(-wanted_tokens // BLOCK_TOKENS)
    least = min(context_blocks, _LEAST_CONTEXT_TOKENS // BLOCK_TOKENS)
    if fitting < least:
        raise TooLittleMemory(
            f"a context of {least * BLOCK_TOKENS} tokens takes {_megabytes(least * block_bytes)} for keys and"
            f" values and {_megabytes(fitting * block_bytes)} can be spared: free memory, choose a smaller"
            " model or context, or keep keys and values in fp8"
        )
    if fitting < context_blocks:
        logger.warning("memory for %d of %d tokens of context", fitting * BLOCK_TOKENS, wanted_tokens)
    return KVPool(model.config, num_blocks=min(fitting, _MAX_FULL_CONTEXTS * context_blocks), dtype=dtype)


def _check_weights_fit(num_bytes: int) -> None:
    """Raises TooLittleMemory when the weights alone do not fit."""
    available = resources.available_bytes()
    if num_bytes > available:
        raise TooLittleMemory(
            f"the model's weights take {_megabytes(num_bytes)} and {_megabytes(available)} are"
            " free: free memory or choose a smaller model"
        )


def _has_memory_for_dense(parameters: Parameters) -> bool:
    """Whether a bf16 copy for prompts fits beside the weights themselves and still leaves half of what is
    free.
    """
    fits = (_DENSE_FACTOR + 1) * parameters.num_bytes <= resources.available_bytes() // 2
    if not fits:
        logger.warning("too little free memory for a second copy of the weights: prompts will be read slower")
    return fits


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.0f} MiB"


def _keep_freed_memory() -> None:
    """Let the C library keep temporaries' memory instead of giving it back after each operation.

    Taking it again page by page was half of the time to load. Blocks of 16 MiB and more (weights, long
    caches) still go back to the system when freed. Does nothing where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3
        mallopt(mmap_threshold, 16 << 20)
        mallopt(trim_threshold, 128 << 20)
