"""The guard against going round in circles."""

import pytest

from agents.limits import Limit
from agents.steps import guard
from agents.steps.loop import Outcome
from agents.tool import Fault
from agents.transcript import Note, NoteKind
from tests.agents.stage import Stage
from tests.agents.transcripts import Story


def advised(story: Story) -> Note | None:
    """What the guard says after the story's last step; it is kept, as the loop keeps it."""
    note = guard.advice(story.transcript)
    if note is not None:
        story.transcript.notes.append(note)
    return note


def levels(story: Story, times: int, **step: str) -> dict[int, str]:
    """The same step over and over: at which time the guard says what."""
    said = {}
    for time in range(1, times + 1):
        story.step("nothing new", **step)
        if (note := advised(story)) is not None:
            said[time] = note.data["level"]
    return said


def test_the_ladder_advises_demands_a_check_forbids_tools_and_stops():
    story = Story()
    said = levels(story, 13, call='search {"query": "river"}')
    assert said == {3: "advise", 5: "check", 8: "text_only", 12: "stop", 13: "stop"}
    note = story.transcript.notes[0]
    assert note.kind is NoteKind.GUARD
    assert note.data == {"level": "advise", "tool": "search", "times": 3}
    assert "search with the same arguments 3 times" in note.text


def test_the_order_and_the_spaces_of_arguments_make_no_new_call():
    story = Story()
    for call in ('f {"a": 1, "b": [2]}', 'f {"b":[2],"a":1}', 'f { "b": [2], "a": 1 }'):
        story.step("same", call=call)
    assert advised(story)


@pytest.mark.parametrize("garbled", ['f {"a": ', "f [" + "[" * 5_000, "f \ud800"])
def test_arguments_that_are_no_json_are_compared_as_they_stand(garbled):
    story = Story()
    said = levels(story, 3, call=garbled)
    assert said == {3: "advise"}


def test_different_calls_are_never_held_against_the_model():
    story = Story()
    for number in range(200):
        story.step("the same result", call=f'search {{"query": "{number}"}}')
        assert advised(story) is None


def test_the_same_command_after_other_work_is_no_circle_while_its_result_changes():
    story = Story()
    for number in range(20):
        story.step("written", call=f'edit {{"line": {number}}}')
        assert advised(story) is None
        story.step(f"{number} tests failed", call='shell {"command": "make test"}')
        assert advised(story) is None


def test_asking_again_right_away_counts_whatever_comes():
    story = Story()
    for number in range(3):
        story.step(f"{number} %", call='status {"job": 1}')
    assert advised(story)


def test_calls_that_take_turns_are_a_circle_though_their_results_differ():
    story, said = Story(), {}
    for number in range(24):
        story.step(f"state {number}", call=f'look {{"at": "{"ab"[number % 2]}"}}')
        if (note := advised(story)) is not None:
            said[number + 1] = (note.data["level"], note.data["times"])
    assert said == {6: ("advise", 3), 10: ("check", 5), 16: ("text_only", 8), 24: ("stop", 12)}


def test_each_third_failure_of_the_same_kind_takes_a_rung():
    story, said = Story(), {}
    for number in range(1, 13):
        story.fails(f'open {{"page": {number}}}', Fault.TIMEOUT)
        if (note := advised(story)) is not None:
            said[number] = note.data["level"]
    assert said == {3: "advise", 6: "check", 9: "text_only", 12: "stop"}


def test_a_success_or_another_kind_of_failure_begins_the_count_anew():
    story = Story()
    for number in range(6):
        story.fails(f'open {{"page": {number}}}', Fault.TIMEOUT if number % 3 else Fault.FAILED)
        assert advised(story) is None
        if number == 2:
            story.step("a page", call='open {"page": "home"}')


def test_a_rollback_begins_anew():
    story = Story()
    levels(story, 4, call='search {"query": "river"}')
    story.note(NoteKind.ROLLBACK, "Search elsewhere.", to_step=0)
    assert levels(story, 3, call='search {"query": "river"}') == {3: "advise"}


def test_advice_is_given_once_and_alike_by_another_worker():
    story = Story()
    for _ in range(3):
        story.step("same", call="f {}")
    first = guard.advice(story.transcript)
    assert first == guard.advice(story.copy())
    assert advised(story) == first
    assert guard.advice(story.transcript) is None
    assert guard.advice(story.copy()) is None


def test_calls_of_one_step_count_one_by_one_and_wait_for_their_results():
    story = Story()
    step = story.step("same", "same", None, call="f {}")
    assert guard.advice(story.transcript) is None
    step.calls[2].result = step.calls[0].result
    note = guard.advice(story.transcript)
    assert note is not None
    assert note.data["times"] == 3


def test_nothing_is_said_of_an_empty_turn():
    assert guard.advice(Story().transcript) is None


async def test_a_model_that_only_repeats_itself_is_warned_silenced_and_made_to_answer():
    stage = Stage('call: calculate {"expression": "1 + 1"}', guard=guard.advice)
    outcome = await stage.drive()
    assert isinstance(outcome, Outcome)
    assert outcome.limit is Limit.REPEATS
    said = [note.data["level"] for note in stage.kept.notes if note.kind is NoteKind.GUARD]
    assert said == ["advise", "check", "text_only", "stop"]
    choices = [request.tool_choice for request in stage.kept.requests]
    assert choices[8] == "none", "the step after the eighth repeat"
    assert choices[-1] == "none"
