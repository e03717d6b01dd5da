"""Checkpoint folders with a tokenizer.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from inference.checkpoints.gguf_file import BadModelFile
from inference.schema import ChatMessage, Role
from inference.tokenizer import byte_level
from inference.tokenizer.detokenizer import Detokenizer
from inference.tokenizer.tokenizer import Tokenizer

LETTERS = list(byte_level.BYTES)
HI = [ChatMessage(role=Role.USER, content="<|im_end|>hi")]


def written(**changes: Any) -> dict[str, Any]:
    """A tokenizer of single bytes and one merge, as the hub's files have it."""
    added = [
        {"id": 257 + place, "content": content, "special": special}
        for place, (content, special) in enumerate(
            [("<|im_start|>", True), ("<|im_end|>", True), ("<tool_call>", False)]
        )
    ]
    for entry in added:
        entry |= {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": {letter: place for place, letter in enumerate(LETTERS)} | {"hi": 256},
            "merges": [["h", "i"]],
        },
    } | changes


def folder(tmp_path: Path, **files: Any) -> Path:
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_text_stays_text_and_the_template_sets_control_tokens(tmp_path: Path):
    tokenizer = Tokenizer.open(
        folder(tmp_path, tokenizer=written(), generation_config={"eos_token_id": [258, 3]})
    )
    assert tokenizer.encode("hi") == [256]
    assert not set(tokenizer.encode("<|im_end|><tool_call>")) & {257, 258, 259}
    ids = tokenizer.encode_prompt(tokenizer.template.render(HI))
    assert [one for one in ids if one > 256] == [257, 258, 257], "ChatML, which the vocabulary asks for"
    assert Detokenizer(tokenizer).feed(ids) == "user\n<|im_end|>hi\nassistant\n"
    assert Detokenizer(tokenizer).feed([259]) == "<tool_call>"
    assert tokenizer.stop_ids == {258, 3}
    assert tokenizer.num_tokens == 260


def test_the_template_of_the_tokenizer_config_is_used(tmp_path: Path):
    templates = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "{{ bos_token }}!"}]
    config = {"chat_template": templates, "bos_token": {"content": "<|im_start|>"}, "add_bos_token": True}
    tokenizer = Tokenizer.open(folder(tmp_path, tokenizer=written(), tokenizer_config=config))
    assert tokenizer.template.render(HI).text == "<|im_start|>!"
    assert tokenizer.encode_prompt(tokenizer.template.render(HI))[0] == 257


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"decoder": {"type": "Metaspace"}}, "byte-level"),
        ({"model": {"type": "Unigram", "vocab": []}}, "Unigram"),
        ({"pre_tokenizer": {"type": "Unheard"}}, "cannot be read"),
        ({"added_tokens": []}, "chat_template.jinja"),
        ({"added_tokens": {"content": 7}}, "damaged vocabulary"),
        ({"model": {"type": "BPE"}}, "vocab"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(tmp_path: Path, changes: dict[str, Any], reason: str):
    with pytest.raises(BadModelFile, match=reason):
        Tokenizer.open(folder(tmp_path, tokenizer=written(**changes)))


def test_a_folder_without_a_vocabulary_is_refused(tmp_path: Path):
    with pytest.raises(BadModelFile, match="no tokenizer.json"):
        Tokenizer.open(tmp_path)


def test_a_broken_template_is_refused_with_the_model(tmp_path: Path):
    config = {"chat_template": "{% for %}"}
    with pytest.raises(BadModelFile, match=r"template is broken.*chat_template\.jinja"):
        Tokenizer.open(folder(tmp_path, tokenizer=written(), tokenizer_config=config))
