"""The tokenizers of the two models that the product ships with, and Kimi's where it is at hand."""

import os
import shutil
from pathlib import Path

import pytest
from django.conf import settings

from inference import registry
from inference.tokenizer.tokenizer import Tokenizer


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
