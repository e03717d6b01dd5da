"""What the model reads of a turn."""

import time

from agents import context
from agents.transcript import Note, NoteKind, Transcript
from inference.schema import ChatMessage, Role
from tests.agents.transcripts import Story


def roles(messages: tuple[ChatMessage, ...]) -> str:
    """One letter a message."""
    return "".join(message.role[0] for message in messages)


def text_of(messages: tuple[ChatMessage, ...]) -> str:
    return "\n".join(f"{message.reasoning}\n{message.content}" for message in messages)


def assert_paired(messages: tuple[ChatMessage, ...]) -> None:
    """Each reply is followed by one result for each of its calls, in order, and no other."""
    asked: list[str] = []
    for message in messages:
        if message.role is Role.TOOL:
            assert asked, "a result of no call"
            assert message.tool_call_id == asked.pop(0)
        else:
            assert not asked, "a call without a result"
            asked = [call.id for call in message.tool_calls]
    assert not asked, "a call without a result"


def test_steps_keep_their_reasoning_calls_and_results():
    story = Story()
    story.step("It is long.", "It is old.", reasoning="Let me look.")
    reply, first, second = context.view(story.transcript)[2:]
    assert reply.reasoning == "Let me look."
    assert [call.id for call in reply.tool_calls] == ["functions.search:0", "functions.search:1"]
    assert (first.content, first.tool_call_id, first.name) == (
        "It is long.",
        "functions.search:0",
        "search",
    )
    assert second.content == "It is old."


def test_no_error_of_a_tool_reads_like_what_it_was_to_find_out():
    story = Story()
    story.fails("search {}")
    story.step("It failed.")
    assert [m.content for m in context.view(story.transcript) if m.role is Role.TOOL] == [
        "Error: It failed.",
        "It failed.",
    ]


def test_what_the_platform_says_is_a_user_message_and_silent_notes_are_none():
    story = Story()
    story.step("a")
    story.note(NoteKind.BUDGET, "Little is left.", limit="steps", share=0.8)
    story.note(NoteKind.PLAN)
    assert context.view(story.transcript)[-1] == ChatMessage(
        role=Role.USER, content="[Platform] Little is left."
    )
    assert roles(context.view(story.transcript)) == "suatu"


def test_an_answer_that_was_sent_back_stays_before_the_word_on_it():
    story = Story()
    story.step()
    story.note(NoteKind.CHECK, "The second sentence has no support.", must_revise=True)
    assert [message.content for message in context.view(story.transcript)[2:]] == [
        "Done.",
        "[Platform] The second sentence has no support.",
    ]


def test_a_call_without_a_result_is_answered_as_interrupted_until_it_has_one():
    story = Story()
    step = story.step("a", None)
    assert_paired(context.view(story.transcript))
    assert "interrupted" in context.view(story.transcript)[-1].content
    step.calls[1].result = step.calls[0].result
    assert context.view(story.transcript)[-1].content == "a"
    step.calls[1].result = None
    story.step("b")
    assert_paired(context.view(story.transcript))


def test_a_reply_that_only_thought_is_not_shown():
    story = Story()
    step = story.step(reasoning="Hm.")
    step.content = ""
    assert roles(context.view(story.transcript)) == "su"


def test_after_a_rollback_the_view_is_that_of_the_step_and_the_lesson():
    story = Story()
    for _ in range(39):
        story.step("right")
    before = context.view(story.transcript)
    for _ in range(6):
        story.step("wrong")
        story.note(NoteKind.BUDGET, "Little is left.")
    story.note(NoteKind.ROLLBACK, "The figure of step 40 was of another river.", to_step=39)
    after = context.view(story.transcript)
    assert after[:-1] == before
    assert after[-1].content == "[Platform] The figure of step 40 was of another river."
    story.step("right again")
    assert context.view(story.transcript)[: len(after)] == after


def test_two_rollbacks_to_one_step_leave_both_lessons():
    story = Story()
    story.step("right")
    for lesson in ("Not by boat.", "Not by car."):
        story.step("wrong")
        story.note(NoteKind.ROLLBACK, lesson, to_step=1)
    assert [message.content for message in context.view(story.transcript)[-2:]] == [
        "[Platform] Not by boat.",
        "[Platform] Not by car.",
    ]


def test_a_handoff_stands_for_the_steps_before_it():
    story = Story()
    for number in range(1, 7):
        story.step(f"result {number}", reasoning=f"thought {number}")
    story.note(NoteKind.BUDGET, "Little is left.")
    story.note(NoteKind.HANDOFF, "I have seen four results.", through_step=4)
    messages = context.view(story.transcript)
    assert roles(messages) == "suuatatu"
    assert messages[2].content == "[Platform] I have seen four results."
    assert "thought 4" not in text_of(messages)
    assert "thought 5" in text_of(messages)
    assert messages[-1].content == "[Platform] Little is left."


def test_what_was_said_right_before_a_handoff_of_every_step_is_still_read():
    story = Story()
    story.step("result")
    story.note(NoteKind.CHECK, "Revise the second sentence.", must_revise=True)
    story.note(NoteKind.HANDOFF, "I answered.", through_step=1)
    assert [message.content for message in context.view(story.transcript)[2:]] == [
        "[Platform] I answered.",
        "[Platform] Revise the second sentence.",
    ]


def test_a_rollback_to_before_a_handoff_shows_the_steps_again():
    story = Story()
    story.step("right")
    before = context.view(story.transcript)
    story.step("wrong")
    story.note(NoteKind.HANDOFF, "I believe what is wrong.", through_step=2)
    story.step("wrong too")
    story.note(NoteKind.ROLLBACK, "It was wrong.", to_step=1)
    assert context.view(story.transcript)[:-1] == before


def test_hidden_results_are_one_line_that_says_how_to_have_them_back():
    story = Story()
    story.step("The Amazon is 6,400 km long. " * 200, "short", reasoning="Let me look.")
    story.step("kept " * 200)
    story.note(NoteKind.HIDDEN, through_step=1)
    reply, hidden, short, *rest = context.view(story.transcript)[2:]
    assert reply.reasoning == "Let me look."
    assert hidden.content.startswith(
        '[hidden; recall("functions.search:0") brings it back] search(query="part'
    )
    assert "5800 characters: The Amazon is 6,400 km long." in hidden.content
    assert "\n" not in hidden.content
    assert len(hidden.content) < 400
    assert short.content == "short", "what is shorter than its line stays"
    assert rest[1].content == "kept " * 200


def test_what_is_hidden_stays_hidden_after_a_rollback():
    story = Story()
    story.step("long " * 300)
    story.step("long " * 300)
    story.note(NoteKind.HIDDEN, through_step=1)
    before = context.view(story.transcript)
    story.step("wrong")
    story.note(NoteKind.HIDDEN, through_step=2)
    story.note(NoteKind.ROLLBACK, "It was wrong.", to_step=2)
    after = context.view(story.transcript)
    assert after[:4] == before[:4]
    assert after[5].content.startswith("[hidden")


def test_another_worker_sends_the_same_to_the_byte():
    story = Story()
    for number in range(60):
        story.step(f"result {number} " * (number % 7 * 40), *(["b"] if number % 3 else []))
        if number % 10 == 7:
            story.note(NoteKind.HIDDEN, through_step=number - 3)
        if number % 20 == 11:
            story.note(NoteKind.HANDOFF, f"So far {number}.", through_step=number - 1)
        if number % 16 == 13:
            story.note(NoteKind.ROLLBACK, "No.", to_step=number - 5)
        messages = context.view(story.transcript)
        assert messages == context.view(story.copy())
        assert_paired(messages)


def test_a_note_that_is_heard_late_stands_where_the_rows_have_it():
    story = Story()
    story.step("a")
    late = Note(step=1, kind=NoteKind.PLAN, text="The plan was changed.")
    story.step("b")
    story.note(NoteKind.BUDGET, "Little is left.")
    context.view(story.transcript)
    story.transcript.notes.append(late)
    rows = story.copy()
    rows.notes = [late, story.transcript.notes[0]]
    assert context.view(story.transcript) == context.view(rows)
    assert roles(context.view(story.transcript)) == "suatuatu"


def test_following_a_turn_of_a_thousand_steps_costs_no_more_at_its_end():
    story = Story()
    spent = []
    for _ in range(1_000):
        story.step("a result " * 50)
        began = time.process_time()
        context.view(story.transcript)
        spent.append(time.process_time() - began)
    began = time.process_time()
    whole = context.view(story.copy())
    assert sum(spent) < 100 * (time.process_time() - began), "each step is rendered once"
    assert len(whole) == 2 + 2 * 1_000


def test_a_transcript_is_compared_without_what_was_made_of_it():
    story = Story()
    story.step("a")
    copy: Transcript = story.copy()
    context.view(story.transcript)
    assert story.transcript == copy
