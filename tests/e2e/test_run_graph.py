"""A run looked back upon: a picture and a list, from a source to the sentence that cites it, the palette."""

import json

import pytest
from playwright.sync_api import expect

from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e

SCENE = """
import json
from chat import endings
from tests.pages import scenes
from webapp.accounts.models import User

turn = scenes.researched(User.objects.get(username="{name}"))
endings.keep(turn)
print(json.dumps([str(turn.conversation_id), str(turn.pk)]))
"""


def test_a_run_is_walked_through_by_keyboard_and_its_sources_lead_to_the_answer(
    person: Person, stack: Stack
) -> None:
    page = person.page
    conversation, turn = json.loads(stack.python(SCENE.format(name=person.name)))
    page.goto(f"/c/{conversation}/")
    page.locator("[data-graph][aria-pressed]").click()
    graph = page.locator(".graph")
    phase = graph.locator(".gnode", has_text="Read what others say")
    phase.focus()
    page.keyboard.press("Enter")
    expect(graph.locator(".gnode--error").first).to_be_visible()
    expect(graph.locator(".gnode:focus")).to_contain_text("Read what others say")
    page.keyboard.press("ArrowDown")
    expect(graph.locator(".gnode:focus")).to_contain_text("Step")
    expect(graph.locator("[data-slot=told]")).not_to_be_empty()
    page.keyboard.press("Enter")
    expect(page.locator("#panel .panel__title")).to_contain_text("Step")
    page.keyboard.press("Escape")
    expect(graph.locator(".gnode:focus")).to_contain_text("Step")
    graph.get_by_role("button", name="List").click()
    graph.locator(".graph__list a", has_text="12 million").first.click()
    expect(page.locator(".answer", has_text="12 million")).to_be_in_viewport()
    assert page.evaluate("CSS.highlights.get('cited')?.size") == 1
    graph.get_by_role("button", name="Back to the steps").click()
    expect(graph).to_have_count(0)

    page.locator("#head a", has_text="source").click()
    page.locator(".source", has_text="Report 4").get_by_role("button", name="1 of 1").click()
    pill = page.locator(f"[popovertarget='passage-{turn}-4']")
    expect(pill).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".source", has_text="Report 4").get_by_role("button", name="1 of 1")).to_be_focused()

    page.goto("/")
    expect(person.send_button).to_be_visible()
    page.keyboard.press("Control+k")
    page.locator("#palette-words").fill("Report 5 cooling")
    hit = page.locator(".palette [data-slot=hits] .hit", has_text="cities through urban green")
    expect(hit).to_be_visible()
    expect(hit).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.locator(f"[popovertarget='passage-{turn}-5']")).to_be_focused()
