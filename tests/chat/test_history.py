"""What is stored of a turn, as the page, the model and a late reader get it."""

from django.utils import translation

from agents.happenings import NoteAdded
from chat import frames, history
from chat.models import Turn
from inference.backends.scripted import Reply
from inference.schema import Role, Usage
from tests.chat.conftest import Ask
from tests.conftest import WriteScript

TOOL_TURN = (
    Reply(step=1, lines=("think: a sum", "text: Well: ", 'call: calculate {"expression": "6 * 7"}')),
    Reply(step=2, lines=("think: so", "text: it is 42.")),
)


def test_a_view_holds_every_step_with_its_reasoning_content_and_calls(ask: Ask, script: WriteScript) -> None:
    script(*TOOL_TURN)
    view = history.turn_view(ask("What is it?", long_thinking=True))
    first, second = view.steps
    [call] = first.tool_calls
    assert (first.number, first.reasoning, first.num_tokens, first.content) == (1, "a sum", 2, "Well: ")
    assert (call.name, call.arguments, call.result, call.is_error) == (
        "calculate",
        '{"expression": "6 * 7"}',
        "42",
        False,
    )
    assert (second.content, view.answer) == ("it is 42.", "Well: it is 42.")
    assert view.usage.reasoning_tokens == 3
    assert view.cost == 0


def test_the_stored_events_show_what_the_stream_showed(ask: Ask, script: WriteScript) -> None:
    script(*TOOL_TURN)
    turn = Turn.objects.prefetch_related("messages__parts").get(id=ask("What is it?", long_thinking=True).id)
    shown = history.stored_events(turn)
    assert [type(event) for event in shown] == [
        frames.TurnStarted,
        frames.StepStarted,
        frames.ReasoningPiece,
        frames.ReasoningFinished,
        frames.ContentPiece,
        frames.ToolCallStarted,
        frames.ToolCallFinished,
        frames.StepStarted,
        frames.ReasoningPiece,
        frames.ReasoningFinished,
        frames.ContentPiece,
        NoteAdded,  # the answer was checked
        frames.TurnFinished,
    ]


def test_the_model_is_told_of_earlier_calls_but_not_of_earlier_reasoning(
    ask: Ask, script: WriteScript
) -> None:
    script(*TOOL_TURN)
    first = ask("What is it?", long_thinking=True)
    first.model.system_prompt = "You are helpful."
    first.model.save()
    script("text: yes")
    second = ask("Sure?", conversation=first.conversation)
    messages = history.request_messages(second, text="Sure?")
    assert [message.role for message in messages] == [
        Role.SYSTEM,
        Role.USER,
        Role.ASSISTANT,
        Role.TOOL,
        Role.ASSISTANT,
        Role.USER,
    ]
    assert not any(message.reasoning for message in messages)
    assert (messages[2].tool_calls[0].id, messages[3].tool_call_id) == ("functions.calculate:0",) * 2


def test_call_ids_are_unique_over_the_conversation(ask: Ask, script: WriteScript) -> None:
    script(*TOOL_TURN)
    first = ask("One.", long_thinking=True)
    second = ask("Two.", conversation=first.conversation, long_thinking=True)
    ids = [history.turn_view(turn).steps[0].tool_calls[0].id for turn in (first, second)]
    assert ids == ["functions.calculate:0", "functions.calculate:1"]


def test_a_call_that_never_had_a_result_is_told_as_stopped(ask: Ask, script: WriteScript) -> None:
    script(*TOOL_TURN)
    turn = ask("What is it?", long_thinking=True)
    turn.messages.filter(role="tool").delete()
    with translation.override("en"):
        [call] = history.turn_view(turn).steps[0].tool_calls
    assert call.is_error
    assert call.result == "Stopped before it had a result."
    messages = history.step_messages(history.steps_of(turn), with_reasoning=False)
    assert [message.role for message in messages] == [Role.ASSISTANT, Role.TOOL, Role.ASSISTANT]


def test_usage_is_the_sum_of_the_stored_replies(ask: Ask, script: WriteScript) -> None:
    script("cached: 1", "text: one two")
    turn = ask("three words here")
    assert history.stored_usage(turn) == Usage(
        input_uncached_tokens=2, input_cached_tokens=1, output_tokens=2
    )
