"""A page shows what the database holds, whatever other pages and impatient people do meanwhile."""

import pytest
from playwright.sync_api import expect

from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e
LONG = "pace: 40", "text: " + " ".join(f"word{number}" for number in range(400))


def test_a_stop_before_the_server_has_taken_the_message_stops_its_turn(person: Person, stack: Stack) -> None:
    stack.script(*LONG)
    person.composer.fill("Count for me")
    expect(person.send_button).to_be_enabled()
    person.page.locator("#composer").evaluate("(form) => { form.requestSubmit(); form.requestSubmit(); }")
    expect(person.last_turn.locator(".notice__title")).to_have_text("Stopped")
    expect(person.composer).to_have_value("")
    person.page.reload()
    expect(person.turns).to_have_count(1)


def test_a_call_that_was_never_run_is_shown_without_a_reload(person: Person, stack: Stack) -> None:
    stack.script("text: Let me see.", 'call: calculate {"expression": "6 * 7"}', "finish: length")
    person.ask("What is it?", long_thinking=True)
    person.wait_for_answer()
    expect(person.last_turn.locator("details.call")).to_have_count(1)


def test_a_page_whose_conversation_is_deleted_elsewhere_says_so(person: Person, stack: Stack) -> None:
    stack.script("text: So far", "stall:")
    person.ask("Go on for ever")
    person.wait_for_text("So far")
    stack.python(
        "from chat import conversations\nfrom chat.models import Conversation\n"
        f"conversations.delete(Conversation.objects.get(user__username='{person.name}'))"
    )
    expect(person.note).to_contain_text("does not exist")
    expect(person.page.locator("#send:not(.send--stop)")).to_be_visible()
    expect(person.last_turn.locator(".waiting")).to_have_count(0)


def test_a_message_behind_a_turn_of_another_page_shows_that_turn_too(person: Person) -> None:
    person.ask("First")
    person.wait_for_answer()
    other = Person(person.page.context.new_page(), name=person.name)
    other.page.goto(person.page.url)
    other.ask("Second")
    other.wait_for_answer()
    person.composer.fill("Third")
    person.composer.press("Enter")
    expect(person.page.locator(".bubble")).to_have_text(["First", "Second", "Third"])
    person.wait_for_answer()
    expect(person.page.locator(".answer")).to_have_count(3)


def test_an_edited_message_is_in_the_draft_until_the_server_has_it(person: Person) -> None:
    person.ask("First")
    person.wait_for_answer()
    person.last_turn.get_by_role("button", name="Edit").click()
    form = person.last_turn.locator(".edit")
    form.locator("textarea").fill("A better first")
    drafts = "Object.entries(localStorage).filter(([key]) => key.includes('draft')).join()"
    sent = form.evaluate(f"(form) => {{ form.requestSubmit(); return {drafts}; }}")
    assert "A better first" in sent
    person.wait_for_answer()
    assert "A better first" not in str(person.page.evaluate(drafts))
