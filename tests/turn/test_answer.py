"""Whole turns that go well: from a frame sent to the rows seen."""

import hashlib

import pytest

from chat import history
from chat.models import Conversation, Message, Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from webapp.accounts.models import User
from webapp.billing.models import Hold, UsageRecord

pytestmark = pytest.mark.django_db(transaction=True)

TOOL_TURN = (
    Reply(step=1, lines=("think: a sum", 'call: calculate {"expression": "9.11 > 9.9"}')),
    Reply(step=2, lines=("think: so", "text: 9.9 is bigger.")),
)


def test_reasoning_and_answer_are_separate_frames(alice_tab: Tab, script: WriteScript) -> None:
    script("think: two and two", "text: 4")
    frames = alice_tab.ask("What is 2 + 2?", long_thinking=True)
    assert frames.text_of("reasoning.delta") == "two and two"
    assert frames.text_of("content.delta") == "4"
    assert frames.kinds[:2] == ["turn.started", "step.started"]
    assert frames.kinds[-1] == "turn.finished"
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))


def test_without_long_thinking_the_model_answers_directly(alice_tab: Tab, script: WriteScript) -> None:
    script("think: never asked for", "text: Paris")
    frames = alice_tab.ask("What is the capital of France?")
    assert frames.kinds == ["turn.started", "step.started", "content.delta", "turn.finished"]
    turn = Turn.objects.get()
    assert (turn.max_steps, turn.max_reasoning_tokens) == (1, 0)


def test_the_last_frame_proves_that_the_page_has_the_whole_answer(
    alice_tab: Tab, script: WriteScript
) -> None:
    script(*TOOL_TURN)
    frames = alice_tab.ask("Which is bigger?", long_thinking=True)
    shown = frames.text_of("content.delta")
    assert frames[-1]["text_sha256"] == hashlib.sha256(shown.encode()).hexdigest()
    assert history.turn_view(Turn.objects.get()).answer == shown


def test_a_tool_call_runs_the_calculator_and_the_model_goes_on(alice_tab: Tab, script: WriteScript) -> None:
    script(*TOOL_TURN)
    frames = alice_tab.ask("Which is bigger, 9.11 or 9.9?", long_thinking=True)
    [started], [finished] = frames.of("tool_call.started"), frames.of("tool_call.finished")
    assert (started["id"], started["name"]) == ("functions.calculate:0", "calculate")
    assert started["arguments"] == '{"expression": "9.11 > 9.9"}'
    assert (finished["result"], finished["is_error"]) == ("9.9 is bigger than 9.11", False)
    assert frames.text_of("content.delta") == "9.9 is bigger."
    assert [frame["step"] for frame in frames.of("step.started")] == [1, 2]


def test_a_finished_turn_is_stored_as_it_was_shown(alice_tab: Tab, script: WriteScript) -> None:
    script(*TOOL_TURN)
    alice_tab.ask("Which is bigger?", long_thinking=True)
    view = history.turn_view(Turn.objects.get())
    first, second = view.steps
    assert (view.user_text, view.status, view.finish_reason) == ("Which is bigger?", "finished", "stop")
    assert (first.reasoning, first.tool_calls[0].result) == ("a sum", "9.9 is bigger than 9.11")
    assert (second.reasoning, second.content) == ("so", "9.9 is bigger.")
    assert second.content_html.strip() == "<p>9.9 is bigger.</p>"


def test_a_bad_tool_call_is_shown_as_an_error_and_the_turn_goes_on(
    alice_tab: Tab, script: WriteScript
) -> None:
    script(Reply(step=1, lines=("call: rm_rf {}",)), Reply(step=2, lines=("text: Sorry.",)))
    frames = alice_tab.ask("Do it.", long_thinking=True)
    [finished] = frames.of("tool_call.finished")
    assert finished["is_error"]
    assert frames.text_of("content.delta") == "Sorry."


def test_a_long_turn_goes_on_over_several_segments(alice_tab: Tab, script: WriteScript) -> None:
    calls = tuple(
        Reply(step=step, lines=(f'call: calculate {{"expression": "{step} * 2"}}',)) for step in range(1, 61)
    )
    script(*calls, Reply(lines=("text: done",)))
    frames = alice_tab.ask("Count.", long_thinking=True, effort="high")
    assert [frame["result"] for frame in frames.of("tool_call.finished")] == [
        str(2 * n) for n in range(1, 61)
    ]
    assert Turn.objects.get().fence == 3  # segments of 25 steps
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))


def test_the_step_limit_a_person_set_ends_the_turn_cleanly(alice_tab: Tab, script: WriteScript) -> None:
    script('call: calculate {"expression": "1"}')
    frames = alice_tab.ask("Loop.", long_thinking=True, limits={"max_steps": 3})
    assert len(frames.of("step.started")) == 3 + 1  # and the answer that the limit forces
    assert frames[-1]["finish_reason"] == "length"
    assert "3 steps" in frames[-1]["error"]


def test_a_turn_is_counted_once_and_its_hold_is_settled(
    alice_tab: Tab, script: WriteScript, alice: User
) -> None:
    script(*TOOL_TURN)
    alice_tab.ask("one two three", long_thinking=True)
    record = UsageRecord.objects.get()
    assert (record.user, record.source, record.num_steps) == (alice, "chat", 2)
    assert record.reference == str(Turn.objects.get().id)
    assert (record.output_tokens, record.reasoning_tokens) == (10, 3)
    assert Hold.objects.get().status == Hold.Status.SETTLED


def test_a_fault_of_the_model_ends_the_turn_in_words_and_releases_the_hold(
    alice_tab: Tab, script: WriteScript
) -> None:
    script("error: rejected The prompt is too long for this model. Shorten it.")
    frames = alice_tab.ask("Hello")
    assert (frames[-1]["finish_reason"], frames[-1]["error"]) == (
        "error",
        "The prompt is too long for this model. Shorten it.",
    )
    assert Hold.objects.get().status == Hold.Status.RELEASED
    assert not UsageRecord.objects.exists()


def test_a_second_turn_hangs_on_the_first_and_tells_the_model_of_it(
    alice_tab: Tab, script: WriteScript
) -> None:
    script("think: private", "text: Paris")
    first = alice_tab.ask("Capital of France?", long_thinking=True)
    conversation = str(Conversation.objects.get().id)
    alice_tab.ask("And of Spain?", conversation=conversation)
    second = Turn.objects.exclude(id=first[0]["turn"]).get()
    told = history.request_messages(second, text="And of Spain?")
    assert [(message.role.value, message.content, message.reasoning) for message in told] == [
        ("user", "Capital of France?", ""),
        ("assistant", "Paris", ""),
        ("user", "And of Spain?", ""),
    ]


def test_the_first_words_name_the_conversation(alice_tab: Tab, script: WriteScript) -> None:
    script("text: yes")
    alice_tab.ask("Tell me\n\nabout " + "very " * 30 + "long things")
    title = Conversation.objects.get().title
    assert title.startswith("Tell me about very")
    assert title.endswith("very…")
    assert len(title) <= 60


def test_regenerating_answers_the_same_message_in_a_sibling(alice_tab: Tab, script: WriteScript) -> None:
    script("text: first")
    first = alice_tab.ask("Say something.", long_thinking=True, effort="low")[0]["turn"]
    script("text: second")
    alice_tab.send("turn.regenerate", turn=first, client_id="00000000-0000-4000-8000-000000000001")
    accepted = alice_tab.wait_for("turn.accepted", where=lambda frame: frame["turn"] != first)
    alice_tab.send("turn.attach", turn=accepted["turn"])
    alice_tab.wait_for("turn.finished", where=lambda frame: frame["turn"] == accepted["turn"])
    [view] = history.branch(Conversation.objects.get())
    assert (view.user_text, view.answer, view.index, len(view.siblings)) == ("Say something.", "second", 1, 2)
    assert view.turn.effort == "low"


def test_an_edited_message_makes_a_branch_beside_the_old_one(alice_tab: Tab, script: WriteScript) -> None:
    script("text: yes")
    alice_tab.ask("one")
    conversation = str(Conversation.objects.get().id)
    alice_tab.ask("one, edited", conversation=conversation, is_branch=True, parent=None)
    alice_tab.ask("two", conversation=conversation)
    assert [view.user_text for view in history.branch(Conversation.objects.get())] == ["one, edited", "two"]


def test_sending_the_same_message_twice_starts_one_turn(alice_tab: Tab, script: WriteScript) -> None:
    script("text: once")
    client_id = "00000000-0000-4000-8000-000000000002"
    first = alice_tab.start("Hello", client_id=client_id)
    again = alice_tab.start("Hello", client_id=client_id)
    alice_tab.wait_for("turn.finished")
    assert first == again
    assert Conversation.objects.count() == Turn.objects.count() == 1
    assert Message.objects.filter(role="user").count() == 1


def test_text_that_no_database_holds_is_cleaned_before_it_shows(alice_tab: Tab, script: WriteScript) -> None:
    script("text: a\x00b", 'call: no\x00tool {"x": "\x00"}', "finish: stop")
    frames = alice_tab.ask("Hello", long_thinking=True, limits={"max_steps": 1})
    assert frames.text_of("content.delta") == history.turn_view(Turn.objects.get()).answer == "ab" * 2
    assert frames[-1]["finish_reason"] == "length"


def test_every_limit_that_a_person_sets_is_the_turns(alice_tab: Tab, script: WriteScript) -> None:
    script("text: done")
    wanted = {
        "max_total_tokens": 90_000,
        "max_sandbox_seconds": 30,
        "max_fetched_bytes": 5_000,
        "max_calls_per_tool": {"calculate": 3},
    }
    alice_tab.ask("Go.", long_thinking=True, limits={"published": "exam"} | wanted)
    turn = Turn.objects.get()
    assert {name: getattr(turn, name) for name in wanted} == wanted
    assert turn.max_steps == 120
