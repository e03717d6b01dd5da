"""Engines over a model of random weights, made in a moment."""

from pathlib import Path
from typing import Protocol

import pytest

from inference import engine as engines
from inference.engine import Engine
from inference.engine.scheduler import SchedulerLimits
from tests.inference import tiny_model


class LoadTiny(Protocol):
    def __call__(self, *, max_context_tokens: int = 512, limits: SchedulerLimits | None = None) -> Engine: ...


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def load_tiny(tiny_path: Path) -> LoadTiny:
    def load(*, max_context_tokens: int = 512, limits: SchedulerLimits | None = None) -> Engine:
        return engines.load(
            tiny_path,
            on_progress=lambda share: None,
            max_context_tokens=max_context_tokens,
            num_threads=2,
            limits=limits,
        )

    return load


@pytest.fixture
def tiny(load_tiny: LoadTiny) -> Engine:
    return load_tiny()
