"""What pages meet that nobody plans for: clocks that are wrong, other scripts, one message edited twice."""

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Visitors
from tests.stack import Stack

pytestmark = pytest.mark.e2e

AN_HOUR_AHEAD = "{ const real = Date.now; Date.now = () => real() + 3_600_000; }"
HEBREW = "שלום, מה שלומך?"


def test_a_wrong_clock_and_another_script_are_shown_right(visitors: Visitors, stack: Stack) -> None:
    person = visitors.stranger()
    person.page.context.add_init_script(AN_HOUR_AHEAD)
    person.sign_up()
    stack.script(
        "think: Hm.", "wait: 2", "think: And.", "wait: 1", f"text: {HEBREW}\n\nAnd e\u0301\u0327 after."
    )
    person.ask(HEBREW, long_thinking=True)
    timer = person.last_turn.locator(".reasoning__meta")
    expect(timer).not_to_be_empty()
    assert "min" not in timer.inner_text()
    person.wait_for_answer()
    starts = person.last_turn.locator(".answer p").evaluate_all(
        """all => all.map((one) => {
             const range = document.createRange();
             range.selectNodeContents(one);
             const [text, box] = [range.getBoundingClientRect(), one.getBoundingClientRect()];
             return box.right - text.right < text.left - box.left ? "right" : "left";
           })"""
    )
    assert starts == ["right", "left"]


def test_one_message_edited_in_two_tabs_makes_two_versions(visitors: Visitors, stack: Stack) -> None:
    person = visitors.person()
    stack.script("text: First.")
    person.ask("One question")
    person.wait_for_answer()
    other = person.page.context.new_page()
    other.goto(person.page.url)
    stack.script("pace: 4", "text: " + "word " * 200)
    for page, text in ((person.page, "As I said here"), (other, "As I said there")):
        page.locator(".turn").last.hover()
        page.locator("[data-action=edit]").last.click()
        page.locator(".edit textarea").fill(text)
    person.page.locator(".edit button[type=submit]").click()
    expect(person.page.locator(".bubble").last).to_have_text("As I said here")
    person.wait_for_text("word")
    other.locator(".edit button[type=submit]").click()
    expect(other.locator("#note")).not_to_be_empty()  # the first is being answered
    expect(other.locator(".edit textarea")).to_have_value("As I said there")
    expect(other.locator(".edit button[type=submit]")).to_be_enabled()
    person.send_button.click()  # stops it
    person.wait_for_answer()
    stack.script("text: Done.")
    other.locator(".edit button[type=submit]").click()
    expect(other.locator(".bubble").last).to_have_text("As I said there")
