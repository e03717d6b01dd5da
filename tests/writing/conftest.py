"""A press for all tests of a run, and a study for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.writing.press import Press
from tests.writing.study import Study, pressing


@pytest.fixture(scope="session")
def press() -> Iterator[Press]:
    with pressing() as press:
        yield press


@pytest.fixture
def study(tmp_path: Path, press: Press) -> Study:
    return Study(tmp_path, press)
