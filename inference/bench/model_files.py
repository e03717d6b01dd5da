"""Which model files a bench measures: names of the registry, or paths."""

import argparse
import os
from pathlib import Path

from inference import registry

DEFAULT_MODEL = "qwen2.5-coder-1.5b"


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--models-dir`, `--threads` and `--json`, which every subject has."""
    models_dir = os.environ.get("MODELS_DIR", Path(os.environ.get("VAR_DIR", "var")) / "models")
    parser.add_argument("--models-dir", type=Path, default=models_dir)
    parser.add_argument("--threads", type=int, help="cores to compute on; by default all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")


def find(model: str, *, models_dir: Path) -> Path:
    """The file of a registry's name, or the path itself where it is one.

    Raises registry.RegistryError for an unknown name and FileNotFoundError for what was not pulled yet.
    """
    is_path = model.endswith(".gguf") or Path(model).is_dir()
    path = Path(model) if is_path else registry.entry(model).path(models_dir)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: run `python manage.py models pull {model}`")
    return path
