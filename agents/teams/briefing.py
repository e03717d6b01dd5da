"""What agents are told: the question, what went before it, and how to end. Pure."""

from collections.abc import Sequence

from agents.teams import evidence
from agents.teams.crew import AgentState
from inference.schema import ChatMessage, Role

EARLIER_CHARS = 24_000  # of the conversation so far, the newest
ENDING = (
    "End your answer with one line `Final answer: ...` that holds the answer alone, as short as it can be: "
    "a number with its unit, a name, a date, a choice. Where a longer text was asked for, write the text and "
    "put its gist in that line."
)


def question_of(opening: Sequence[ChatMessage]) -> str:
    """The turn's question, with the conversation so far before it where there was one: an agent sees nothing
    else."""
    said = [message for message in opening if message.role in (Role.USER, Role.ASSISTANT) and message.content]
    if not said:
        return ""
    question = said[-1].content
    earlier = "\n\n".join(f"{_speaker(message)}: {message.content}" for message in said[:-1])
    if not earlier:
        return question
    if len(earlier) > EARLIER_CHARS:
        earlier = f"[...]\n{earlier[-EARLIER_CHARS:]}"
    return f"The conversation so far:\n\n{earlier}\n\nThe question to be answered now:\n\n{question}"


def discussion(speeches: Sequence[AgentState], *, most_chars: int) -> str:
    """What was said so far, by role, for the next to speak; empty before the first."""
    return "\n\n".join(
        f"[{speech.role}]\n{_clamped(evidence.with_sources(speech).strip(), most_chars)}"
        for speech in speeches
        if speech.has_answered
    )


def _clamped(text: str, most_chars: int) -> str:
    if len(text) <= most_chars:
        return text
    return f"{text[: most_chars // 2]}\n[...]\n{text[-most_chars // 2 :]}"


def _speaker(message: ChatMessage) -> str:
    return "Person" if message.role is Role.USER else "Assistant"
