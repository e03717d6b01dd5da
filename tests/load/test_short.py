"""A short form of each measurement: what must hold however busy the machine is. How fast it all is, is for
`python -m tests.load` to say."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.load import crowded, cuts, slow, stopping
from tests.load.web_site import served
from tests.stack import Stack

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with cuts.platform() as stack:
        yield stack


def test_whatever_is_cut_while_answers_stream_they_are_shown_to_the_letter(stack: Stack) -> None:
    came = asyncio.run(cuts.run(stack, cuts=24, seed=7, pages=4))
    assert set(came.done) == set(cuts.SHARES)
    assert came.num_turns >= 4
    assert (came.num_wrong, came.num_gaps) == (0, 0)
    assert len(came.back_s) == 4, "each page has come back"


def test_a_page_that_comes_late_catches_up_with_all_of_a_long_answer(stack: Stack) -> None:
    assert len(asyncio.run(cuts.catch_up(stack, tokens=5_000, tries=3))) == 3


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
def test_many_sockets_miss_nothing_and_a_slow_one_costs_no_memory(server: str) -> None:
    with served(server) as site:
        crowd = asyncio.run(crowded.follow(site, sockets=100, hz=10, seconds=3))
        _, growth_mib = asyncio.run(slow.run(site, readers=10, seconds=8, has_slow=True))
    assert crowd.num_events > 1_000
    assert crowd.num_missing == 0
    assert growth_mib < slow.MOST_GROWTH_MIB


@pytest.mark.parametrize("phase", stopping.PHASES)
def test_a_stop_has_the_provider_left(phase: str, endless: tuple[Stack, stopping.Provider]) -> None:
    assert len(stopping.stops(*endless, phase, times=2)) == 2


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, stopping.Provider]]:
    folder: Path = tmp_path_factory.mktemp("stops")
    with stopping.platform(folder) as both:
        yield both
