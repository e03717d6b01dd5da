"""A short form of tests/faults/money_run: money stays exact while parts of the platform are killed."""

import pytest

from tests import services
from tests.faults import money_run

pytestmark = [pytest.mark.slow]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_after_kills_every_sum_matches_and_no_hold_is_left(tmp_path_factory, database):
    if database == "postgres" and services.postgres_programs() is None:
        pytest.skip("no PostgreSQL server on this machine")
    folder = tmp_path_factory.mktemp("money")
    for part in (folder, folder.parent):
        part.chmod(0o755)  # PostgreSQL runs as another user below it
    tally, outcome, faults = money_run.run(folder, database=database, trials=3, seed=11)
    assert faults == []
    assert outcome["num_records"]
    assert tally.ends.total() == 3 * money_run.AT_ONCE
