"""A long chat in a browser: its end comes first, the rest as somebody looks for it, and nothing jumps."""

import re

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e

NUM_TURNS = 50
FILL = """
from tests.pages import scenes
from webapp.accounts.models import User
scenes.conversation(User.objects.get(username={name!r}), num_turns={num_turns})
"""


def top_of(place: Locator) -> float:
    return float(place.evaluate("one => one.getBoundingClientRect().top"))


def test_what_was_said_before_comes_without_moving_the_page(person: Person, stack: Stack) -> None:
    stack.python(FILL.format(name=person.name, num_turns=NUM_TURNS))
    page = person.page
    page.reload()
    page.locator(".sidebar__item a").first.click()
    expect(person.turns.last).to_contain_text("Question 49")
    held = person.turns.count()
    assert held < NUM_TURNS

    waiting: list[Route] = []
    page.route("**/earlier/", lambda route: waiting.append(route))
    person.turns.first.evaluate("one => { one.dataset.wasFirst = ''; one.scrollIntoView(); }")
    anchor = page.locator("[data-was-first]")
    expect(page.locator(".earlier[aria-busy]")).to_be_attached()
    before = top_of(anchor)
    waiting[0].continue_()
    expect(person.turns.nth(held)).to_be_attached()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert abs(top_of(anchor) - before) <= 1
    page.unroute("**/earlier/")

    page.reload()
    page.evaluate("location.hash = document.querySelector('.turn').id")  # of the page, then of none on it
    oldest = stack.python(
        "from chat.models import Turn\n"
        f"print(Turn.objects.filter(conversation__user__username={person.name!r}, parent=None).get().pk)"
    ).strip()
    page.evaluate("id => { location.hash = `turn-${id}`; }", oldest)
    named = page.locator(f"#turn-{oldest}")
    expect(named).to_be_in_viewport()
    expect(page.locator(".earlier")).to_have_count(0)
    expect(person.turns).to_have_count(NUM_TURNS)

    page.goto(re.sub(r"#.*", "", page.url))
    expect(page.locator(".earlier")).to_have_count(1)
    page.keyboard.press("Control+f")  # the browser then looks through all of it
    expect(person.turns).to_have_count(NUM_TURNS)
