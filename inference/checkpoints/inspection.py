"""What a model is made of and what memory it takes, from its header or its config.json alone."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.checkpoints import (
    BadModelFile,
    conversion,
    folder,
    fp8_blocks,
    gguf_config,
    gguf_file,
    hub_config,
    layout,
    listing,
    pack_quantized,
)
from inference.checkpoints.layout import Expected, Role
from inference.config import ModelConfig

BF16_BYTES = 2
# What a machine of these sizes could hold.
MEMORY_SIZES_GB = (8, 16, 24, 32, 64, 128, 256, 512, 768, 1024, 1536)
_LEAST_CONTEXT_TOKENS = 1024
_NUMBER = re.compile(r"\.\d+")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """`num_active` are the parameters that compute one token: all but the embedding and the experts that were
    not chosen. `num_bytes` are those of the weights, by what they are for.
    """

    config: ModelConfig
    num_parameters: Mapping[Role, int]
    num_active: int
    num_bytes: Mapping[Role, int]

    @property
    def total_parameters(self) -> int:
        return sum(self.num_parameters.values())

    @property
    def total_bytes(self) -> int:
        return sum(self.num_bytes.values())

    @property
    def cache_bytes_per_token(self) -> int:
        """With keys and values in bf16; fp8 takes half."""
        return self.config.cache_values_per_token * BF16_BYTES

    def context_within(self, num_bytes: int) -> int:
        """Tokens of context that fit beside the weights in so much memory; no more than the model reads."""
        fitting = max(0, num_bytes - self.total_bytes) // self.cache_bytes_per_token
        return min(fitting, self.config.max_context_tokens)


def of(path: Path) -> Figures:
    """Figures of a .gguf file, a checkpoint folder, or a config.json by itself. Raises BadModelFile."""
    if path.is_file() and path.name != listing.CONFIG:
        return _of_gguf(path)
    base = path.parent if path.name == listing.CONFIG else path
    raw = listing.read_config(base)
    config = hub_config.read(raw, name=base.name)
    return _figures(config, stored_bytes_by(raw))


def stored_bytes_by(raw: Mapping[str, Any]) -> Callable[[Expected], int]:
    """Bytes of a parameter in a checkpoint with this config.json."""
    text = raw.get("text_config")
    settings = raw.get("quantization_config") or (text or {}).get("quantization_config") or {}
    ignore = settings.get("ignore") or ()

    def stored(expected: Expected) -> int:
        plain = expected.num_values * BF16_BYTES
        if not expected.is_matrix:
            return plain
        rows, columns = expected.shape
        if settings.get("quant_method") == "compressed-tensors" and conversion.can_quantize(expected, ignore):
            return rows * columns // 2 + rows * (columns // pack_quantized.GROUP_SIZE) * BF16_BYTES
        if settings.get("quant_method") == "fp8" and expected.role not in ("embedding", "head", "router"):
            across, along = fp8_blocks.scales_shape((rows, columns))
            return rows * columns + 4 * across * along
        return plain

    return stored


def _of_gguf(path: Path) -> Figures:
    file = gguf_file.read(path)
    stored = {name: tensor.num_bytes for name, tensor in file.tensors.items()}

    def stored_bytes(expected: Expected) -> int:
        return stored.get(gguf_config.tensor_name(expected.name), 0)

    return _figures(gguf_config.read(file), stored_bytes)


def _figures(config: ModelConfig, stored_bytes: Callable[[Expected], int]) -> Figures:
    num_parameters, num_bytes = Counter[Role](), Counter[Role]()
    for expected in layout.tensors(config):
        num_parameters[expected.role] += expected.num_values
        num_bytes[expected.role] += stored_bytes(expected)
    # A tied embedding is what computes the logits.
    resting = 0 if config.ties_embeddings else num_parameters["embedding"]
    if config.experts is not None:
        not_chosen = config.experts.num_experts - config.experts.num_per_token
        resting += num_parameters["expert"] * not_chosen // config.experts.num_experts
    active = sum(num_parameters.values()) - resting
    return Figures(config=config, num_parameters=num_parameters, num_active=active, num_bytes=num_bytes)


def report(path: Path, *, memory_gb: float | None = None) -> Iterator[str]:
    """Lines for a person. `memory_gb` asks about one size of memory. Raises BadModelFile."""
    figures = of(path)
    config = figures.config
    yield f"{config.name}: {config.architecture}, {config.num_layers} layers"
    yield (
        f"parameters {figures.total_parameters:,}, of which {figures.num_active:,} compute a token; "
        f"vocabulary {config.vocab_size:,}; context {config.max_context_tokens:,} tokens"
    )
    yield from _shapes(config)
    yield from _kinds(figures)
    per_token = figures.cache_bytes_per_token
    yield (
        f"keys and values: {per_token:,} bytes a token in bf16, {per_token // 2:,} in fp8; the whole context "
        f"{_gigabytes(per_token * config.max_context_tokens)}"
    )
    yield from _fitting(figures, memory_gb)
    if path.is_dir() and any((path / name).exists() for name in (listing.INDEX, listing.SINGLE)):
        opened = folder.read(path)
        yield f"on disk: {opened.num_bytes:,} bytes of tensors in {len(opened.shards)} files"


def _shapes(config: ModelConfig) -> Iterator[str]:
    """Each shape once, with how many there are of it."""
    counts = Counter((_NUMBER.sub(".N", tensor.name), tensor.shape) for tensor in layout.tensors(config))
    for (name, shape), count in counts.items():
        yield f"{name:<56}{str(list(shape)):<18}{f'x {count:,}' if count > 1 else ''}".rstrip()


def _kinds(figures: Figures) -> Iterator[str]:
    yield f"{'weights':<16}{'parameters':>22}{'bytes':>22}"
    for role, count in figures.num_parameters.items():
        yield f"{role:<16}{count:>22,}{figures.num_bytes[role]:>22,}"
    yield f"{'all':<16}{figures.total_parameters:>22,}{figures.total_bytes:>22,}"


def _fitting(figures: Figures, memory_gb: float | None) -> Iterator[str]:
    """From the first size that holds the model to the first that holds all its context."""
    for size in MEMORY_SIZES_GB if memory_gb is None else (memory_gb,):
        tokens = figures.context_within(int(size * 1e9))
        if tokens >= min(_LEAST_CONTEXT_TOKENS, figures.config.max_context_tokens):
            yield f"{size:g} GB hold it with {tokens:,} tokens of context in bf16"
            if tokens == figures.config.max_context_tokens:
                return
        elif memory_gb is not None:
            yield f"{size:g} GB are too little: the weights alone take {_gigabytes(figures.total_bytes)}"


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:,.2f} MB"


def require_model(path: Path) -> None:
    """Raises BadModelFile where there is neither a .gguf file nor a folder."""
    if not path.exists():
        raise BadModelFile(f"{path} is not there: give a .gguf file or a checkpoint folder")
