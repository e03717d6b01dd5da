"""What is too much or never closed: said plainly, drawn, and nothing is lost."""

import pytest
from playwright.sync_api import expect

from inference.backends.scripted import Reply
from tests.e2e.conftest import Visitors
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e

PHONE = (390, 844)
UNCLOSED = {
    "a fence": ("Before.\n\n```python\nprint(1)\n\n# not a heading", "pre", "# not a heading"),
    "a fence in a list": ("- one\n\n  ```js\n  let a = 1;", "li pre", "let a = 1;"),
    "a table's row": ("| a | b |\n|---|---|\n| 1 | 2", "td", "2"),
    "emphasis": ("This **stays plain", "p", "This **stays plain"),
    "a link": ("See [this](https://example.com/a", "p", "See [this](https://example.com/a"),
}


def test_a_message_of_a_megabyte_is_refused_and_kept(visitors: Visitors, stack: Stack) -> None:
    person = visitors.person()
    long = "word " * 200_000
    person.composer.fill(long)
    expect(person.send_button).to_be_enabled()
    person.composer.press("Enter")
    expect(person.note).to_contain_text("longer than 400,000 characters")
    expect(person.turns).to_have_count(0)
    person.page.reload()
    expect(person.composer).to_have_value(long)
    stack.script("text: Hello.")
    person.ask("Short now")
    person.wait_for_answer()
    assert person.answer == "Hello."
    # It is too long for a draft on the server too, which says so: this device keeps it.
    visitors.complaints[:] = [one for one in visitors.complaints if "413" not in one]


def test_a_table_as_long_as_a_reply_can_be_is_whole_and_keeps_the_page_in_bounds(
    visitors: Visitors, stack: Stack
) -> None:
    person = visitors.person(PHONE)
    rows = "".join(f"| {number} | {number * number} |\n" for number in range(1_600))  # 8,000 tokens
    stack.script(Reply(lines=(f"text: | n | square |\n|---|---|\n{rows}",)))
    person.ask("A long table")
    person.wait_for_answer()
    for _ in range(2):  # as it was streamed, and from the store
        cells = person.last_turn.locator(".answer td")
        expect(cells).to_have_count(3_200)
        expect(cells.last).to_have_text(str(1_599 * 1_599))
        assert person.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        person.page.reload()
        person.last_turn.locator(".answer").wait_for()


@pytest.mark.parametrize("name", UNCLOSED)
def test_what_is_never_closed_is_shown_to_its_end_and_hurts_nothing_after_it(
    person: Person, stack: Stack, name: str
) -> None:
    text, where, shown = UNCLOSED[name]
    stack.script(Reply(lines=(f"text: {text}",)))
    person.ask("Leave it open")
    person.wait_for_answer()
    for _ in range(2):
        expect(person.last_turn.locator(f".answer {where}").last).to_contain_text(shown)
        expect(person.last_turn.locator(".foot")).to_be_visible()
        expect(person.composer).to_be_editable()
        person.page.reload()
        person.last_turn.locator(".answer").wait_for()
