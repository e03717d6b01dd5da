"""The steps and notes of a transcript that the model is shown, kept up as the transcript grows.

A step is rendered once and shown as the same messages ever after, so that following the loop costs a step's
work for each step, and the requests' common prefix stays the same to the byte.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

from agents.context import rendering
from agents.context.sizes import CountTokens, tokens_of, tokens_of_step
from agents.transcript import Note, NoteKind, Step, Transcript
from inference.schema import ChatMessage


def view(transcript: Transcript) -> tuple[ChatMessage, ...]:
    """What the model is shown, if all of it fits: the opening, the visible steps with their reasoning, a
    result for every call, and the notes that have a text.

    ROLLBACK takes the steps after its own `to_step` away, and the notes about them; what it says stays.
    HANDOFF stands for the steps through `through_step`. HIDDEN leaves of the results through `through_step`
    one line each; it outlasts a rollback, for it is about their size.
    """
    return Branch.of(transcript).messages(transcript.opening)


@dataclass(slots=True)
class Block:
    """What the model is shown of one step or note. `step` of a lesson is the step it goes back to."""

    step: int
    source: Step | Note
    messages: tuple[ChatMessage, ...]
    is_hidden: bool = False
    whole_tokens: int | None = None
    hidden_tokens: int | None = None
    hidden_messages: tuple[ChatMessage, ...] | None = field(default=None, repr=False)

    @property
    def is_settled(self) -> bool:
        return isinstance(self.source, Note) or all(record.result for record in self.source.calls)

    @property
    def num_results(self) -> int:
        return len(self.source.calls) if isinstance(self.source, Step) else 0

    def hide(self) -> None:
        self.messages = self.hidden()
        self.is_hidden = True

    def render_again(self) -> None:
        """Results have come since."""
        if isinstance(self.source, Step):
            self.hidden_messages = self.whole_tokens = self.hidden_tokens = None
            self.messages = self.hidden() if self.is_hidden else rendering.step_messages(self.source)

    def num_tokens(self, count_tokens: CountTokens) -> int:
        if self.is_hidden and self.num_results:
            return self.tokens_if_hidden(count_tokens)
        if self.whole_tokens is None:
            if isinstance(self.source, Step):
                self.whole_tokens = tokens_of_step(self.source, self.messages, count_tokens)
            else:
                self.whole_tokens = tokens_of(self.messages, count_tokens)
        return self.whole_tokens

    def tokens_if_hidden(self, count_tokens: CountTokens) -> int:
        if not self.num_results:
            return self.num_tokens(count_tokens)
        if self.hidden_tokens is None:
            self.hidden_tokens = tokens_of(self.hidden(), count_tokens)
        return self.hidden_tokens

    def hidden(self) -> tuple[ChatMessage, ...]:
        """Its messages with a line for each result."""
        if not isinstance(self.source, Step):
            return self.messages
        if self.hidden_messages is None:
            self.hidden_messages = rendering.step_messages(self.source, is_hidden=True)
        return self.hidden_messages


@dataclass(slots=True, frozen=True)
class _Handoff:
    block: Block
    made_at: int  # the step after which it was made
    first: int  # the block that is shown next


@dataclass(slots=True)
class _Sum:
    """The tokens of the blocks shown, up to the first that was not counted yet."""

    num_tokens: int
    num_blocks: int


class Branch:
    """The visible part of one transcript. Blocks that a handoff stands for are kept: a rollback to before the
    handoff shows them again."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._handoffs: list[_Handoff] = []
        self._num_steps = 0
        self._num_notes = 0
        self._notes: deque[Note] = deque()  # those that wait for their step
        self._last_step = 0
        self._hidden_through = 0
        self._num_hidden = 0  # blocks before this one have been hidden
        self._sum: _Sum | None = None  # None: what was shown has changed
        self._unsettled: Block | None = None  # the last step, while results of it are missing

    @classmethod
    def of(cls, transcript: Transcript) -> "Branch":
        """The branch as the transcript now stands."""
        branch = transcript.derived.get(cls)
        if not isinstance(branch, cls) or branch._is_overtaken_by(transcript):
            branch = transcript.derived[cls] = cls()
        branch._catch_up(transcript)
        return branch

    def messages(
        self, opening: tuple[ChatMessage, ...], *, hidden_through: int = 0
    ) -> tuple[ChatMessage, ...]:
        blocks = self.shown()
        if not hidden_through:
            return tuple(chain(opening, chain.from_iterable(block.messages for block in blocks)))
        shown = (block.hidden() if block.step <= hidden_through else block.messages for block in blocks)
        return tuple(chain(opening, chain.from_iterable(shown)))

    def num_tokens(self, count_tokens: CountTokens) -> int:
        """Of all that is shown behind the opening."""
        if self._sum is None:
            first = self._handoffs[-1].first if self._handoffs else 0
            head = self._handoffs[-1].block.num_tokens(count_tokens) if self._handoffs else 0
            self._sum = _Sum(head, first)
        counted = self._sum
        while counted.num_blocks < len(self._blocks):
            block = self._blocks[counted.num_blocks]
            if block is self._unsettled:
                return counted.num_tokens + sum(
                    block.num_tokens(count_tokens) for block in self._blocks[counted.num_blocks :]
                )
            counted.num_tokens += block.num_tokens(count_tokens)
            counted.num_blocks += 1
        return counted.num_tokens

    def tokens_if_hidden(self, count_tokens: CountTokens, *, through_step: int) -> int:
        """The same with the results through that step hidden."""
        return sum(
            block.tokens_if_hidden(count_tokens)
            if block.step <= through_step
            else block.num_tokens(count_tokens)
            for block in self.shown()
        )

    def shown(self) -> Iterator[Block]:
        if not self._handoffs:
            return iter(self._blocks)
        handoff = self._handoffs[-1]
        return chain((handoff.block,), islice(self._blocks, handoff.first, None))

    def behind(self, through_step: int, *, after: int) -> Iterator[Block]:
        """What would still be shown behind a handoff through that step, made after step `after`."""
        return (block for block in self.shown() if _outlasts(block, through_step, after))

    def steps(self, *, through: int) -> list[Step]:
        """The steps that the model stands by, those that were handed off as well."""
        sources = (block.source for block in self._blocks if block.step <= through)
        return [source for source in sources if isinstance(source, Step)]

    @property
    def handoff(self) -> Note | None:
        """The handoff that is shown."""
        source = self._handoffs[-1].block.source if self._handoffs else None
        return source if isinstance(source, Note) else None

    @property
    def last_step(self) -> int:
        """The step after which the transcript now stands."""
        return self._last_step

    # ---- keeping up

    def _is_overtaken_by(self, transcript: Transcript) -> bool:
        """Something has come to stand before what was taken in already."""
        return (
            len(transcript.steps) < self._num_steps
            or len(transcript.notes) < self._num_notes
            or any(note.step < self._last_step for note in transcript.notes[self._num_notes :])
        )

    def _catch_up(self, transcript: Transcript) -> None:
        if self._unsettled is not None:
            self._unsettled.render_again()
            self._unsettled = None if self._unsettled.is_settled else self._unsettled
        # A note of a person may be heard of a step later: it stands where the rows have it all the same.
        self._notes.extend(sorted(transcript.notes[self._num_notes :], key=lambda note: note.step))
        self._num_notes = len(transcript.notes)
        for step in islice(transcript.steps, self._num_steps, None):
            self._take_notes(before=step.number)
            self._take_step(step)
            self._num_steps += 1
        self._take_notes(before=None)

    def _take_step(self, step: Step) -> None:
        self._last_step = step.number
        block = Block(step.number, step, rendering.step_messages(step))
        self._blocks.append(block)
        self._unsettled = None if block.is_settled else block

    def _take_notes(self, *, before: int | None) -> None:
        while self._notes and (before is None or self._notes[0].step < before):
            self._take_note(self._notes.popleft())

    def _take_note(self, note: Note) -> None:
        self._last_step = max(self._last_step, note.step)
        if note.kind is NoteKind.ROLLBACK:
            self._roll_back(int(note.data["to_step"]))
            self._blocks.append(_block(note, step=int(note.data["to_step"])))
        elif note.kind is NoteKind.HANDOFF:
            self._hand_off(note)
        elif note.kind is NoteKind.HIDDEN:
            self._hidden_through = max(self._hidden_through, int(note.data["through_step"]))
            self._hide()
        elif note.text:
            self._blocks.append(_block(note, step=note.step))

    def _roll_back(self, to_step: int) -> None:
        self._sum = None
        while self._blocks and self._blocks[-1].step > to_step:
            self._blocks.pop()
        while self._handoffs and self._handoffs[-1].made_at > to_step:
            self._handoffs.pop()
        self._num_hidden = min(self._num_hidden, len(self._blocks))

    def _hand_off(self, note: Note) -> None:
        self._sum = None
        through = int(note.data["through_step"])
        first = len(self._blocks)
        while first and _outlasts(self._blocks[first - 1], through, note.step):
            first -= 1
        self._handoffs.append(_Handoff(_block(note, step=through), note.step, first))

    def _hide(self) -> None:
        while self._num_hidden < len(self._blocks):
            block = self._blocks[self._num_hidden]
            if block.step > self._hidden_through:
                return
            block.hide()
            self._num_hidden += 1
            self._sum = None


def _outlasts(block: Block, through_step: int, after: int) -> bool:
    """Later steps, and notes that the model has not read yet."""
    source = block.source
    return block.step > through_step or (isinstance(source, Note) and source.step == after)


def _block(note: Note, *, step: int) -> Block:
    return Block(step, note, rendering.note_messages(note))
