"""What a request that does not say gets: the model's own sampling, and how a led model is bounded."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from inference.checkpoints import gguf_file
from inference.schema import Sampling
from inference.tokenizer import folder_vocabulary

_TABLES = Path(__file__).with_name("defaults.toml")
# Ours by the names that transformers writes into generation_config.json and llama.cpp into GGUF files.
_IN_CONFIG = {name: name for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")}
_IN_GGUF = {
    "temp": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "penalty_repeat": "repetition_penalty",
}


@dataclass(frozen=True, kw_only=True)
class Led:
    """How a model that is led to think is bounded: `share` of the answer, at most `budget_tokens`."""

    temperature: float
    budget_tokens: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Defaults:
    sampling: Sampling
    led: Led


def of(path: Path) -> Defaults:
    """Those of a GGUF file or a checkpoint's folder. Raises BadModelFile and OSError."""
    if path.is_dir():
        own = _own(folder_vocabulary.settings(path, "generation_config.json"), _IN_CONFIG)
        model_type = str(folder_vocabulary.settings(path, "config.json").get("model_type", ""))
        return _chosen(own, basename="", model_type=model_type)
    metadata = gguf_file.read(path).metadata
    named = {key.removeprefix("general.sampling."): value for key, value in metadata.items()}
    own = _own(named, _IN_GGUF)
    basename = str(metadata.get("general.basename", "")).lower()
    return _chosen(own, basename=basename, model_type=str(metadata.get("general.architecture", "")))


def of_any_model() -> Defaults:
    """Those of a model of which nothing is known."""
    return _chosen({}, basename="", model_type="")


def _own(written: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        ours: written[theirs]
        for theirs, ours in names.items()
        if isinstance(written.get(theirs), int | float) and not isinstance(written[theirs], bool)
    }


def _chosen(own: Mapping[str, Any], *, basename: str, model_type: str) -> Defaults:
    tables = _tables()
    fitting = [
        table for table in tables["families"] if _fits(table, basename=basename, model_type=model_type)
    ]
    family = _own(fitting[0] if fitting else tables["other"], _IN_CONFIG)
    return Defaults(sampling=Sampling(**{**family, **own}), led=Led(**tables["led"]))


def _fits(table: Mapping[str, Any], *, basename: str, model_type: str) -> bool:
    if "basename" in table:
        return basename.startswith(table["basename"])
    return bool(table["model_type"] == model_type)


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    return tomllib.loads(_TABLES.read_text(encoding="utf-8"))
