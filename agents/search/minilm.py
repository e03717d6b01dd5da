"""all-MiniLM-L6-v2: texts to vectors that lie close where they mean the same. English.

Plain numpy, for the GPU stack belongs to the engine alone; the weights are mapped from their file, so that
processes share them.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

HIDDEN_SIZE, NUM_LAYERS, NUM_HEADS = 384, 6, 12
EPSILON = 1e-12
MAX_TOKENS = 256  # as it was trained
WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"
_BATCH_TOKENS = 2_048  # what fits into the processor's caches

Array = NDArray[np.float32]


class MiniLM:
    """For any thread. Raises OSError or ValueError for files that are not the model's."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_padding()
        weights = _mapped(folder / WEIGHTS)
        self._words = weights["embeddings.word_embeddings.weight"]
        kinds = weights["embeddings.token_type_embeddings.weight"]
        self._places = weights["embeddings.position_embeddings.weight"] + kinds[0]
        self._first_norm = _norm_of(weights, "embeddings.LayerNorm")
        self._layers = [_Layer(weights, f"encoder.layer.{number}.") for number in range(NUM_LAYERS)]

    def vectors(self, texts: Sequence[str], *, max_tokens: int = MAX_TOKENS) -> Array:
        """[num_texts, 384], each of length one. Texts of about one length are computed together, so that
        little is spent on padding."""
        self._tokenizer.enable_truncation(max_tokens)
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        found = np.empty((len(ids), HIDDEN_SIZE), np.float32)
        order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
        while order:
            longest = len(ids[order[-1]])
            batch = order[-max(_BATCH_TOKENS // longest, 1) :]
            del order[-len(batch) :]
            found[batch] = self._of_batch([ids[at] for at in batch])
        return found

    def _of_batch(self, ids: list[list[int]]) -> Array:
        num_texts, longest = len(ids), max(map(len, ids))
        tokens = np.zeros((num_texts, longest), np.int64)
        is_token = np.zeros((num_texts, longest), np.float32)
        for row, text in enumerate(ids):
            tokens[row, : len(text)] = text
            is_token[row, : len(text)] = 1
        states = _normalised(self._words[tokens] + self._places[:longest], *self._first_norm)
        bias = (1 - is_token)[:, None, None, :] * np.float32(-1e9)
        for layer in self._layers:
            states = layer(states, bias)
        weight = is_token[:, :, None]
        mean: Array = (states * weight).sum(1) / weight.sum(1)
        unit: Array = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return unit


class _Layer:
    def __init__(self, weights: Mapping[str, Array], name: str) -> None:
        kinds = [f"{name}attention.self.{kind}" for kind in ("query", "key", "value")]
        self._qkv = np.concatenate([weights[f"{kind}.weight"] for kind in kinds]).T.copy()
        self._qkv_bias = np.concatenate([weights[f"{kind}.bias"] for kind in kinds])
        self._out = _linear(weights, f"{name}attention.output.dense")
        self._out_norm = _norm_of(weights, f"{name}attention.output.LayerNorm")
        self._up = _linear(weights, f"{name}intermediate.dense")
        self._down = _linear(weights, f"{name}output.dense")
        self._norm = _norm_of(weights, f"{name}output.LayerNorm")

    def __call__(self, states: Array, bias: Array) -> Array:
        """[num_texts, num_tokens, 384] both ways."""
        num_texts, num_tokens, _ = states.shape
        flat = states.reshape(-1, HIDDEN_SIZE)
        qkv = (flat @ self._qkv + self._qkv_bias).reshape(num_texts, num_tokens, 3, NUM_HEADS, -1)
        query, key, value = qkv.transpose(2, 0, 3, 1, 4)  # [texts, heads, tokens, 32]
        scores = query @ key.swapaxes(-1, -2) / np.float32((HIDDEN_SIZE // NUM_HEADS) ** 0.5) + bias
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        seen = (scores / scores.sum(-1, keepdims=True)) @ value
        seen = seen.transpose(0, 2, 1, 3).reshape(-1, HIDDEN_SIZE)
        flat = _normalised(flat + seen @ self._out[0] + self._out[1], *self._out_norm)
        inner = _gelu(flat @ self._up[0] + self._up[1])
        flat = _normalised(flat + inner @ self._down[0] + self._down[1], *self._norm)
        return flat.reshape(states.shape)


def _gelu(values: Array) -> Array:
    """By the tangent that stands for the error function: off by less than a thousandth."""
    inner = np.float32(0.7978845608) * (values + np.float32(0.044715) * values * values * values)
    found: Array = np.float32(0.5) * values * (1 + np.tanh(inner))
    return found


def _normalised(values: Array, weight: Array, bias: Array) -> Array:
    centred = values - values.mean(-1, keepdims=True)
    spread = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(EPSILON))
    found: Array = centred / spread * weight + bias
    return found


def _linear(weights: Mapping[str, Array], name: str) -> tuple[Array, Array]:
    return weights[f"{name}.weight"].T, weights[f"{name}.bias"]


def _norm_of(weights: Mapping[str, Array], name: str) -> tuple[Array, Array]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _mapped(path: Path) -> dict[str, Array]:
    """The tensors of a safetensors file: its header's length, the header as JSON, then the numbers."""
    with path.open("rb") as file:
        (num_bytes,) = struct.unpack("<Q", file.read(8))
        if not 2 <= num_bytes <= 1_000_000:
            raise ValueError(f"{path} is no file of weights.")
        header: dict[str, Any] = json.loads(file.read(num_bytes))
    numbers = np.memmap(path, np.uint8, "r", offset=8 + num_bytes)
    return {
        name: numbers[slice(*about["data_offsets"])].view(np.float32).reshape(about["shape"])
        for name, about in header.items()
        if name != "__metadata__" and about["dtype"] == "F32"
    }
