"""kill -9 of each process in mid-answer: the page recovers, nothing is lost, doubled or charged twice."""

from collections.abc import Callable

import pytest

from tests.faults.conftest import Person, record_of
from tests.stack import Stack

pytestmark = [pytest.mark.faults, pytest.mark.slow]

NUM_WORDS = 60
ANSWER = " ".join(f"word{number}" for number in range(1, NUM_WORDS + 1))


def kill_worker(stack: Stack) -> None:
    stack.kill("worker")
    stack.start_part("worker")


def kill_web(stack: Stack) -> None:
    stack.kill("web")
    stack.start_part("web")


def kill_redis(stack: Stack) -> None:
    stack.redis.kill()
    stack.redis.start()


@pytest.mark.parametrize("kill", [kill_worker, kill_web, kill_redis])
def test_an_answer_survives_the_death_of(kill: Callable[[Stack], None], stack: Stack, demo: Person) -> None:
    stack.script("pace: 12", f"text: {ANSWER}")
    demo.ask("Count, please.")
    demo.watch_until_words(12)
    kill(stack)
    seen = demo.watch_to_the_end()
    for state in seen:  # never a word twice, never one left out, whatever was on the screen in between
        assert ANSWER.startswith(state)
    record = record_of(stack)
    assert seen[-1] == record.text == ANSWER
    assert (record.status, record.finish_reason, record.error) == ("finished", "stop", "")
    record.assert_charged_once()


def test_a_page_that_is_reloaded_after_a_death_shows_the_same(stack: Stack, demo: Person) -> None:
    stack.script("pace: 12", f"text: {ANSWER}")
    demo.ask("Count, please.")
    demo.watch_until_words(12)
    kill_worker(stack)
    demo.page.reload()
    assert demo.watch_to_the_end()[-1] == record_of(stack).text == ANSWER
