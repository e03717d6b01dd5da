"""Engines over a model of random weights, made in a moment."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from inference.engine import Engine
from inference.engine.scheduler import SchedulerLimits
from inference.model import sources
from inference.model.decoder import TorchDecoder
from inference.model.kv_pool import KVPool
from inference.model.port import Model
from inference.native.build import BuildFailed
from inference.native.decoder import NativeDecoder
from tests.inference import tiny_model

UNHURRIED = SchedulerLimits(step_s=None)


class LoadTiny(Protocol):
    def __call__(
        self,
        *,
        num_blocks: int = 64,
        max_context_tokens: int = 512,
        limits: SchedulerLimits = UNHURRIED,
        speculates: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Engine: ...


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def tiny_torch(tiny_path: Path) -> Model:
    """fp32: a token's numbers are the same however it was computed, but for the last digits."""
    return TorchDecoder(sources.open_parameters(tiny_path), precision="fp32")


@pytest.fixture(scope="session")
def tiny_native(tiny_path: Path) -> Model:
    try:
        return NativeDecoder(sources.open_parameters(tiny_path), num_threads=2)
    except BuildFailed as fault:
        pytest.skip(str(fault))


@pytest.fixture(params=["torch", "native"])
def load_tiny(request: pytest.FixtureRequest) -> LoadTiny:
    return loader_of(request.getfixturevalue(f"tiny_{request.param}"))


@pytest.fixture
def tiny(load_tiny: LoadTiny) -> Engine:
    return load_tiny()


def loader_of(model: Model) -> LoadTiny:
    """Makes engines over one model, each with a pool of its own."""

    def load(
        *,
        num_blocks: int = 64,
        max_context_tokens: int = 512,
        limits: SchedulerLimits = UNHURRIED,
        speculates: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Engine:
        pool = KVPool(model.config, num_blocks=num_blocks, dtype=model.kv_dtypes[0])
        return Engine(
            model,
            pool,
            max_context_tokens=max_context_tokens,
            limits=limits,
            speculates=speculates,
            clock=clock,
        )

    return load
