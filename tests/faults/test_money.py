"""A short form of tests/faults/money_run: money stays exact while parts of the platform are killed."""

from pathlib import Path

import pytest
from django.conf import settings

from tests import services
from tests.faults import money_run

pytestmark = [pytest.mark.faults, pytest.mark.slow]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_after_kills_every_sum_matches_and_no_hold_is_left(database: str) -> None:
    if database == "postgres" and services.postgres_programs() is None:
        pytest.skip("no PostgreSQL server on this machine")
    folder = Path(settings.VAR_DIR) / f"money-{database}"  # PostgreSQL runs as another user below it
    folder.mkdir()
    tally, outcome, faults = money_run.run(folder, database=database, trials=2, seed=11, cuts=4)
    assert faults == []
    assert outcome["num_records"]
    assert tally.ends.total() == 2 * money_run.AT_ONCE + 4 * 3
