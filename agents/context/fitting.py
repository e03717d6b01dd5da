"""Keeping a turn within its model's window, in stages.

Each stage is a note in the transcript, so it is decided once and holds for every worker after. A stage that
would not make the view smaller by a twentieth is passed over for the next one, a view is worked on at most
three times, and the model is asked for a handoff note at most every third step: a turn whose every result is
huge goes on in small steps, but never compacts without end.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agents.context import digest, handoff, opening
from agents.context.branch import Branch
from agents.context.handoff import Allowance
from agents.context.sizes import CountTokens, tokens_of
from agents.context.window import OPENING_SHARE, Room
from agents.notebook import Notebook
from agents.steps.asking import Ask
from agents.transcript import Note, NoteKind, Step, Transcript
from inference.schema import ChatMessage

KEPT_RESULTS = 5
KEPT_STEPS = 5  # at most, behind a handoff
SMALLER = 0.95
MIN_HIDDEN_SHARE = 0.3  # of a view that old results leave at once, so that its prefix changes seldom
STEPS_BETWEEN_ASKING = 3
FEWEST_TO_CORRECT_BY = 1_000
LARGEST_CORRECTION = 2.0

Save = Callable[[Note], Awaitable[None]]


class ContextFull(Exception):
    """The turn does not fit the model's window any more, however much of it is hidden: answer now."""


async def fit(
    transcript: Transcript,
    *,
    window: int,
    overhead_tokens: int = 0,
    reply_tokens: int = 0,
    count_tokens: CountTokens,
    save: Save,
    ask: Ask | None,
    notebook: Notebook | None,
    is_final: bool = False,
    last_input_tokens: int = 0,
) -> tuple[ChatMessage, ...]:
    """The messages of the next request, made to fit: with `overhead_tokens` for the tools' specs and
    `reply_tokens` for the reply (at most an eighth of the window) they stay within `window`.
    `last_input_tokens`, as the backend counted them for the request before, corrects what is estimated.

    What is decided is given to `save`, which appends it to the transcript. Raises ContextFull where nothing
    helps; with `is_final`, for the last reply of the turn, nothing is saved, nobody is asked and something
    that fits always comes back.
    """
    correction = _correction(transcript, last_input_tokens)
    room = Room.of(int(window / correction), overhead_tokens=overhead_tokens, reply_tokens=reply_tokens)
    # By what never changes during a turn, for all its requests begin with the opening.
    opening_tokens = int(window * OPENING_SHARE)
    fitting = _Fitting(transcript, room, count_tokens, opening_tokens=opening_tokens)
    if is_final:
        messages = await fitting.final(notebook)
    else:
        messages = await fitting.run(save, ask, notebook)
    size = min(fitting.size(), room.most)
    transcript.derived[_Fitted] = _Fitted(size + overhead_tokens, int(size * correction))
    return messages


def num_tokens(transcript: Transcript, *, count_tokens: CountTokens) -> int:
    """About how many tokens the messages are that `fit` gave last, or `view` would give."""
    fitted = transcript.derived.get(_Fitted)
    if isinstance(fitted, _Fitted):
        return fitted.num_tokens
    return tokens_of(transcript.opening, count_tokens) + Branch.of(transcript).num_tokens(count_tokens)


@dataclass(frozen=True)
class _Fitted:
    """What the last request was estimated to be, the tools' specs with it, and its messages as corrected."""

    estimate: int
    num_tokens: int


def _correction(transcript: Transcript, last_input_tokens: int) -> float:
    """How many tokens one estimated token really is: code and numbers are more than prose."""
    fitted = transcript.derived.get(_Fitted)
    if not isinstance(fitted, _Fitted) or fitted.estimate < FEWEST_TO_CORRECT_BY:
        return 1.0
    return min(max(last_input_tokens / fitted.estimate, 1.0), LARGEST_CORRECTION)


@dataclass(frozen=True)
class _Opening:
    """The opening cut for this many tokens; it is the same all through the turn."""

    max_tokens: int
    messages: tuple[ChatMessage, ...]
    num_tokens: int


class _Fitting:
    """One request being fitted."""

    def __init__(
        self, transcript: Transcript, room: Room, count_tokens: CountTokens, *, opening_tokens: int
    ) -> None:
        self._transcript = transcript
        self._room = room
        self._count = count_tokens
        self._opening = _opening(transcript, opening_tokens, count_tokens)

    async def run(self, save: Save, ask: Ask | None, notebook: Notebook | None) -> tuple[ChatMessage, ...]:
        if self.size() > self._room.hide:
            await self._hide_old(save)
        if self.size() > self._room.hand_off:
            await self._relieve(save, ask, notebook)
        if self.size() > self._room.most:
            raise ContextFull("the turn no longer fits the model's window")
        return self.messages()

    async def final(self, notebook: Notebook | None) -> tuple[ChatMessage, ...]:
        """As much as fits: all, then without the results of earlier steps, then without any, then a
        digest."""
        for hidden_through in (0, self._last_step - 1, self._last_step):
            if self.size(hidden_through=hidden_through) <= self._room.most:
                return self._branch.messages(self._opening.messages, hidden_through=hidden_through)
        return await digest.of(
            self._transcript, self._branch, notebook, max_tokens=self._room.most, count_tokens=self._count
        )

    def messages(self) -> tuple[ChatMessage, ...]:
        return self._branch.messages(self._opening.messages)

    def size(self, *, hidden_through: int = 0) -> int:
        if not hidden_through:
            return self._opening.num_tokens + self._branch.num_tokens(self._count)
        hidden = self._branch.tokens_if_hidden(self._count, through_step=hidden_through)
        return self._opening.num_tokens + hidden

    @property
    def _branch(self) -> Branch:
        return Branch.of(self._transcript)

    @property
    def _last_step(self) -> int:
        return self._branch.last_step

    # ---- results leave the view

    async def _hide_old(self, save: Save) -> None:
        """Hide all results but the last five, once that makes much of a difference."""
        through = self._before_the_last_results()
        size = self.size()
        if through and size - self.size(hidden_through=through) >= MIN_HIDDEN_SHARE * size:
            await self._save_hidden(save, through)

    async def _hide_all(self, save: Save) -> None:
        """Hide the results of all earlier steps, and those of the last one where that is not enough."""
        size = self.size()
        for through in (self._last_step - 1, self._last_step):
            smaller = self.size(hidden_through=through)
            is_enough = smaller <= self._room.hand_off or through == self._last_step
            if is_enough and smaller <= SMALLER * size:
                await self._save_hidden(save, through)
                return

    async def _save_hidden(self, save: Save, through_step: int) -> None:
        note = Note(step=self._last_step, kind=NoteKind.HIDDEN, data={"through_step": through_step})
        await save(note)

    def _before_the_last_results(self) -> int:
        """The last step that has at least five results behind it; 0: none has."""
        num_kept = 0
        for block in reversed(list(self._branch.shown())):
            if num_kept >= KEPT_RESULTS:
                return block.step
            num_kept += block.num_results
        return 0

    # ---- steps leave the view

    async def _relieve(self, save: Save, ask: Ask | None, notebook: Notebook | None) -> None:
        """Hand off, and hide all results where that is not enough; the other way round, and without asking
        the model, when it wrote a handoff only just before."""
        last = self._transcript.last(NoteKind.HANDOFF)
        if last is not None and last.step > self._last_step - STEPS_BETWEEN_ASKING:
            await self._hide_all(save)
            if self.size() > self._room.hand_off:
                await self._hand_off(save, None, notebook)
            return
        await self._hand_off(save, ask, notebook)
        if self.size() > self._room.hand_off:
            await self._hide_all(save)

    async def _hand_off(self, save: Save, ask: Ask | None, notebook: Notebook | None) -> None:
        free_tokens = self._room.hand_off - self._opening.num_tokens
        allowance = Allowance.of(max(free_tokens, 0))
        through = self._through(allowance.tail)
        if free_tokens <= 0 or not through:
            return
        writer = handoff.Writer(self._transcript, self._branch, notebook, allowance, self._count)
        kept = sum(
            block.num_tokens(self._count) for block in self._branch.behind(through, after=self._last_step)
        )
        if self._opening.num_tokens + kept + allowance.text > SMALLER * self.size():
            return
        conversation = self._conversation_to_sum_up(allowance.note) if ask is not None else ()
        await save(await writer.write(ask, conversation, through_step=through))

    def _through(self, tail_tokens: int) -> int:
        """The last step to hand off, so that those behind it take no more than so many tokens; 0: none need
        be."""
        num_kept = 0
        for block in reversed(list(self._branch.shown())):
            tail_tokens -= block.num_tokens(self._count)
            if isinstance(block.source, Step):
                if tail_tokens < 0 or num_kept == KEPT_STEPS:
                    return block.step
                num_kept += 1
        return 0

    def _conversation_to_sum_up(self, note_tokens: int) -> tuple[ChatMessage, ...]:
        """What the model writes its handoff from: all it was shown, or as much as fits; nothing where that is
        no use. The tools are not offered then, so their room is free."""
        most = self._room.window - handoff.INSTRUCTION_TOKENS - note_tokens
        for hidden_through in (0, self._last_step - 1, self._last_step):
            if self.size(hidden_through=hidden_through) <= most:
                return self._branch.messages(self._opening.messages, hidden_through=hidden_through)
        return ()


def _opening(transcript: Transcript, max_tokens: int, count_tokens: CountTokens) -> _Opening:
    known = transcript.derived.get(_Opening)
    if isinstance(known, _Opening) and known.max_tokens == max_tokens:
        return known
    messages = opening.trimmed(transcript.opening, max_tokens, count_tokens)
    cut_opening = _Opening(max_tokens, messages, tokens_of(messages, count_tokens))
    transcript.derived[_Opening] = cut_opening
    return cut_opening
