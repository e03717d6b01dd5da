"""What a person says to a turn under way, in a real browser: live, after a reload, on a second page."""

import re

import pytest
from playwright.sync_api import Locator, expect

from inference.backends.scripted import Reply
from tests.e2e.conftest import Visitors
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e

CONSENT = (
    Reply(step=1, lines=("think: I need it.", 'call: recall {"what": "the first figure"}')),
    Reply(step=2, lines=("text: Done with **it**.",)),
)
PLAN = (
    '{"lines": [{"text": "Find the study", "phase": "gather"}, {"text": "Recompute it", "phase": "verify"}]}'
)


def card(person: Person) -> Locator:
    return person.last_turn.locator(".wait")


def ask_for_consent(person: Person, stack: Stack) -> None:
    stack.script(*CONSENT)
    person.ask("Look it up", long_thinking=True)
    expect(card(person)).to_contain_text("Let it look back at an earlier result?")
    expect(card(person).locator(".wait__arguments")).to_contain_text('"what": "the first figure"')


def test_a_call_is_approved_live_and_the_answer_follows(person: Person, stack: Stack) -> None:
    ask_for_consent(person, stack)
    assert person.page.title().startswith("Waiting for you")
    expect(person.page.locator(".sidebar__item .dot")).to_be_visible()
    card(person).get_by_role("button", name="Let it run").click()
    person.wait_for_answer()
    assert person.answer == "Done with it."
    expect(card(person)).to_have_count(0)
    expect(person.page.locator(".sidebar__item .dot")).to_have_count(0)
    assert "Waiting" not in person.page.title()


def test_a_call_is_refused_after_a_reload_and_the_first_page_follows(person: Person, stack: Stack) -> None:
    ask_for_consent(person, stack)
    second = Person(person.page.context.new_page(), name=person.name)
    second.page.goto(person.page.url)
    expect(card(second)).to_contain_text("Let it look back at an earlier result?")
    card(second).get_by_role("button", name="Refuse and go on").click()
    second.wait_for_answer()
    person.wait_for_answer()
    expect(card(person)).to_have_count(0)
    for page in (person, second):
        call = page.last_turn.locator("details.call")
        expect(call).to_have_class(re.compile("call--error"))
    second.page.reload()
    second.last_turn.locator("details.call summary").click()
    expect(second.last_turn.locator(".call__said")).to_have_text("You refused it.")


def test_changed_arguments_are_what_is_run(visitors: Visitors, person: Person, stack: Stack) -> None:
    ask_for_consent(person, stack)
    card(person).locator(".wait__edit summary").click()
    card(person).locator("[name=edited]").fill("no json")
    card(person).get_by_role("button", name="Run it with these").click()
    expect(card(person).get_by_role("alert")).to_contain_text("not a JSON object")
    visitors.complaints[:] = [text for text in visitors.complaints if "422" not in text]
    person.page.locator(".wait__edit summary").click()
    card(person).locator("[name=edited]").fill('{"what": "another figure"}')
    card(person).get_by_role("button", name="Run it with these").click()
    person.wait_for_answer()
    person.page.reload()
    person.last_turn.locator("details.call summary").click()
    expect(person.last_turn.locator(".call__said")).to_contain_text("You changed the arguments")


def test_a_question_is_answered_by_keyboard(person: Person, stack: Stack) -> None:
    stack.script(
        Reply(step=1, lines=('call: ask_user {"question": "Which year?", "choices": ["2015", "2022"]}',)),
        Reply(step=2, lines=("text: Thanks.",)),
    )
    person.ask("Find the figure", long_thinking=True)
    expect(card(person)).to_contain_text("Which year?")
    person.page.get_by_role("radio", name="2015").focus()
    person.page.keyboard.press("ArrowDown")
    person.page.keyboard.press("Enter")
    person.wait_for_answer()
    expect(person.last_turn.locator("details.call [data-slot=result]")).to_have_text("2022")


def test_a_plan_is_approved_as_changed_and_shown_while_it_is_worked_on(person: Person, stack: Stack) -> None:
    stack.script(
        Reply(step=1, lines=(f"call: plan {PLAN}",)),
        Reply(step=2, lines=("pace: 4", "text: " + " ".join(f"word{number}" for number in range(40)))),
    )
    person.set_long_thinking(True)
    person.page.get_by_role("button", name="Effort:").click()
    person.page.get_by_label("Show me the plan before work begins").check()
    person.page.keyboard.press("Escape")
    person.ask("Work it out")
    expect(card(person).locator("[name=plan]")).to_have_value(
        "# gather\n[ ] Find the study\n\n# verify\n[ ] Recompute it"
    )
    card(person).locator("[name=plan]").fill("# gather\n[ ] Ask the authors\n[ ] Recompute it")
    card(person).get_by_role("button", name="Work like this").click()
    plan = person.last_turn.locator(".plan")
    expect(plan).to_contain_text("0 of 2 done")
    plan.locator("summary").first.click()
    expect(plan.locator(".plan__item").first).to_contain_text("Ask the authors")
    plan.locator(".plan__edit summary").click()
    plan.locator("[name=plan]").fill("[x] Ask the authors\n[ ] Recompute it")
    plan.get_by_role("button", name="Save the plan").click()
    expect(plan).to_contain_text("1 of 2 done")
    person.page.locator("#send").click()
    person.wait_for_answer()


def test_a_turn_that_a_limit_ended_goes_on(person: Person, stack: Stack) -> None:
    stack.script(
        Reply(when="Go on", step=1, lines=("text: And here is the rest.",)),
        Reply(step=1, lines=('call: calculate {"expression": "1 + 1"}',)),
        Reply(step=2, lines=("text: So far: two.",)),
    )
    person.set_long_thinking(True)
    person.page.get_by_role("button", name="Effort:").click()
    person.page.get_by_label("Steps").first.fill("1")
    person.page.get_by_label("Steps").first.press("Tab")
    person.page.keyboard.press("Escape")
    person.ask("Count")
    person.wait_for_answer()
    expect(person.last_turn.locator(".notice__title")).to_contain_text("limit of 1 steps")
    person.last_turn.get_by_role("button", name="Continue with 50 more steps").click()
    expect(person.turns).to_have_count(2)
    person.wait_for_answer()
    assert person.answer == "And here is the rest."


def test_eight_paths_stand_side_by_side_and_can_be_opened(person: Person, stack: Stack) -> None:
    stack.script("pace: 30", "think: Let me see what comes of it.", "text: The answer is **42**.")
    person.set_long_thinking(True)
    person.page.get_by_role("button", name="Effort:").click()
    person.page.get_by_role("radio", name="Heavy").click()
    person.page.keyboard.press("Escape")
    person.ask("What is six times seven?")
    turn = person.page.locator("#thread > .turn").last
    lanes = turn.locator(".lane")
    expect(lanes).to_have_count(8, timeout=30_000)
    lanes.nth(1).locator("> summary").click()
    expect(lanes.nth(1).locator(".bubble")).to_contain_text("What is six times seven?")
    expect(turn.locator("> .reply > .foot")).to_be_visible(timeout=60_000)
    expect(lanes.nth(1).locator(".bubble")).to_be_visible()  # opened, and left open
    assert lanes.locator(".bubble:visible").count() == 1
    person.page.reload()
    expect(turn.locator(".ballot--win")).to_contain_text("of 8 agree")
    voter = turn.locator(".lane--win").last
    voter.locator("> summary").click()
    expect(voter.locator(".answer")).to_contain_text("The answer is 42.")


def test_a_decision_needs_no_script(visitors: Visitors, stack: Stack) -> None:
    person = visitors.person()
    ask_for_consent(person, stack)
    state = person.page.context.storage_state()
    plain = visitors.browser.new_context(
        base_url=stack.url,
        java_script_enabled=False,
        storage_state=state,
        viewport={"width": 390, "height": 844},
    )
    page = plain.new_page()
    page.goto(person.page.url)
    page.get_by_role("button", name="Let it run").click()
    person.wait_for_answer()
    page.reload()
    expect(page.locator(".answer")).to_have_text("Done with it.")
    plain.close()
