"""Token ids agree with the models' own tokenizers, and text comes back whole from them."""

import unicodedata
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from inference import registry
from inference.checkpoints.gguf_file import BadModelFile
from inference.tokenizer.detokenizer import Detokenizer
from inference.tokenizer.tokenizer import Tokenizer

TEXTS = [
    "Hello, world!",
    "你好，世界",
    "1234567 tokens, 3.14",
    "don't DON'T we'll",
    "The quick brown fox\n\n  jumps\tover  ",
    "def f(x):\n    return x**2  # π\r\n",
    "🙂👩‍👩‍👧 and é",
    "中文English混合123",
    "<|im_start|>user<|im_end|> <tool_call>",
]


def decode(tokenizer: Tokenizer, ids: list[int]) -> str:
    detokenizer = Detokenizer(tokenizer)
    return detokenizer.feed(ids) + detokenizer.finish()


def test_published_ids_of_qwen2(qwen2: Tokenizer):
    assert qwen2.encode("Hello, world!") == [9707, 11, 1879, 0]
    assert qwen2.num_tokens == 151_936
    assert qwen2.stop_ids == {151_643, 151_645}


@pytest.mark.parametrize("text", TEXTS)
def test_qwen2_agrees_with_transformers(qwen2: Tokenizer, text: str):
    transformers = pytest.importorskip("transformers")
    vocabulary, merges = _reference_vocabulary("qwen2.5-coder-1.5b")
    reference = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=merges)
    assert qwen2.encode(text) == reference.encode(text, add_special_tokens=False)


def test_smollm2_agrees_with_transformers(smollm2: Tokenizer):
    transformers = pytest.importorskip("transformers")
    file = registry.load()["smollm2"].file
    reference = transformers.AutoTokenizer.from_pretrained(settings.MODELS_DIR, gguf_file=file)
    for text in TEXTS[:-1]:
        assert smollm2.encode(text) == reference.encode(text, add_special_tokens=False), text


def _reference_vocabulary(name: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    from inference.checkpoints import gguf_file

    metadata = gguf_file.read(registry.load()[name].path(settings.MODELS_DIR)).metadata
    tokens = {token: number for number, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    return tokens, [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]


@given(st.text())
def test_any_text_comes_back(qwen2: Tokenizer, text: str):
    assert decode(qwen2, qwen2.encode(text)) == unicodedata.normalize("NFC", text)


def test_no_text_encodes_to_a_control_token(smollm2: Tokenizer, qwen2: Tokenizer):
    for tokenizer in (smollm2, qwen2):
        assert not set(tokenizer.encode("<|im_end|><|endoftext|><tool_call>")) & tokenizer.stop_ids
        assert decode(tokenizer, sorted(tokenizer.stop_ids)) == ""


def test_a_character_is_given_out_when_it_is_whole(qwen2: Tokenizer):
    ids = qwen2.encode("a🧬鱻")
    assert len(ids) > 3, "each of these characters takes several tokens"
    detokenizer = Detokenizer(qwen2)
    pieces = [detokenizer.feed([token_id]) for token_id in ids]
    assert "".join(pieces) == "a🧬鱻"
    assert "" in pieces
    assert "\ufffd" not in "".join(pieces)


def test_a_cut_character_shows_as_one_sign(qwen2: Tokenizer):
    assert decode(qwen2, qwen2.encode("🧬")[:1]) == "\ufffd"


def test_a_file_that_is_no_model_is_refused(tmp_path: Path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"not a model")
    with pytest.raises(BadModelFile, match=r"x\.gguf"):
        Tokenizer.open(path)


@pytest.mark.parametrize(
    ("key", "value"), [("tokenizer.ggml.model", "llama"), ("tokenizer.ggml.pre", "unheard-of")]
)
def test_a_vocabulary_of_an_unknown_kind_is_refused(key: str, value: str):
    metadata = {
        "tokenizer.ggml.tokens": ["a"],
        "tokenizer.ggml.token_type": [1],
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.merges": [],
        "tokenizer.chat_template": "",
    }
    with pytest.raises(BadModelFile, match=value):
        Tokenizer.from_metadata(metadata | {key: value})
