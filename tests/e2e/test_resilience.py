"""What happens to a person's words when something goes wrong: they are kept, and the page says what it is."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Visitors
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e
SLOW = "pace: 30", "text: " + " ".join(f"word{number}" for number in range(150))


def offer(stack: Stack, *, is_active: bool) -> None:
    """Switch the scripted model on or off, as an administrator does."""
    stack.python(
        "from webapp.catalog.models import ServedModel\n"
        f"ServedModel.objects.filter(name='scripted').update(is_active={is_active})"
    )


def test_a_draft_outlives_a_reload_and_belongs_to_its_chat(person: Person) -> None:
    person.ask("A first question")
    person.wait_for_answer()
    person.composer.fill("half a thought")
    person.page.reload()
    expect(person.composer).to_have_value("half a thought")
    person.page.goto("/")
    expect(person.composer).to_have_value("")


def test_a_refusal_gives_the_text_back_and_says_why(person: Person, stack: Stack) -> None:
    offer(stack, is_active=False)
    try:
        person.composer.fill("Is anybody there?")
        person.composer.press("Enter")
        expect(person.note).to_contain_text("scripted")
        expect(person.composer).to_have_value("Is anybody there?")
        expect(person.turns).to_have_count(0)
        person.page.reload()
        expect(person.composer).to_have_value("Is anybody there?")
    finally:
        offer(stack, is_active=True)


def test_a_message_that_is_too_long_never_leaves_the_page(person: Person) -> None:
    person.page.evaluate("document.getElementById('composer').dataset.maxChars = '10'")
    person.composer.fill("longer than ten characters")
    person.composer.press("Enter")
    expect(person.note).to_contain_text("10 characters")
    expect(person.composer).to_have_value("longer than ten characters")


def test_a_turn_that_breaks_says_so_and_can_be_answered_again(person: Person, stack: Stack) -> None:
    stack.script("text: This is all that", "error: rejected the prompt is not to its taste")
    person.ask("Try")
    person.wait_for_answer()
    expect(person.last_turn.locator(".notice__title")).to_be_visible()
    stack.script("text: It works now.")
    person.last_turn.locator(".notice").get_by_role("button", name="Answer again").click()
    person.wait_for_text("It works now.")
    person.wait_for_answer()


def test_signing_in_again_finds_the_draft(person: Person) -> None:
    person.composer.fill("Do not lose me")
    person.page.context.clear_cookies()
    person.page.reload()
    expect(person.page).to_have_url(re.compile("/sign-in/"))
    person.sign_in()
    expect(person.composer).to_have_value("Do not lose me")


def test_a_session_that_ends_on_the_server_opens_the_dialog(person: Person, stack: Stack) -> None:
    stack.python("from django.contrib.sessions.models import Session; Session.objects.all().delete()")
    person.composer.fill("Still mine")
    person.composer.press("Enter")
    dialog = person.page.locator("#signed-out")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Name or email").fill(person.name)
    dialog.get_by_label("Password", exact=True).fill("not this one")
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_label("Password", exact=True).fill(person.password)
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog).to_be_hidden()
    person.wait_for_answer()  # what was sent goes out by itself
    expect(person.last_turn.locator(".bubble")).to_have_text("Still mine")


def test_an_answer_that_ends_while_its_reader_is_signed_out_is_whole_after_the_sign_in(
    person: Person, stack: Stack
) -> None:
    stack.script(*SLOW)
    person.ask("Count")
    person.wait_for_text("word5")
    stack.python("from django.contrib.sessions.models import Session; Session.objects.all().delete()")
    dialog = person.page.locator("#signed-out")
    expect(dialog).to_be_visible(timeout=60_000)  # the turn is over, and its end cannot be had
    expect(person.last_turn.locator(".foot")).to_have_count(0)
    dialog.get_by_label("Name or email").fill(person.name)
    dialog.get_by_label("Password", exact=True).fill(person.password)
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog).to_be_hidden()
    person.wait_for_answer()
    assert person.answer == " ".join(f"word{number}" for number in range(150))
    stack.script("text: As ever.")
    person.ask("And now?")  # over a connection of the new session
    person.wait_for_text("As ever.")
    expect(dialog).to_be_hidden()


def test_who_waits_for_a_worker_is_told_so(visitors: Visitors, stack: Stack) -> None:
    person = visitors.person()
    stack.script("text: Here I am.")
    workers = [name for name in stack.part_names if "worker" in name]
    for name in workers:
        stack.kill(name)
    person.ask("Is anybody there?")
    expect(person.last_turn.locator(".waiting")).to_have_text("Waiting for a free worker")
    person.page.reload()
    expect(person.last_turn.locator(".waiting")).to_have_text("Waiting for a free worker")
    for name in workers:
        stack.start_part(name)
    person.wait_for_text("Here I am.")
    person.wait_for_answer()
    expect(person.last_turn.locator(".waiting")).to_have_count(0)


def test_the_web_process_dies_and_the_answer_goes_on(visitors: Visitors, stack: Stack) -> None:
    person = visitors.person()
    stack.script(*SLOW)
    person.ask("Count")
    person.wait_for_text("word5")
    stack.kill("web")
    expect(person.page.locator("#connection")).to_be_visible()
    stack.start_part("web")
    stack.wait_until_served()
    person.wait_for_answer()
    expect(person.page.locator("#connection")).to_be_hidden()
    assert person.answer == " ".join(f"word{number}" for number in range(150))
    _forgive_what_nobody_served(visitors)


def test_what_is_sent_without_a_connection_goes_out_when_it_is_back(visitors: Visitors, stack: Stack) -> None:
    person = visitors.person()
    stack.script("text: Here I am.")
    stack.kill("web")
    expect(person.page.locator("#connection")).to_be_visible()
    person.ask("Are you there?")
    expect(person.note).to_contain_text("Not sent yet")
    stack.start_part("web")
    stack.wait_until_served()
    person.wait_for_text("Here I am.")
    person.wait_for_answer()
    expect(person.note).to_be_empty()
    expect(person.turns).to_have_count(1)
    _forgive_what_nobody_served(visitors)


def test_an_answer_is_plain_text_until_what_draws_it_can_be_had(visitors: Visitors, stack: Stack) -> None:
    person = visitors.stranger()
    person.page.route("**/markdown*.js", lambda route: route.abort())
    person.sign_up()
    stack.script("text: This is **strong**.")
    person.ask("Say it")
    person.wait_for_text("This is strong.")
    person.page.keyboard.press("Control+k")
    expect(person.page.locator("dialog.palette")).to_be_visible()  # other parts come as ever
    person.page.unroute("**/markdown*.js")
    with person.page.expect_response("**/markdown*.js"):
        person.page.evaluate("dispatchEvent(new Event('online'))")
    _forgive_what_nobody_served(visitors)


def _forgive_what_nobody_served(visitors: Visitors) -> None:
    """The browser tells its console whatever it asked for while no web process was there."""
    away = ("WebSocket", "net::ERR_CONNECTION_REFUSED", "net::ERR_CONNECTION_RESET", "net::ERR_FAILED")
    visitors.complaints[:] = [text for text in visitors.complaints if not any(word in text for word in away)]
