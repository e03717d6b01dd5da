"""The note that stands for the steps that leave the view: the model's own words, what the notebook holds to
the letter, and an index of the calls, each of which can be had back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agents.context import rendering
from agents.context.branch import Branch
from agents.context.opening import questions_of
from agents.context.sizes import FRAME_TOKENS, CountTokens, cut
from agents.notebook import Notebook, fact_line, plan_lines
from agents.steps.asking import Ask, Asked, AskFailed
from agents.transcript import Note, NoteKind, Transcript
from inference.schema import ChatMessage

MIN_NOTE_TOKENS = 64
MAX_NOTE_TOKENS = 4_000
INSTRUCTION_TOKENS = 220
HEADING_TOKENS = 80  # what the platform says around the parts, and the message's frame
MAX_GOAL_CHARS = 600
MAX_LESSONS = 10
MAX_TEAM_CHARS = 1_500
MAX_THOUGHT_CHARS = 240

_INSTRUCTION = """\
The context is nearly full: the steps above are about to leave it, and you will go on from your own note
alone. Do not answer the question yet and call no tool. Write that handoff note now, in the first person, in
at most {num_words} words, in the language of the question: what I am to find out; what I have found, with
exact values, names, dates, numbers and the ids of the calls or passages they come from; what I tried and what
failed; what is still open; the very next call I would make, with its arguments."""

_OPENING = "The earlier steps have left the context. What follows stands for them."
_OWN = "Your own handoff note:"
_CALLS = "Calls made so far, the newest last; recall(id) brings the full result of any of them back."


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """The most tokens of each part of the note, and of the steps that stay behind it."""

    note: int
    memory: int
    index: int
    tail: int

    @classmethod
    def of(cls, free_tokens: int) -> "Allowance":
        return cls(
            note=min(free_tokens // 8, MAX_NOTE_TOKENS),
            memory=free_tokens // 4,
            index=min(free_tokens // 12, MAX_NOTE_TOKENS),
            tail=free_tokens // 8,
        )

    @property
    def text(self) -> int:
        return self.note + self.memory + self.index + HEADING_TOKENS


class Writer:
    """Writes the note that stands for the steps of a branch."""

    def __init__(
        self,
        transcript: Transcript,
        branch: Branch,
        notebook: Notebook | None,
        allowance: Allowance,
        count_tokens: CountTokens,
    ) -> None:
        self._transcript = transcript
        self._branch = branch
        self._notebook = notebook
        self._allowance = allowance
        self._count = count_tokens

    async def write(self, ask: Ask | None, conversation: Sequence[ChatMessage], *, through_step: int) -> Note:
        """The note, as long as its allowance at most: in the model's words where it can be asked, else from
        what is recorded. `data.own` is where in the text the model's own words stand."""
        asked = await self._ask(ask, conversation)
        memory = await self.memory()
        if asked is not None:
            words = cut(asked.text.strip(), self._allowance.note, self._count)
            index_tokens = self._allowance.index
        else:
            words = cut(self._last_words(), self._allowance.note // 2, self._count)
            index_tokens = self._allowance.index + self._allowance.note - self._count(words)
        index = self.index(through_step, max_tokens=index_tokens, has_thoughts=asked is None)
        text = self._within(compose(words, memory, index))
        start = text.find(words)
        return Note(
            step=self._branch.last_step,
            kind=NoteKind.HANDOFF,
            text=text,
            data={"through_step": through_step, "own": [start, start + len(words)] if start >= 0 else [0, 0]},
        )

    async def memory(self) -> str:
        return await memory_of(
            self._transcript, self._notebook, max_tokens=self._allowance.memory, count_tokens=self._count
        )

    def index(self, through_step: int, *, max_tokens: int, has_thoughts: bool = False) -> str:
        """A line for each call, and what the model thought before it where that is told nowhere else: as many
        of the newest as fit."""
        lines: list[str] = []
        for step in self._branch.steps(through=through_step):
            if has_thoughts and (step.reasoning or step.content):
                thought = rendering.one_line(step.content or step.reasoning, MAX_THOUGHT_CHARS)
                lines.append(f"- I thought: {thought}")
            lines.extend(rendering.indexed(record) for record in step.calls)
        return "\n".join(fitting_lines(reversed(lines), max_tokens, self._count))

    async def _ask(self, ask: Ask | None, conversation: Sequence[ChatMessage]) -> Asked | None:
        if ask is None or not conversation:
            return None
        max_tokens = max(self._allowance.note, MIN_NOTE_TOKENS)
        try:
            asked = await ask((*conversation, _instruction(max_tokens)), max_tokens=max_tokens)
        except AskFailed:
            return None
        return asked if asked.text.strip() else None

    def _last_words(self) -> str:
        """What the model wrote in the handoff that is shown now."""
        note = self._branch.handoff
        if note is None:
            return ""
        start, end = note.data.get("own", (0, 0))
        return note.text[start:end]

    def _within(self, text: str) -> str:
        return cut(text, self._allowance.text - FRAME_TOKENS, self._count)


def compose(words: str, memory: str, index: str) -> str:
    parts = [_OPENING]
    if words:
        parts.append(f"{_OWN}\n{words}")
    if memory:
        parts.append(memory)
    if index:
        parts.append(f"{_CALLS}\n{index}")
    return "\n\n".join(parts)


def _instruction(max_tokens: int) -> ChatMessage:
    words = " ".join(_INSTRUCTION.split())
    return rendering.platform_message(words.format(num_words=max(max_tokens // 2, 30)))


async def memory_of(
    transcript: Transcript, notebook: Notebook | None, *, max_tokens: int, count_tokens: CountTokens
) -> str:
    """The structured memory, to the letter: goal, plan, facts, open questions, dead ends."""
    goal = rendering.one_line(_question(transcript), MAX_GOAL_CHARS)
    sections = [f"Goal: {goal}"]
    plan = await notebook.plan() if notebook is not None else ()
    facts = await notebook.facts() if notebook is not None else ()
    if plan:
        sections.append(f"Plan:\n{plan_lines(plan)}")
    still_open = [line.text for line in plan if line.status in ("todo", "doing")]
    dropped = [line.text for line in plan if line.status == "dropped"]
    sections.extend(_listed("Open questions", still_open))
    sections.extend(_listed("Dead ends", dropped + _lessons(transcript)))
    sections.extend(_listed("From your agents", _team_notes(transcript)))
    text = cut("\n".join(sections), max_tokens // 2, count_tokens)
    left = max_tokens - count_tokens(text)
    known = fitting_lines((f"- {fact_line(fact)}" for fact in reversed(facts)), left, count_tokens)
    if not known:
        return text
    more = len(facts) - len(known)
    head = f"Facts ({more} older ones: recall(words) finds them)" if more else "Facts"
    return f"{text}\n{head}:\n" + "\n".join(known)


def fitting_lines(newest_first: Iterable[str], max_tokens: int, count_tokens: CountTokens) -> list[str]:
    """As many of the newest lines as fit, the oldest of them first."""
    kept: list[str] = []
    for line in newest_first:
        max_tokens -= count_tokens(line) + 1
        if max_tokens < 0:
            break
        kept.append(line)
    return kept[::-1]


def _question(transcript: Transcript) -> str:
    return "\n".join(message.content for message in questions_of(transcript.opening))


def _lessons(transcript: Transcript) -> list[str]:
    lessons = [note.text for note in transcript.notes if note.kind is NoteKind.ROLLBACK and note.text]
    return lessons[-MAX_LESSONS:]


def _team_notes(transcript: Transcript) -> list[str]:
    notes = (note.text for note in transcript.notes if note.kind is NoteKind.TEAM and note.text)
    return [rendering.one_line(text, MAX_TEAM_CHARS) for text in notes]


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    return [f"{title}:", *(f"- {line}" for line in lines)] if lines else []
