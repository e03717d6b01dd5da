"""A model's hyper-parameters, every one of them read from its file. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.gguf_file import BadModelFile, GGUFFile

SUPPORTED_ARCHITECTURES = ("llama", "qwen2")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A dense decoder in the Llama family.

    `rope_is_interleaved` says how the file pairs the dimensions that rotate together: neighbours (0,1), (2,3)
    … for llama, halves (0, d/2), (1, d/2+1) … for qwen2.
    """

    architecture: str
    name: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    rope_scale: float
    rope_is_interleaved: bool
    max_context_tokens: int

    @property
    def kv_size(self) -> int:
        return self.num_kv_heads * self.head_dim

    @property
    def cache_values_per_token(self) -> int:
        """Keys and values of all layers that one token leaves behind."""
        return 2 * self.num_layers * self.kv_size


def from_gguf(file: GGUFFile) -> ModelConfig:
    """Raises BadModelFile for an architecture this engine does not run or a missing field."""
    metadata = file.metadata
    architecture = metadata.get("general.architecture", "")
    if architecture not in SUPPORTED_ARCHITECTURES:
        known = ", ".join(SUPPORTED_ARCHITECTURES)
        raise BadModelFile(f"{file.path.name} has architecture {architecture!r}; this engine runs {known}")
    fields = _Fields(metadata, architecture)
    hidden_size = fields.required("embedding_length")
    num_heads = fields.required("attention.head_count")
    return ModelConfig(
        architecture=architecture,
        name=metadata.get("general.name", file.path.stem),
        vocab_size=file.tensors["token_embd.weight"].shape[0],
        hidden_size=hidden_size,
        intermediate_size=fields.required("feed_forward_length"),
        num_layers=fields.required("block_count"),
        num_heads=num_heads,
        num_kv_heads=fields.optional("attention.head_count_kv", num_heads),
        head_dim=fields.optional("attention.key_length", hidden_size // num_heads),
        rms_norm_eps=fields.required("attention.layer_norm_rms_epsilon"),
        rope_theta=fields.optional("rope.freq_base", 10000.0),
        rope_scale=_rope_scale(fields),
        rope_is_interleaved=architecture == "llama",
        max_context_tokens=fields.required("context_length"),
    )


@dataclass(frozen=True)
class _Fields:
    metadata: Mapping[str, Any]
    architecture: str

    def required(self, name: str) -> Any:
        key = f"{self.architecture}.{name}"
        if key not in self.metadata:
            raise BadModelFile(f"the model file lacks the field {key}")
        return self.metadata[key]

    def optional(self, name: str, default: Any) -> Any:
        return self.metadata.get(f"{self.architecture}.{name}", default)


def _rope_scale(fields: _Fields) -> float:
    """What positions are divided by. Raises BadModelFile for a scaling other than linear."""
    kind = fields.optional("rope.scaling.type", "none")
    if kind == "none":
        return 1.0
    if kind == "linear":
        return float(fields.required("rope.scaling.factor"))
    raise BadModelFile(f"rope scaling {kind!r} is not supported; linear scaling is")
