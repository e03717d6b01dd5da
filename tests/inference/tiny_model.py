"""GGUF models of random weights, small enough to write in a test, and the same in transformers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

VOCAB_SIZE = 512
HIDDEN_SIZE = 256
INTERMEDIATE_SIZE = 512
NUM_LAYERS = 2
NUM_HEADS = 4
NUM_KV_HEADS = 2
HEAD_DIM = 64
CONTEXT = 512
POISONED_TOKEN = 7  # its embedding is not finite


def random_blocks(type_name: str, *, num_rows: int, num_columns: int, rng: np.random.Generator) -> Any:
    """Raw rows whose weights have a standard deviation of about 0.06."""
    block_size, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[type_name]]
    num_blocks = num_columns // block_size
    raw = rng.integers(0, 256, (num_rows, num_blocks, block_bytes), dtype=np.uint8)
    halves = {  # where a block's fp16 numbers lie, and what they are
        "Q4_0": {0: 0.013},
        "Q4_1": {0: 0.013, 2: -0.0975},
        "Q8_0": {0: 0.0008},
        "Q4_K": {0: 0.00042, 2: 0.0031},
        "Q6_K": {208: 0.000045},
    }[type_name]
    for at, number in halves.items():
        scaled = number * rng.uniform(0.5, 1.5, (num_rows, num_blocks, 1))
        raw[:, :, at : at + 2] = scaled.astype(np.float16).view(np.uint8)
    return raw.reshape(num_rows, -1)


def write(
    path: Path,
    *,
    architecture: str = "qwen2",
    seed: int = 0,
    edit: Callable[[Any], None] = lambda writer: None,
) -> Path:
    """A model in the mix of formats that a Q4_K_M file has. `edit` may change or add to it before it is
    written.
    """
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN_SIZE)
    writer.add_feed_forward_length(INTERMEDIATE_SIZE)
    writer.add_block_count(NUM_LAYERS)
    writer.add_head_count(NUM_HEADS)
    writer.add_head_count_kv(NUM_KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_token_list([f"t{i}" for i in range(VOCAB_SIZE)])
    embedding = rng.normal(0, 1, (VOCAB_SIZE, HIDDEN_SIZE)).astype(np.float32)
    embedding[POISONED_TOKEN] = np.nan
    writer.add_tensor("token_embd.weight", embedding)
    _add_quantized(writer, "output.weight", "Q6_K", VOCAB_SIZE, HIDDEN_SIZE, rng)
    _add_vector(writer, "output_norm.weight", HIDDEN_SIZE, rng, centre=1.0)
    for layer in range(NUM_LAYERS):
        _add_layer(writer, f"blk.{layer}.", rng, architecture)
    edit(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_layer(writer: Any, prefix: str, rng: np.random.Generator, architecture: str) -> None:
    kv_size = NUM_KV_HEADS * HEAD_DIM
    _add_vector(writer, f"{prefix}attn_norm.weight", HIDDEN_SIZE, rng, centre=1.0)
    _add_vector(writer, f"{prefix}ffn_norm.weight", HIDDEN_SIZE, rng, centre=1.0)
    for part, rows, columns, type_name in (
        ("attn_q", HIDDEN_SIZE, HIDDEN_SIZE, "Q4_K"),
        ("attn_k", kv_size, HIDDEN_SIZE, "Q4_K"),
        ("attn_v", kv_size, HIDDEN_SIZE, "Q6_K"),
        ("attn_output", HIDDEN_SIZE, HIDDEN_SIZE, "Q4_K"),
        ("ffn_gate", INTERMEDIATE_SIZE, HIDDEN_SIZE, "Q4_K"),
        ("ffn_up", INTERMEDIATE_SIZE, HIDDEN_SIZE, "Q4_K"),
        ("ffn_down", HIDDEN_SIZE, INTERMEDIATE_SIZE, "Q6_K"),
    ):
        _add_quantized(writer, f"{prefix}{part}.weight", type_name, rows, columns, rng)
    if architecture == "qwen3":
        _add_vector(writer, f"{prefix}attn_q_norm.weight", HEAD_DIM, rng, centre=1.0)
        _add_vector(writer, f"{prefix}attn_k_norm.weight", HEAD_DIM, rng, centre=1.0)
    if architecture == "qwen2":
        for part, size in (("attn_q", HIDDEN_SIZE), ("attn_k", kv_size), ("attn_v", kv_size)):
            _add_vector(writer, f"{prefix}{part}.bias", size, rng, centre=0.0)


def _add_quantized(
    writer: Any, name: str, type_name: str, rows: int, columns: int, rng: np.random.Generator
) -> None:
    raw = random_blocks(type_name, num_rows=rows, num_columns=columns, rng=rng)
    writer.add_tensor(name, raw, raw_dtype=GGMLQuantizationType[type_name])


def _add_vector(writer: Any, name: str, size: int, rng: np.random.Generator, *, centre: float) -> None:
    writer.add_tensor(name, rng.normal(centre, 0.1, size).astype(np.float32))


def in_transformers(path: Path) -> Any:
    """The file's model in transformers, fp32, from weights that the gguf library dequantised."""
    import transformers

    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items() if "tokenizer" not in name}
    architecture = fields["general.architecture"]
    weights = {tensor.name: _dequantized(tensor) for tensor in reader.tensors}
    settings = {
        "vocab_size": weights["token_embd.weight"].shape[0],
        "hidden_size": fields[f"{architecture}.embedding_length"],
        "intermediate_size": fields[f"{architecture}.feed_forward_length"],
        "num_hidden_layers": fields[f"{architecture}.block_count"],
        "num_attention_heads": fields[f"{architecture}.attention.head_count"],
        "num_key_value_heads": fields[f"{architecture}.attention.head_count_kv"],
        "rms_norm_eps": fields[f"{architecture}.attention.layer_norm_rms_epsilon"],
        "rope_theta": fields[f"{architecture}.rope.freq_base"],
        "max_position_embeddings": fields[f"{architecture}.context_length"],
        "head_dim": fields.get(f"{architecture}.attention.key_length", HEAD_DIM),
        "tie_word_embeddings": "output.weight" not in weights,
        "attn_implementation": "eager",
    }
    kinds: dict[str, tuple[Any, Any]] = {
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
        "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
    }
    make_config, make_model = kinds[architecture]
    config = make_config(**settings)
    model = make_model(config).eval()
    renamed = {_renamed(name): weight for name, weight in weights.items()}
    if architecture == "llama":
        renamed = {name: _unpermuted(name, weight, config) for name, weight in renamed.items()}
    missing, unexpected = model.load_state_dict(renamed, strict=False)
    assert unexpected == []
    assert set(missing) <= {"lm_head.weight"}
    model.tie_weights()
    return model


def _dequantized(tensor: Any) -> torch.Tensor:
    return torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).astype(np.float32))


def _renamed(name: str) -> str:
    """GGUF's name for a tensor as transformers has it."""
    if not name.startswith("blk."):
        return {
            "token_embd.weight": "model.embed_tokens.weight",
            "output_norm.weight": "model.norm.weight",
            "output.weight": "lm_head.weight",
        }[name]
    _, layer, part, kind = name.split(".")
    owner = {
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "attn_q_norm": "self_attn.q_norm",
        "attn_k_norm": "self_attn.k_norm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }[part]
    return f"model.layers.{layer}.{owner}.{kind}"


def _unpermuted(name: str, weight: torch.Tensor, config: Any) -> torch.Tensor:
    """Undo the order in which a llama file holds the rows of q and k, for neighbours to rotate together."""
    if "q_proj" not in name and "k_proj" not in name:
        return weight
    num_heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
    pairs = weight.view(num_heads, -1, 2, weight.shape[1])
    return pairs.transpose(1, 2).reshape(weight.shape)
