"""Whole turns in this process against a LoopForge: a real backend over HTTP, a Celery worker, tabs with
sockets, and tools that an operator added."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agents import custom_tools
from tests.loopforge import ledger, tools
from tests.loopforge.course import Planned
from tests.loopforge.ledger import Ledger
from tests.loopforge.server import MODEL, LoopForge, Manner
from tests.loopforge.serving import serve
from tests.services import free_port
from tests.turn.conftest import alice_tab, celery_worker, open_tab, server
from webapp.billing import seeds
from webapp.catalog.models import ServedModel

__all__ = ["alice_tab", "celery_worker", "open_tab", "server"]


@dataclass
class Forge:
    """A LoopForge that serves the model `loopforge-thinking`; `app` tells what it was asked."""

    app: LoopForge = field(default_factory=lambda: LoopForge(course=Planned()))
    base_url: str = ""

    @property
    def num_asked(self) -> int:
        return len(self.app.asked)


@pytest.fixture
def forge() -> Iterator[Forge]:
    forge = Forge()
    with serve(forge.app, port=free_port()) as forge.base_url:
        yield forge


@pytest.fixture
def forge_model(db: None, forge: Forge) -> ServedModel:
    """Costs a little, so that what a fault costs can be seen."""
    model, _ = ServedModel.objects.update_or_create(
        name=MODEL,
        defaults={
            "label": "LoopForge",
            "backend": ServedModel.Backend.OPENAI_COMPATIBLE,
            "upstream_name": MODEL,
            "base_url": forge.base_url,
            "thinking_dialect": ServedModel.ThinkingDialect.ALWAYS,
            "context_tokens": 262_144,
            "max_output_tokens": 8_192,
            "position": 1,
        },
    )
    seeds.seed()
    model.prices.update(input_per_million="1", cached_input_per_million="0.1", output_per_million="2")
    return model


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The test tools, installed as an operator installs a package, and the ledger of what they did."""
    tools.install(tmp_path / "site")
    monkeypatch.setenv(ledger.VARIABLE, str(tmp_path / "ledger.sqlite3"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    custom_tools.installed.cache_clear()
    yield Ledger(tmp_path / "ledger.sqlite3")
    sys.path_importer_cache.clear()
    custom_tools.installed.cache_clear()


def with_manner(forge: Forge, **changes: object) -> None:
    forge.app.manner = Manner(**changes)  # type: ignore[arg-type]
