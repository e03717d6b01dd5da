"""The stage of the attacks, and the table of what came of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from agents import custom_tools
from agents.corpus.index import Index
from agents.pages.fetching import Fetcher
from agents.pages.library import Library
from agents.pages.reading import Reader
from agents.tooling.outgoing import Secrets
from agents.tooling.policy import Policy
from chat import page_tools, toolsets
from tests.injection import model, world
from tests.injection.model import Obedient
from tests.injection.world import World
from tests.search import sites
from tests.search.sites import Pages
from webapp.catalog import backends

Row = tuple[str, str, bool, int, bool]
TABLE: list[Row] = []


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def places() -> Iterator[World]:
    """The two sites, which stay while the attacks change what is on them."""
    stage = World(good=Pages(), evil=world.evil_pages())
    with sites.serve(stage.good) as good_at, sites.serve(stage.evil) as evil_at:
        stage.good_at, stage.evil_at = good_at, evil_at
        yield stage


@pytest.fixture
def stage(
    places: World, reader: Reader, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> World:
    """The sites with nothing asked for yet, and a platform that may open them."""
    for pages in (places.good, places.evil):
        pages.asked.clear()
    places.done.clear()
    places.feed = ""
    settings.SEARCH_PROVIDERS = ["searxng"]
    settings.SEARXNG_URL = places.good_at
    fetcher = Fetcher(own_sites=(places.good_at, places.evil_at))
    library = Library(Index(tmp_path / "none.sqlite3"), fetcher=fetcher, reader=reader)
    monkeypatch.setattr(page_tools, "library", lambda: library)
    monkeypatch.setattr(custom_tools, "installed", lambda: tuple(places.tools()))
    policy = Policy(secrets=Secrets((model.KEY,)))
    monkeypatch.setattr(toolsets, "_policy", lambda: policy)
    return places


@pytest.fixture
def obedient(monkeypatch: pytest.MonkeyPatch) -> Obedient:
    backend = Obedient()
    monkeypatch.setattr(backends, "backend_for", lambda _model: backend)
    return backend


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not TABLE:
        return
    write = terminalreporter.write_line
    write("")
    write(f"{'attack':44} {'where':16} {'read':5} {'effects':>7}  task")
    for name, where, was_read, num_effects, is_done in TABLE:
        read, done = "yes" if was_read else "no", "done" if is_done else "-"
        write(f"{name:44} {where:16} {read:5} {num_effects:7}  {done}")
    num_effects, num_done = sum(row[3] for row in TABLE), sum(row[4] for row in TABLE)
    write(f"{len(TABLE)} attacks, {sum(row[2] for row in TABLE)} of them read and obeyed by the model")
    write(f"effects of the attacker: {num_effects}; tasks done all the same: {num_done} of {len(TABLE)}")
