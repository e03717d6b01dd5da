"""The tokenizers of the two models that the product ships with."""

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
    return Tokenizer.from_gguf(_model_file("smollm2"))


@pytest.fixture(scope="session")
def qwen2() -> Tokenizer:
    return Tokenizer.from_gguf(_model_file("qwen2.5-coder-1.5b"))
