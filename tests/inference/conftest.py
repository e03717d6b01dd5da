"""Tokenizers: those of the shipped models, Kimi's where it is at hand, and a tiny one of its shape."""

import base64
import json
import os
import shutil
from pathlib import Path

import pytest
from django.conf import settings

from inference import registry
from inference.tokenizer.marks import SPELLED
from inference.tokenizer.tokenizer import Tokenizer

# Kimi's named tokens by their place behind the ranks; the marks of calls and of reasoning are shown in text.
_HIDDEN = {
    0: "[BOS]",
    1: "[EOS]",
    2: "<|im_end|>",
    3: "<|im_user|>",
    4: "<|im_assistant|>",
    10: "<|im_system|>",
}
_HIDDEN |= {17: "<|im_middle|>"}
_SHOWN = {
    11: SPELLED.section_begin,
    12: SPELLED.section_end,
    13: SPELLED.call_begin,
    14: SPELLED.argument_begin,
    15: SPELLED.call_end,
    22: SPELLED.think_open,
    23: SPELLED.think_close,
}


def _model_file(name: str) -> Path:
    path = registry.load()[name].path(settings.MODELS_DIR)
    if not path.exists():
        pytest.skip(f"{path.name} is not at hand: python manage.py models pull {name}")
    return path


@pytest.fixture(scope="session")
def smollm2() -> Tokenizer:
    return Tokenizer.open(_model_file("smollm2"))


@pytest.fixture(scope="session")
def qwen2() -> Tokenizer:
    return Tokenizer.open(_model_file("qwen2.5-coder-1.5b"))


def kimi_folder() -> Path:
    """A folder with Kimi's tiktoken.model and tokenizer_config.json."""
    beside = Path(settings.BASE_DIR).parent / "shared" / "data" / "kimi-tokenizer"
    folder = Path(os.environ.get("KIMI_TOKENIZER", beside))
    if not (folder / "tiktoken.model").exists():
        pytest.skip("Kimi's vocabulary is not at hand: name its folder in KIMI_TOKENIZER")
    return folder


@pytest.fixture(scope="session")
def kimi() -> Tokenizer:
    return Tokenizer.open(kimi_folder())


@pytest.fixture
def copied_kimi(tmp_path: Path) -> Path:
    """Kimi's vocabulary in a folder of its own, without a config.json."""
    for name in ("tiktoken.model", "tokenizer_config.json"):
        shutil.copyfile(kimi_folder() / name, tmp_path / name)
    return tmp_path


def write_tiny_kimi(folder: Path) -> None:
    """Every byte is a token, and Kimi's named tokens stand behind them: 512 tokens."""
    ranks = (f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256))
    (folder / "tiktoken.model").write_text("\n".join(ranks))
    named = {256 + place: {"content": name, "special": True} for place, name in _HIDDEN.items()}
    named |= {256 + place: {"content": name, "special": False} for place, name in _SHOWN.items()}
    written = {"added_tokens_decoder": {str(number): entry for number, entry in named.items()}}
    (folder / "tokenizer_config.json").write_text(json.dumps(written))


@pytest.fixture(scope="session")
def tiny_kimi(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tiny-kimi")
    write_tiny_kimi(folder)
    return Tokenizer.open(folder)
