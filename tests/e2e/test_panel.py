"""Sources, pictures and links beside and in an answer, as a person uses them."""

import pytest
from playwright.sync_api import expect

from inference.backends.scripted import Reply
from tests.e2e.conftest import Visitors
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e

CITED = """
from tests.pages import scenes
from webapp.accounts.models import User
print(scenes.cited(User.objects.get(username="{name}")).conversation_id)
"""


@pytest.fixture
def reader(person: Person, stack: Stack) -> Person:
    """A person in front of an answer with sources and a plot."""
    conversation = stack.python(CITED.format(name=person.name)).split()[-1]
    person.page.goto(f"/c/{conversation}/")
    return person


def test_a_pill_leads_to_its_passage_and_on_to_the_next(reader: Person) -> None:
    page = reader.page
    page.locator(".cite", has_text="2").first.click()
    expect(page.locator(".card:popover-open mark")).to_have_text("only considered the summer of 2015")
    page.locator(".card:popover-open").get_by_role("link", name="All of it").click()
    current = page.locator(".source.is-current")
    expect(current.locator(".quote--whole mark")).to_have_text("only considered the summer of 2015")
    expect(current).to_contain_text("It says what the answer says")
    expect(page.locator(".card:popover-open")).to_have_count(0)
    expect(page.locator(".answer .cite.is-current")).to_have_count(2)
    page.get_by_role("button", name="Next source").click()
    expect(current.locator(".source__title")).to_have_text("Trees Master Plan")
    page.get_by_role("button", name="Next source").click()
    expect(current.locator(".cite")).to_have_text("1")
    current.get_by_role("button", name="Step 1").click()
    expect(page.locator("[data-step='1']")).to_be_in_viewport()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the evidence as JSON").click()
    assert download.value.suggested_filename.endswith(".json")
    page.locator(".panel__title").focus()
    page.keyboard.press("Escape")
    expect(page.locator(".answer .cite.is-current")).to_have_count(0)


def test_a_plot_opens_large_and_closes_by_keyboard(reader: Person) -> None:
    page = reader.page
    plot = page.get_by_role("link", name="deaths by city")
    plot.focus()
    page.keyboard.press("Enter")
    large = page.get_by_role("dialog", name="deaths by city")
    expect(large.locator("img")).to_be_visible()
    assert large.locator("img").evaluate("(img) => img.decode().then(() => img.naturalWidth)") == 320
    page.keyboard.press("Escape")
    expect(large).to_have_count(0)
    expect(plot).to_be_focused()


def test_an_address_that_carries_much_is_shown_whole_before_it_is_followed(
    person: Person, stack: Stack
) -> None:
    address = "https://collect.example/p?d=" + "secret" * 10
    stack.script(f"text: See [the source]({address}) and [this](https://example.com/).")
    person.ask("Where from?")
    person.wait_for_answer()
    asked: list[str] = []
    person.page.context.on("request", lambda request: asked.append(request.url))
    person.last_turn.get_by_role("link", name="the source").click()
    dialog = person.page.get_by_role("dialog", name="Go to this address?")
    expect(dialog.locator("[data-slot=address]")).to_have_text(address)
    expect(dialog.locator("strong")).to_have_text("collect.example")
    dialog.get_by_role("button", name="Stay here").click()
    expect(dialog).to_have_count(0)
    assert not [url for url in asked if "collect.example" in url]
    short = person.last_turn.get_by_role("link", name="this example.com")
    expect(short).to_have_attribute("rel", "noopener nofollow noreferrer")


def test_the_switch_counts_before_the_page_s_script_is_there(visitors: Visitors, stack: Stack) -> None:
    person = visitors.person()
    held = []
    person.page.route("**/js/chat*.js", lambda route: held.append(route))
    person.page.goto("/", wait_until="commit")
    switch = person.page.get_by_role("switch", name="Long Thinking")
    was_on = switch.is_checked()
    switch.click()
    assert switch.is_checked() is not was_on
    person.composer.fill("Think")
    for route in held:
        route.continue_()
    person.page.unroute_all()
    expect(person.send_button).to_be_enabled()
    assert switch.is_checked() is not was_on
    stack.script("think: So it is.", "text: Yes.")
    person.composer.press("Enter")
    person.wait_for_answer()
    expect(person.last_turn.locator(".reasoning")).to_have_count(0 if was_on else 1)


def test_a_long_turn_shows_how_far_it_is_and_stops_from_there(person: Person, stack: Stack) -> None:
    steps = [Reply(step=n, lines=(f'call: calculate {{"expression": "{n} * 7"}}',)) for n in range(1, 9)]
    stack.script(*steps, Reply(step=9, lines=("text: And so", "stall:")))
    person.ask("Work long on this", long_thinking=True)
    head = person.last_turn.locator(".run__head")
    expect(head.locator(".meter__figure").first).to_contain_text("Step 9 of")
    expect(head.locator(".strip__step--python")).to_have_count(8)
    expect(head).to_be_in_viewport()
    head.get_by_role("button", name="Stop").click()
    person.wait_for_answer()
    expect(head.get_by_role("button", name="Stop")).to_have_count(0)
    expect(head.locator(".meter__figure").first).to_contain_text("of")
