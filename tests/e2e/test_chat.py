"""One conversation, from the first question to its deletion, in a real browser."""

import re

import pytest
from playwright.sync_api import expect

from inference.backends.scripted import Reply
from tests.e2e.conftest import Visitors
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e
LONG = "pace: 40", "text: " + " ".join(f"word{number}" for number in range(400))


def test_an_answer_streams_in_with_its_markdown_and_gets_an_address(person: Person, stack: Stack) -> None:
    stack.script(
        "text: The capital is **Paris**.\n\n```python\nprint('Paris')  # here\n```\n\n",
        "text: | a | b |\n|---|--:|\n| 1 | 2 |",
    )
    person.ask("What is the capital of France?")
    person.wait_for_answer()
    assert "The capital is Paris." in person.answer
    expect(person.last_turn.locator(".answer strong")).to_have_text("Paris")
    expect(person.last_turn.locator("td.is-num")).to_have_text("2")
    expect(person.last_turn.locator(".code .k, .code .s").first).to_be_visible()
    expect(person.page).to_have_url(re.compile(r"/c/[0-9a-f-]{36}/$"))
    assert person.conversations == ["What is the capital of France?"]


def test_reasoning_has_a_fold_of_its_own_that_the_reader_opens(person: Person, stack: Stack) -> None:
    stack.script(
        "pace: 40", "think: 9.9 is **9.90**, and 90 is more than 11, so it is bigger.", "text: 9.9 is bigger."
    )
    person.ask("Which one is bigger, 9.11 or 9.9?", long_thinking=True)
    fold = person.last_turn.locator("details.reasoning")
    expect(fold.locator(".reasoning__label")).to_have_text("Thinking…")
    expect(fold.locator(".reasoning__preview")).to_contain_text("9.90")
    fold.locator("summary").click()
    person.wait_for_answer()
    expect(fold.locator(".reasoning__label")).to_have_text(re.compile(r"^Thought for [\d.]+ s$"))
    expect(fold.locator(".reasoning__meta")).to_have_text(re.compile(r"^\d+ tokens$"))
    expect(fold.locator(".reasoning__body strong")).to_have_text("9.90")
    assert person.answer == "9.9 is bigger."
    person.page.reload()
    expect(fold).to_have_attribute("open", "")


def test_a_tool_call_shows_what_went_in_and_what_came_out(person: Person, stack: Stack) -> None:
    stack.script(
        Reply(step=1, lines=("think: A sum.", 'call: calculate {"expression": "1234567 * 7654321"}')),
        Reply(step=2, lines=("text: It is 9449772114007.",)),
    )
    person.ask("What is 1234567 times 7654321?", long_thinking=True)
    person.wait_for_answer()
    call = person.last_turn.locator("details.call")
    expect(call.locator(".call__what")).to_have_text("Calculate1234567 * 7654321")
    call.locator("summary").click()
    expect(call.locator("[data-slot=result]")).to_contain_text("9449772114007")
    assert person.answer == "It is 9449772114007."


ROWS = """calls => calls.map(call => [
  call.querySelector(".call__what").textContent, call.querySelector(".call__what").className,
  call.querySelector("[data-slot=arguments]").textContent,
  call.querySelector(".call__result").textContent, call.querySelector("use").getAttribute("href")])"""


def test_a_call_reads_the_same_while_it_runs_and_when_it_is_stored(person: Person, stack: Stack) -> None:
    stack.script(
        Reply(
            step=1,
            lines=(
                'call: run_python {"code": "one = 1\\nprint(nothing)"}',
                'call: open_page {"source": "no such page", "part": 2}',
                'call: weather {"city": ["Oslo", "Vik"]}',
                "call: calculate [1]",
                'call: facts_query {"place": "Chad", "facts": ["Area", "Coast"]}',
            ),
        ),
        Reply(step=2, lines=("wait: 2", "text: Done.")),
    )
    person.ask("Try everything", long_thinking=True)
    calls = person.last_turn.locator("details.call")
    expect(calls).to_have_count(5)
    expect(person.last_turn.locator("details.call .moon")).to_have_count(0)
    live = calls.evaluate_all(ROWS)
    person.wait_for_answer()
    person.page.reload()
    expect(calls).to_have_count(5)
    assert calls.evaluate_all(ROWS) == live
    assert live[0][2] == "one = 1\nprint(nothing)"
    assert live[0][0] == "Run Pythonone = 1 print(nothing)"
    assert live[4][0] == "Look up factsChad · Area, Coast"


def test_a_picture_that_is_not_there_says_so(person: Person, stack: Stack, visitors: Visitors) -> None:
    stack.script("text: Look: ![A wave](files/wave.png)")
    person.ask("Draw")
    person.wait_for_answer()
    expect(person.last_turn.locator(".answer")).to_contain_text("A wave: this picture is not there")
    person.page.reload()
    expect(person.last_turn.locator(".answer")).to_contain_text("A wave: this picture is not there")
    visitors.complaints.clear()  # the browser tells its console what it did not find


def test_stop_keeps_what_was_written(person: Person, stack: Stack) -> None:
    stack.script(*LONG)
    person.ask("Count for me")
    person.wait_for_text("word3")
    person.send_button.click()
    person.wait_for_answer()
    expect(person.last_turn.locator(".notice__title")).to_have_text("Stopped")
    kept = person.answer
    assert "word3" in kept
    assert "word399" not in kept
    person.page.reload()
    assert person.answer == kept


def test_escape_stops_too(person: Person, stack: Stack) -> None:
    stack.script(*LONG)
    person.ask("Count for me")
    person.wait_for_text("word3")
    person.page.keyboard.press("Escape")
    expect(person.last_turn.locator(".notice__title")).to_have_text("Stopped")


def test_answering_again_makes_a_second_version_to_switch_between(person: Person, stack: Stack) -> None:
    stack.script("text: First.")
    person.ask("Say something")
    person.wait_for_answer()
    stack.script("text: Second.")
    person.last_turn.get_by_role("button", name="Answer again").click()
    person.wait_for_text("Second.")
    person.wait_for_answer()
    expect(person.turns).to_have_count(1)
    expect(person.last_turn.locator(".branch")).to_contain_text("2 / 2")
    person.last_turn.get_by_role("button", name="Previous version").click()
    person.wait_for_text("First.")
    expect(person.last_turn.locator(".branch")).to_contain_text("1 / 2")


def test_an_edited_question_starts_a_branch(person: Person, stack: Stack) -> None:
    stack.script(Reply(when="cats", lines=("text: About cats.",)), Reply(lines=("text: About dogs.",)))
    person.ask("Tell me about dogs")
    person.wait_for_answer()
    person.ask("And more")
    person.wait_for_answer()
    person.turns.first.get_by_role("button", name="Edit").click()
    person.page.locator(".edit textarea").fill("Tell me about cats")
    person.page.locator(".edit").get_by_role("button", name="Send").click()
    person.wait_for_text("About cats.")
    person.wait_for_answer()
    expect(person.turns).to_have_count(1)
    expect(person.last_turn.locator(".bubble")).to_have_text("Tell me about cats")
    person.last_turn.get_by_role("button", name="Previous version").click()
    expect(person.turns).to_have_count(2)


def test_a_chat_is_renamed_and_deleted(person: Person, stack: Stack) -> None:
    person.ask("Something to rename")
    person.wait_for_answer()
    person.page.locator(".sidebar__item").hover()
    person.page.get_by_role("button", name="Rename Something to rename").click()
    person.page.locator("dialog [name=title]").fill("A <b>new</b> name")
    person.page.locator("dialog").get_by_role("button", name="Rename").click()
    expect(person.page.locator("#title")).to_have_text("A <b>new</b> name")
    expect(person.page.locator(".sidebar__item .row__text")).to_have_text("A <b>new</b> name")
    person.page.get_by_role("button", name="More").click()
    person.page.get_by_role("menuitem", name="Delete").click()
    person.page.locator("dialog").get_by_role("button", name="Delete").click()
    person.page.wait_for_url("**/")
    expect(person.page.locator(".sidebar__none")).to_be_visible()


def test_a_reload_in_the_middle_loses_and_doubles_nothing(person: Person, stack: Stack) -> None:
    stack.script(*LONG)
    person.ask("Count for me")
    for word in ("word20", "word60"):
        person.wait_for_text(word)
        person.page.reload()
    person.wait_for_answer()
    assert person.answer == " ".join(f"word{number}" for number in range(400))


def test_a_second_tab_shows_the_same_stream(person: Person, stack: Stack) -> None:
    stack.script(*LONG)
    person.ask("Count for me")
    person.wait_for_text("word10")
    second = Person(person.page.context.new_page(), name=person.name)
    second.page.goto(person.page.url)
    second.wait_for_answer()
    assert second.answer == " ".join(f"word{number}" for number in range(400))
    # Behind another tab nothing is laid out, and what is not laid out reads empty.
    person.page.bring_to_front()
    person.wait_for_answer()
    person.wait_for_text("word399")
    assert person.answer == second.answer


def test_shift_enter_makes_a_line_and_the_question_keeps_it(person: Person) -> None:
    person.composer.fill("one")
    person.composer.press("Shift+Enter")
    person.composer.press_sequentially("two")
    person.composer.press("Enter")
    expect(person.last_turn.locator(".bubble")).to_have_text("one\ntwo", use_inner_text=True)


def test_the_limits_of_an_effort_can_be_set_before_sending(person: Person, stack: Stack) -> None:
    stack.script(
        Reply(step=1, lines=('call: calculate {"expression": "1 + 1"}',)),
        Reply(step=2, lines=("text: What I know.",)),
    )
    person.set_long_thinking(True)
    person.page.get_by_role("button", name="Effort: Auto").click()
    person.page.get_by_role("radio", name="Low").click()
    person.page.get_by_label("Steps").fill("1")
    person.page.get_by_label("Steps").press("Tab")
    person.page.keyboard.press("Escape")
    person.ask("Go on for ever")
    person.wait_for_answer()
    expect(person.last_turn.locator("details.call")).to_have_count(1)
    expect(person.last_turn.locator("[data-step]")).to_have_count(2)  # the answer comes on top
    expect(person.last_turn.locator(".notice__title")).to_contain_text("limit of 1 steps")


def test_scrolling_up_while_it_streams_leaves_the_reader_in_peace(visitors: Visitors, stack: Stack) -> None:
    person = visitors.person((1000, 500))
    stack.script("pace: 60", "text: " + "\n\n".join(f"Paragraph {number} of many." for number in range(80)))
    person.ask("Write a lot")
    person.wait_for_text("Paragraph 25")
    scroller = person.page.locator("#scroller")
    assert scroller.evaluate("e => e.scrollHeight - e.scrollTop - e.clientHeight") <= 64
    scroller.hover()
    person.page.mouse.wheel(0, -200)
    person.page.wait_for_timeout(200)
    before = scroller.evaluate("e => e.scrollTop")
    person.wait_for_text("Paragraph 45")
    assert abs(scroller.evaluate("e => e.scrollTop") - before) <= 1
    person.page.get_by_role("button", name="Jump to latest").click()
    assert scroller.evaluate("e => e.scrollHeight - e.scrollTop - e.clientHeight") <= 64


def test_answers_and_code_are_copied_as_they_were_written(person: Person, stack: Stack) -> None:
    person.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    stack.script("text: Use **this**:\n\n```sh\nls -l\n```")
    person.ask("How?")
    person.wait_for_answer()
    person.last_turn.get_by_role("button", name="Copy", exact=True).click()
    assert person.page.evaluate("navigator.clipboard.readText()") == "ls -l"
    person.last_turn.get_by_role("button", name="Copy the answer").click()
    assert person.page.evaluate("navigator.clipboard.readText()").startswith("Use **this**:\n\n```sh")


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_nothing_above_the_live_text_moves_from_first_word_to_last(
    visitors: Visitors, stack: Stack, size: tuple[int, int]
) -> None:
    person = visitors.person(size)
    person.ask("Hello")
    person.wait_for_answer()
    person.page.evaluate(
        "window.shifts = []; new PerformanceObserver((list) => list.getEntries().forEach((entry) =>"
        " entry.hadRecentInput || shifts.push(entry.value))).observe({type: 'layout-shift'})"
    )
    stack.script(
        "pace: 60",
        "think: Let me look.\n\nAnd again.",
        "text: One\n\n- two\n- three\n\n```py\nx = 1\n```\n\nEnd.",
    )
    person.ask("Say more", long_thinking=True)
    place = "document.querySelectorAll('.bubble')[1].getBoundingClientRect().top"
    top = f"{place} + document.getElementById('scroller').scrollTop"  # it follows the end, which is no move
    before = person.page.evaluate(top)
    person.wait_for_answer()
    assert abs(person.page.evaluate(top) - before) <= 1
    assert sum(person.page.evaluate("shifts")) < 0.01
