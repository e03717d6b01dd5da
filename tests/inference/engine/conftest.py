"""Engines over a model of random weights, made in a moment."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
import torch

from inference.checkpoints import random_model
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


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """To wake another costs more than it saves with models so small."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def tiny_torch(tiny_path: Path) -> Model:
    """fp32: a token's numbers are the same however it was computed, but for the last digits."""
    return TorchDecoder(sources.open_parameters(tiny_path), precision="fp32")


@pytest.fixture(scope="session")
def tiny_native(tiny_path: Path) -> Model:
    return native(tiny_path)


@pytest.fixture(scope="session")
def tiny_k2(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("models") / "k2"
    random_model.write(path, random_model.k2_like(vocab_size=tiny_model.VOCAB_SIZE), stored="int4")
    return native(path)


def native(path: Path) -> Model:
    try:
        return NativeDecoder(sources.open_parameters(path), num_threads=1)
    except BuildFailed as fault:
        pytest.skip(str(fault))


@pytest.fixture(params=["torch", "native"])
def load_tiny(request: pytest.FixtureRequest) -> LoadTiny:
    return loader_of(request.getfixturevalue(f"tiny_{request.param}"))


@pytest.fixture
def tiny(load_tiny: LoadTiny) -> Engine:
    return load_tiny()


def loader_of(model: Model, *, kv_dtype: torch.dtype | None = None) -> LoadTiny:
    """Makes engines over one model, each with a pool of its own."""

    def load(
        *,
        num_blocks: int = 64,
        max_context_tokens: int = 512,
        limits: SchedulerLimits = UNHURRIED,
        speculates: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Engine:
        pool = KVPool(model.config, num_blocks=num_blocks, dtype=kv_dtype or model.kv_dtypes[0])
        return Engine(
            model,
            pool,
            max_context_tokens=max_context_tokens,
            limits=limits,
            speculates=speculates,
            clock=clock,
        )

    return load
