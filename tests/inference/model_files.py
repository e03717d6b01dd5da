"""Where tests find model files; a test whose file is not at hand is skipped and says so."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def smollm2() -> Path:
    models_dir = Path(os.environ.get("MODELS_DIR", ROOT / "var" / "models"))
    path = models_dir / "smollm2-135m-instruct-q4_1.gguf"
    if not path.exists():
        pytest.skip(f"no model smollm2 in {models_dir}: manage.py models pull smollm2")
    return path
