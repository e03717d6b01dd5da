"""A long run as a person follows it: phases fold, a call opens beside it, the next message waits its turn."""

import json

import pytest
from playwright.sync_api import expect

from inference.backends.scripted import Reply
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e

PHASES = ("Find the study", "Recompute it")


def plan(under_way: int) -> str:
    lines = [
        {"text": text, "status": "done" if place < under_way else "doing" if place == under_way else "todo"}
        for place, text in enumerate(PHASES)
    ]
    return f"call: plan {json.dumps({'lines': lines})}"


def a_run_of_sixteen_steps() -> list[Reply]:
    """The eighth step begins the second phase; the last waits until it is stopped."""
    replies = []
    for step in range(1, 16):
        call = plan(step // 8) if step in (1, 8) else f'call: calculate {{"expression": "{step} * 7"}}'
        replies.append(Reply(when="Work", step=step, lines=(f"think: step {step}", call)))
    lines = ("pace: 8", "think: " + "hm " * 50, "text: All done.")
    return [*replies, Reply(when="Work", step=16, lines=lines)]


def test_a_run_folds_into_phases_and_its_calls_open_beside_it(person: Person, stack: Stack) -> None:
    stack.script(*a_run_of_sixteen_steps(), Reply(when="And then", step=1, lines=("text: That as well.",)))
    page = person.page
    person.ask("Work it out", long_thinking=True)
    expect(person.last_turn.locator(".phase--live")).to_contain_text("Recompute it")
    fold = person.last_turn.locator(".stepped > .fold", has_text="Find the study")
    expect(fold).to_be_visible()

    person.composer.fill("And then?")
    person.composer.press("Enter")
    expect(page.locator(".queue__row")).to_contain_text("And then?")
    page.reload()
    expect(page.locator(".queue__row")).to_contain_text("And then?")

    fold = person.last_turn.locator(".stepped > .fold", has_text="Find the study")
    fold.locator("summary").first.click()
    fold.locator(".call", has_text="2 * 7").locator("summary").click()
    panel = page.locator("#panel")
    expect(panel.locator(".panel__title")).to_contain_text("Step 2")
    expect(panel.locator("[data-slot=result]")).to_have_text("14")
    page.keyboard.press("j")
    expect(panel.locator(".panel__title")).to_contain_text("Step 3")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()

    expect(person.turns).to_have_count(2)  # what waited has become a turn, by itself
    expect(page.locator(".queue__row")).to_have_count(0)
    person.wait_for_answer()
    assert person.answer == "That as well."
