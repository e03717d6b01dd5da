"""A GGUF file's header as the model's hyper-parameters."""

import math

from inference.checkpoints import BadModelFile, header, layout
from inference.checkpoints.gguf_file import GGUFFile
from inference.checkpoints.header import Fields
from inference.config import ModelConfig, Yarn

ARCHITECTURES = ("llama", "qwen2", "qwen3")
# Llama 3's stretch: what each rotary frequency is divided by.
ROPE_FACTORS = "rope_freqs.weight"


def read(file: GGUFFile) -> ModelConfig:
    """Raises BadModelFile for an architecture this engine does not run, a missing field or one of another
    kind, or parameters that the architectures here have no use for.
    """
    architecture = file.metadata.get("general.architecture", "")
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise BadModelFile(
            f"{file.path.name} has architecture {architecture!r}; this engine runs {known} from GGUF: take "
            "one of those, or the model's own checkpoint folder"
        )
    if "token_embd.weight" not in file.tensors:
        raise BadModelFile(f"{file.path.name} holds no token embedding: fetch it again")
    config = header.require_sense(_config(file, architecture))
    _require_no_others(file, config)
    return config


def _config(file: GGUFFile, architecture: str) -> ModelConfig:
    fields = Fields(file.metadata, file.path.name, f"{architecture}.")
    hidden_size = fields.whole("embedding_length")
    num_heads = fields.whole("attention.head_count")
    head_dim = fields.whole("attention.key_length", hidden_size // num_heads)
    fields.expect("rope.dimension_count", head_dim)
    yarn, rope_scale = _stretch(fields)
    return ModelConfig(
        architecture=architecture,
        name=str(file.metadata.get("general.name", file.path.stem)),
        vocab_size=file.tensors["token_embd.weight"].shape[0],
        hidden_size=hidden_size,
        intermediate_size=fields.whole("feed_forward_length"),
        num_layers=fields.whole("block_count"),
        num_heads=num_heads,
        num_kv_heads=fields.whole("attention.head_count_kv", num_heads),
        head_dim=head_dim,
        rms_norm_eps=fields.number("attention.layer_norm_rms_epsilon"),
        rope_theta=fields.number("rope.freq_base", 10000.0),
        rope_scale=rope_scale,
        rope_is_interleaved=architecture == "llama",
        max_context_tokens=fields.whole("context_length"),
        has_qk_norm=architecture == "qwen3",
        has_qkv_bias="blk.0.attn_q.bias" in file.tensors,
        ties_embeddings="output.weight" not in file.tensors,
        yarn=yarn,
    )


def _require_no_others(file: GGUFFile, config: ModelConfig) -> None:
    """Raises BadModelFile for a tensor that the computation here would leave out."""
    known = {tensor_name(expected.name) for expected in layout.tensors(config)} | {ROPE_FACTORS}
    others = sorted(file.tensors.keys() - known)
    if others:
        raise BadModelFile(
            f"{file.path.name} holds {others[0]}, which this engine's {config.architecture} does not compute "
            "with: take another file"
        )


def _stretch(fields: Fields) -> tuple[Yarn | None, float]:
    """YaRN, and what positions are divided by. Llama 3's stretching is a tensor of the file, no field."""
    kind = fields.optional("rope.scaling.type", "none")
    if kind == "none":
        return None, 1.0
    factor = fields.number("rope.scaling.factor")
    if kind == "linear":
        return None, factor
    if kind != "yarn":
        raise BadModelFile(f"rope scaling {kind!r} is not supported; none, linear and yarn are")
    # The file's own factor comes on top of what the stretch alone calls for.
    own = 0.1 * math.log(factor) + 1 if factor > 1 else 1.0
    attention_factor = fields.number("rope.scaling.attn_factor", 1.0) * own
    yarn = Yarn(
        factor=factor,
        original_max_positions=fields.whole("rope.scaling.original_context_length"),
        beta_fast=fields.number("rope.scaling.yarn_beta_fast", 32.0),
        beta_slow=fields.number("rope.scaling.yarn_beta_slow", 1.0),
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
