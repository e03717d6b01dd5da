"""A GGUF file's header as the model's hyper-parameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.checkpoints import BadModelFile
from inference.checkpoints.gguf_file import GGUFFile
from inference.config import ModelConfig, Yarn

ARCHITECTURES = ("llama", "qwen2", "qwen3")


def read(file: GGUFFile) -> ModelConfig:
    """Raises BadModelFile for an architecture this engine does not run or a missing field."""
    metadata = file.metadata
    architecture = metadata.get("general.architecture", "")
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise BadModelFile(
            f"{file.path.name} has architecture {architecture!r}; this engine runs {known} from GGUF: take "
            "one of those, or the model's own checkpoint folder"
        )
    if "token_embd.weight" not in file.tensors:
        raise BadModelFile(f"{file.path.name} holds no token embedding: fetch it again")
    fields = _Fields(metadata, architecture)
    hidden_size = fields.required("embedding_length")
    num_heads = fields.required("attention.head_count")
    yarn, rope_scale = _stretch(fields)
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
        rope_scale=rope_scale,
        rope_is_interleaved=architecture == "llama",
        max_context_tokens=fields.required("context_length"),
        has_qk_norm=architecture == "qwen3",
        has_qkv_bias="blk.0.attn_q.bias" in file.tensors,
        ties_embeddings="output.weight" not in file.tensors,
        yarn=yarn,
    )


@dataclass(frozen=True)
class _Fields:
    metadata: Mapping[str, Any]
    architecture: str

    def required(self, name: str) -> Any:
        key = f"{self.architecture}.{name}"
        if key not in self.metadata:
            raise BadModelFile(f"the model file lacks the field {key}: fetch it again, or another file")
        return self.metadata[key]

    def optional(self, name: str, default: Any) -> Any:
        return self.metadata.get(f"{self.architecture}.{name}", default)


def _stretch(fields: _Fields) -> tuple[Yarn | None, float]:
    """YaRN, and what positions are divided by. Llama 3's stretching is a tensor of the file, no field."""
    kind = fields.optional("rope.scaling.type", "none")
    if kind == "none":
        return None, 1.0
    factor = float(fields.required("rope.scaling.factor"))
    if kind == "linear":
        return None, factor
    if kind != "yarn":
        raise BadModelFile(f"rope scaling {kind!r} is not supported; none, linear and yarn are")
    # The file's own factor comes on top of what the stretch alone calls for.
    attention_factor = fields.optional("rope.scaling.attn_factor", 1.0) * (0.1 * math.log(factor) + 1)
    yarn = Yarn(
        factor=factor,
        original_max_positions=fields.required("rope.scaling.original_context_length"),
        beta_fast=fields.optional("rope.scaling.yarn_beta_fast", 32.0),
        beta_slow=fields.optional("rope.scaling.yarn_beta_slow", 1.0),
        mscale=1.0,
        mscale_all_dim=0.0,
        attention_factor=attention_factor,
    )
    return yarn, 1.0


_WHOLE_NAMES = {
    "model.embed_tokens": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head": "output.weight",
}
_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def tensor_name(name: str) -> str:
    """What a parameter of `layout.tensors` is called in a GGUF file."""
    if name in _WHOLE_NAMES:
        return _WHOLE_NAMES[name]
    layer, _, part = name.removeprefix("model.layers.").partition(".")
    stem, _, kind = part.rpartition(".") if part.endswith((".weight", ".bias")) else (part, "", "weight")
    return f"blk.{layer}.{_LAYER_NAMES[stem]}.{kind}"
