"""What the model is told before the first step of a turn."""

from collections.abc import Iterator

from agents import context
from agents.transcript import Note, NoteKind, Step, Transcript
from chat import documents, history, transcripts
from chat.models import Turn
from inference.schema import ChatMessage, Role


def messages(turn: Turn, *, text: str) -> list[ChatMessage]:
    """The system prompt, the earlier turns of the branch, then what this turn asks.

    A turn that goes on with another reads that one as its own beginning: its steps with their reasoning and
    results, as far as they were in its view, but not the answer that a limit forced out of it.
    """
    if turn.continues is None:
        return history.request_messages(turn, text=text)
    earlier = turn.continues
    opening = messages(earlier, text=documents.question(earlier, history.user_text(earlier)))
    transcript = _without_last_word(transcripts.read(earlier, opening=opening))
    return [*context.view(transcript), ChatMessage(role=Role.USER, content=text)]


def _without_last_word(transcript: Transcript) -> Transcript:
    steps = list(transcript.steps)
    if steps and not _is_whole(steps[-1]):
        steps.pop()
    last = steps[-1].number if steps else 0
    return Transcript(
        opening=transcript.opening, steps=steps, notes=list(_that_stay(transcript.notes, last=last))
    )


def _is_whole(step: Step) -> bool:
    """Whether the turn would have gone on after this step."""
    return bool(step.calls) and all(record.result is not None for record in step.calls)


def _that_stay(notes: list[Note], *, last: int) -> Iterator[Note]:
    """The notes about these steps, save what said that the turn must end."""
    for note in notes:
        is_end = note.kind is NoteKind.BUDGET or note.data.get("level") == "stop"
        if note.step <= last and not is_end:
            yield note
