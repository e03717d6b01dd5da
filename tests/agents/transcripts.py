"""Transcripts for the tests of what is made of them."""

from agents.tool import Fault, ToolResult
from agents.transcript import CallRecord, Note, NoteKind, Step, Transcript
from inference.schema import ChatMessage, Role, ToolCall

QUESTION = "How long is the river?"


def words(text: str) -> int:
    return len(text.split())


def quarters(text: str) -> int:
    return -(-len(text) // 4)


class Story:
    """A turn that grows step by step."""

    def __init__(self, question: str = QUESTION) -> None:
        self.transcript = Transcript(
            opening=(
                ChatMessage(role=Role.SYSTEM, content="Be exact."),
                ChatMessage(role=Role.USER, content=question),
            )
        )
        self.num_calls = 0

    @property
    def last(self) -> int:
        return self.transcript.steps[-1].number if self.transcript.steps else 0

    def step(self, *results: str | ToolResult | None, call: str = "", reasoning: str = "I wonder.") -> Step:
        """A step with a call for each result; None: it has none yet. `call` is `name {json}`."""
        number = self.last + 1
        records = [self._record(number, index, result, call) for index, result in enumerate(results)]
        step = Step(number=number, reasoning=reasoning, content="" if results else "Done.", calls=records)
        self.transcript.steps.append(step)
        return step

    def fails(self, call: str, fault: Fault = Fault.FAILED) -> Step:
        return self.step(ToolResult(for_model="It failed.", is_error=True, fault=fault), call=call)

    def note(self, kind: NoteKind, text: str = "", **data: object) -> Note:
        note = Note(step=self.last, kind=kind, text=text, data=data)
        self.transcript.notes.append(note)
        return note

    async def save(self, note: Note) -> None:
        self.transcript.notes.append(note)

    def copy(self) -> Transcript:
        """The same transcript as another worker would load it."""
        return Transcript(
            opening=self.transcript.opening,
            steps=list(self.transcript.steps),
            notes=list(self.transcript.notes),
        )

    def _record(self, number: int, index: int, result: str | ToolResult | None, call: str) -> CallRecord:
        name, _, arguments = (call or f'search {{"query": "part {number}.{index}"}}').partition(" ")
        made = ToolCall(id=f"functions.{name}:{self.num_calls}", name=name, arguments=arguments or "{}")
        self.num_calls += 1
        brought = ToolResult(for_model=result) if isinstance(result, str) else result
        return CallRecord(call=made, key=f"turn.{number}.{index}", result=brought)
