"""A model file to a running engine: how many threads, which kernel, how much memory for what."""

import ctypes
import logging
from collections.abc import Callable
from pathlib import Path

import torch

from inference.checkpoints import gguf_config, gguf_file
from inference.checkpoints.gguf_file import GGUFFile
from inference.config import ModelConfig
from inference.engine import resources
from inference.engine.engine import Engine
from inference.engine.model_runner import ModelRunner
from inference.engine.scheduler import SchedulerLimits
from inference.kernels import cpu_linear
from inference.kernels.gguf_blocks import AFFINE_TYPES
from inference.model import llama
from inference.model.kv_cache import GRANULARITY_TOKENS, round_up
from inference.model.weights import Precision, Weights

logger = logging.getLogger(__name__)

_KERNELS: dict[Precision, str] = {
    "int4": "torch int4 g32",
    "bf16": "torch bf16 dequantised",
    "fp32": "torch fp32 reference",
}
# The share of the memory left after loading that KV caches may take, and the most full contexts worth
# holding.
_CACHE_SHARE = 0.3
_MAX_FULL_CONTEXTS = 8


def load(
    path: Path,
    *,
    on_progress: Callable[[float], None],
    max_context_tokens: int | None = None,
    num_threads: int | None = None,
    precision: Precision | None = None,
    limits: SchedulerLimits | None = None,
) -> Engine:
    """Load a GGUF model and run one token through it; `on_progress` hears the share done, 0 to 1.

    The context is the model's own unless `max_context_tokens` or the memory at hand say less. The precision
    is int4 where its kernel proves right on this machine. Raises BadModelFile, or OSError where the file
    cannot be read.
    """
    torch.set_num_threads(num_threads or resources.num_cores())
    _keep_freed_memory()
    file = gguf_file.read(path)
    config = gguf_config.read(file)
    precision = precision or _best_precision()
    weights = Weights(file, precision, keeps_dense=precision == "int4" and _has_memory_for_dense(file))
    wanted = min(config.max_context_tokens, max_context_tokens or config.max_context_tokens)
    model = llama.load(
        weights, config, max_context_tokens=wanted, on_progress=lambda share: on_progress(0.95 * share)
    )
    file.release_pages()
    num_fitting = _num_fitting_tokens(config, weights.dtype)
    context = min(wanted, num_fitting)
    engine = Engine(
        ModelRunner(model, kernel=_KERNELS[precision], dtype=weights.dtype),
        max_context_tokens=context,
        budget_tokens=max(round_up(context), min(num_fitting, _MAX_FULL_CONTEXTS * context)),
        limits=limits,
    )
    engine.warm_up()
    on_progress(1.0)
    logger.info("model loaded: %s", engine.describe())
    return engine


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


def _best_precision() -> Precision:
    if cpu_linear.int4_operator_works():
        return "int4"
    logger.warning("the INT4 kernel does not work on this machine: computing in bf16, which is slower")
    return "bf16"


def _has_memory_for_dense(file: GGUFFile) -> bool:
    """Whether a bf16 copy for prompts fits beside the weights themselves and still leaves half of what is
    free.
    """
    num_values = sum(
        tensor.num_rows * tensor.shape[-1]
        for name, tensor in file.tensors.items()
        if tensor.type_name in AFFINE_TYPES and name.startswith("blk.")
    )
    fits = 2 * num_values + len(file.mapping) <= resources.available_bytes() // 2
    if not fits:
        logger.warning("too little free memory for a second copy of the weights: prompts will be read slower")
    return fits


def _num_fitting_tokens(config: ModelConfig, dtype: torch.dtype) -> int:
    """Tokens whose keys and values fit into the memory set aside for caches."""
    bytes_per_token = config.cache_values_per_token * dtype.itemsize
    num_tokens = int(resources.available_bytes() * _CACHE_SHARE) // bytes_per_token
    return max(GRANULARITY_TOKENS, num_tokens // GRANULARITY_TOKENS * GRANULARITY_TOKENS)
