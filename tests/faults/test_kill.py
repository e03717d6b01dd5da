"""kill -9 of each process in mid-answer: the page recovers, nothing is lost, doubled or charged twice."""

from collections.abc import Callable

import pytest

from tests.faults.conftest import Witness
from tests.stack import Stack
from webapp.management import parts

pytestmark = [pytest.mark.faults, pytest.mark.slow]

ANSWER = " ".join(f"word{number}" for number in range(1, 61))


def kill_worker(stack: Stack) -> None:
    names = [program.name for program in parts.turn_workers()]
    for name in names:
        stack.kill(name)
    for name in names:
        stack.start_part(name)


def kill_web(stack: Stack) -> None:
    stack.kill("web")
    stack.start_part("web")


def kill_redis(stack: Stack) -> None:
    stack.redis.kill()
    stack.redis.start()


@pytest.fixture
def slow_answer(stack: Stack, witness: Witness) -> Witness:
    """Someone who has read the first fifth of an answer."""
    stack.wait_until_served()
    stack.script("pace: 12", f"text: {ANSWER}")
    witness.ask("Count, please.")
    witness.watch_until_words(12)
    return witness


@pytest.mark.parametrize("kill", [kill_worker, kill_web, kill_redis])
def test_an_answer_survives_the_death_of(
    kill: Callable[[Stack], None], stack: Stack, slow_answer: Witness
) -> None:
    kill(stack)
    seen = slow_answer.watch_to_the_end()
    for state in seen:  # never a word twice, never one left out, whatever was on the screen in between
        assert ANSWER.startswith(state)
    record = slow_answer.record
    assert seen[-1] == record.text == ANSWER
    assert (record.status, record.finish_reason, record.error) == ("finished", "stop", "")
    record.assert_charged_once()


def test_a_page_that_is_reloaded_after_a_death_shows_the_same(stack: Stack, slow_answer: Witness) -> None:
    kill_worker(stack)
    slow_answer.page.reload()
    assert slow_answer.watch_to_the_end()[-1] == slow_answer.record.text == ANSWER


def test_everything_killed_at_once_still_ends_in_the_whole_answer(stack: Stack, slow_answer: Witness) -> None:
    for kill in (kill_redis, kill_worker, kill_web):
        kill(stack)
    assert slow_answer.watch_to_the_end()[-1] == slow_answer.record.text == ANSWER
    slow_answer.record.assert_charged_once()
