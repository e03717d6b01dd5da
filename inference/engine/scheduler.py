"""Which sequences run, and what the next step computes for them. Bookkeeping: no tensors, no sampling."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from inference.engine.blocks import BlockKey, BlockPool, OutOfBlocks
from inference.engine.fairness import Fairness
from inference.engine.pace import Pace
from inference.engine.progress import Progress, num_blocks
from inference.model.kv_pool import BLOCK_TOKENS

# A chunk in the middle of a prompt answers with logits, to prove its numbers, once it has so many new blocks.
_UNPROVEN_BLOCKS = 4
# A step always has room for so much of a prompt.
_LEAST_CHUNK = 16


@dataclass(frozen=True, kw_only=True)
class SchedulerLimits:
    """How much runs at a time.

    max_running     sequences that hold memory
    step_tokens     the most tokens of a step
    step_s          what a step should take at most: prompts are read in chunks that fit, so that an abort or
                    the next token of others does not wait longer; None reads `step_tokens` at a time
    patience_steps  a waiting sequence rises by one priority each time so many steps have passed
    """

    max_running: int = 16
    step_tokens: int = 512
    step_s: float | None = 0.1
    patience_steps: int = 500

    def __post_init__(self) -> None:
        if self.max_running < 1 or self.step_tokens < self.max_running + _LEAST_CHUNK:
            raise ValueError(
                f"a step needs a token for each running sequence and {_LEAST_CHUNK} for a prompt"
            )


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A sequence's part in a step: its next `num_tokens` known tokens, then the guessed ones of `draft`;
    logits are asked of the last `num_logits` of all these.
    """

    progress: Progress
    num_tokens: int
    num_logits: int
    draft: list[int] = field(default_factory=list)

    @property
    def is_last(self) -> bool:
        """Whether the next token can be drawn when it is computed."""
        return self.num_tokens == self.progress.num_uncomputed


Propose = Callable[[Progress, int], list[int]]


class Scheduler:
    """Generating sequences first, each one token; the rest of the step reads prompts.

    The higher priority goes first, among equals the tenant that was served least, then who came first. A
    prompt that begins like one being read waits for that one's blocks. When memory runs out, the lowest and
    latest gives its own back and is computed again later.

    `least_uncomputed` tokens of a sequence are computed even when all are known.
    """

    def __init__(
        self, pool: BlockPool, limits: SchedulerLimits, *, pace: Pace, least_uncomputed: int = 1
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._pace = pace
        self._least_uncomputed = least_uncomputed
        self._waiting: list[Progress] = []
        self._running: list[Progress] = []
        self._being_read: dict[BlockKey, Progress] = {}  # prompt blocks by who computes them
        self._fairness = Fairness()
        self._num_arrivals = 0
        self._num_steps = 0
        self._num_held_back = 0
        self.num_preemptions = 0

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def add(self, progress: Progress) -> None:
        progress.arrival = self._num_arrivals
        progress.waits_from = self._num_steps
        self._num_arrivals += 1
        self._fairness.enter(progress.tenant)
        self._waiting.append(progress)

    def find(self, sequence_id: str) -> Progress | None:
        """The unfinished sequence of that id."""
        return next((p for p in self._all() if p.sequence.id == sequence_id), None)

    def overdue(self, now: float) -> list[Progress]:
        """Unfinished sequences whose deadline has passed."""
        return [p for p in self._all() if (at := p.sequence.deadline_at) is not None and at <= now]

    def finish(self, progress: Progress, *, is_sound: bool = True) -> None:
        """Let a sequence go, in any state. When it is not sound, nobody will find its blocks again, nor those
        that others computed from them.
        """
        self._fairness.leave(progress.tenant)
        if progress in self._waiting:
            self._waiting.remove(progress)
            return
        if not is_sound:
            for block_id in progress.block_ids:
                self._pool.disown(block_id)
        self._give_back(progress)

    def plan(self, propose: Propose | None = None) -> list[Slice]:
        """The next step, with room made in the pool for all it writes; empty when nothing is left to run.

        `propose` guesses at most so many next tokens of a generating sequence.
        """
        self._num_steps += 1
        self._admit()
        planned: dict[Progress, Slice] = {}
        self._plan_generating(planned, propose)
        self._plan_prompts(planned)
        for piece in planned.values():
            self._fairness.charge(piece.progress.tenant, piece.num_tokens)
        return list(planned.values())

    def record(self, progress: Progress, num_tokens: int, *, is_proven: bool) -> None:
        """Note that so many next tokens of a running sequence have been computed; when they are proven, by
        finite logits behind them, others may use its full blocks.
        """
        progress.num_computed += num_tokens
        if not is_proven:
            return
        while progress.num_published < progress.num_computed // BLOCK_TOKENS:
            self._publish(progress, progress.num_published)
            progress.num_published += 1

    def _all(self) -> Iterable[Progress]:
        yield from self._running
        yield from self._waiting

    # Admission

    def _admit(self) -> None:
        """Start waiting sequences as long as places and memory last."""
        self._num_held_back = 0
        candidates = deque(self._by_urgency(self._waiting) if self._may_admit() else ())
        while candidates:
            progress = candidates.popleft()
            known = self._known_blocks(progress)
            reader = self._reader_of(progress, len(known))
            if reader is not None:
                reader.rank = max(reader.rank, self._priority(progress))
                self._num_held_back += 1
            elif self._has_place_for(progress, known):
                self._start(progress, known)
                candidates = deque(self._by_urgency(candidates))
            else:
                return

    def _may_admit(self) -> bool:
        """Whether any waiting sequence could start: false most of the time when many wait."""
        if len(self._running) < self._limits.max_running:
            return True
        lowest = min(running.rank for running in self._running)
        return any(progress.sequence.priority > lowest for progress in self._waiting)

    def _by_urgency(self, candidates: Iterable[Progress]) -> list[Progress]:
        under_way: Counter[str] = Counter()
        for running in self._running:
            under_way[running.tenant] += running.num_uncomputed

        def order(progress: Progress) -> tuple[int, int, int]:
            served = self._fairness.served(progress.tenant) + under_way[progress.tenant]
            return (-self._priority(progress), served, progress.arrival)

        return sorted(candidates, key=order)

    def _priority(self, progress: Progress) -> int:
        """A waiting sequence's priority, raised by the time it has waited."""
        waited = self._num_steps - progress.waits_from
        return progress.sequence.priority + waited // self._limits.patience_steps

    def _known_blocks(self, progress: Progress) -> list[int]:
        """The blocks of the longest beginning that was computed before."""
        known: list[int] = []
        most = (len(progress.token_ids) - self._least_uncomputed) // BLOCK_TOKENS
        while len(known) < most:
            block_id = self._pool.find(progress.key(len(known)))
            if block_id is None:
                break
            known.append(block_id)
        return known

    def _reader_of(self, progress: Progress, index: int) -> Progress | None:
        """The running sequence that is computing block `index` of this one."""
        if (index + 1) * BLOCK_TOKENS > len(progress.token_ids) - self._least_uncomputed:
            return None
        return self._being_read.get(progress.key(index))

    def _has_place_for(self, progress: Progress, known: list[int]) -> bool:
        """Whether it can start now; running sequences of lower priority give way."""
        lower = [p for p in self._running if p.rank < progress.sequence.priority]
        if not self._fits(progress, known, without=lower):
            return False
        for lowest in sorted(lower, key=_standing, reverse=True):
            if self._fits(progress, known):
                break
            self._preempt(lowest)
        return self._fits(progress, known)

    def _fits(self, progress: Progress, known: list[int], *, without: Sequence[Progress] = ()) -> bool:
        """Whether there is a place, and memory for all its tokens beside those of the running, of whom each
        may grow by a block.
        """
        others = [p for p in self._running if p not in without]
        if not others:
            return True
        missing = num_blocks(len(progress.token_ids) + 1) - len(known)
        missing += sum(self._pool.num_holders(block_id) == 0 for block_id in known)
        promised = sum(other.num_missing_blocks + 1 for other in others)
        available = self._pool.num_available + sum(len(p.block_ids) for p in without)
        return len(others) < self._limits.max_running and available >= missing + promised

    def _start(self, progress: Progress, known: list[int]) -> None:
        for block_id in known:
            self._pool.hold(block_id)
        progress.block_ids = known
        progress.num_published = len(known)
        progress.num_computed = len(known) * BLOCK_TOKENS
        if not progress.has_started:
            progress.has_started = True
            progress.num_cached_tokens = progress.num_computed
        progress.rank = self._priority(progress)
        self._waiting.remove(progress)
        self._running.append(progress)
        for index in range(len(known), len(progress.token_ids) // BLOCK_TOKENS):
            self._being_read.setdefault(progress.key(index), progress)

    # A step

    def _plan_generating(self, planned: dict[Progress, Slice], propose: Propose | None) -> None:
        """What generating sequences have to compute, and their guesses as far as the step has tokens left."""
        generating = sorted((p for p in self._running if p.is_generating), key=_standing)
        left = self._limits.step_tokens - len(generating)
        if len(generating) < len(self._running):
            left -= _LEAST_CHUNK
        for progress in generating:
            num_tokens = _chunk(progress.num_uncomputed, left + 1) or 1
            if not self._make_room(progress, num_tokens, planned):
                continue
            left -= num_tokens - 1
            draft = propose(progress, left) if propose and progress.num_uncomputed == 1 else []
            if draft and not self._has_room_for_draft(progress, len(draft)):
                draft = []
            left -= len(draft)
            planned[progress] = Slice(
                progress=progress,
                num_tokens=num_tokens,
                num_logits=1 + len(draft),
                draft=draft,
            )

    def _plan_prompts(self, planned: dict[Progress, Slice]) -> None:
        num_rows = sum(piece.num_tokens + len(piece.draft) for piece in planned.values())
        left = self._pace.prompt_tokens(num_rows=num_rows, most=self._limits.step_tokens - num_rows)
        prompts = sorted((p for p in self._running if not p.is_generating), key=self._reading_order)
        for progress, following in zip_longest(prompts, prompts[1:]):
            # Half for the first, so that a short prompt behind a long one is soon read as well.
            is_shared = following is not None and following.rank == progress.rank
            most = min(left, max(_LEAST_CHUNK, left // 2)) if is_shared else left
            num_tokens = _chunk(progress.num_uncomputed, most)
            if num_tokens > 0 and self._make_room(progress, num_tokens, planned):
                planned[progress] = self._prompt_slice(progress, num_tokens)
                left -= num_tokens

    def _reading_order(self, progress: Progress) -> tuple[int, int, int]:
        return (-progress.rank, self._fairness.served(progress.tenant), progress.arrival)

    def _prompt_slice(self, progress: Progress, num_tokens: int) -> Slice:
        """In the middle of a prompt logits serve only to prove blocks: when others wait, or many are due."""
        unproven = (progress.num_computed + num_tokens) // BLOCK_TOKENS - progress.num_published
        is_last = num_tokens == progress.num_uncomputed
        is_wanted = is_last or unproven >= _UNPROVEN_BLOCKS or (unproven > 0 and self._num_held_back > 0)
        return Slice(progress=progress, num_tokens=num_tokens, num_logits=1 if is_wanted else 0)

    # Memory

    def _make_room(self, progress: Progress, num_tokens: int, planned: dict[Progress, Slice]) -> bool:
        """Take the blocks that the next tokens of a running sequence need, from the lowest running ones where
        none is left; False when it was the lowest itself.
        """
        while progress in self._running:
            try:
                self._grow(progress, progress.num_computed + num_tokens)
            except OutOfBlocks:
                lowest = max(self._running, key=_standing)
                planned.pop(lowest, None)
                self._preempt(lowest)
            else:
                return True
        return False

    def _has_room_for_draft(self, progress: Progress, num_drafted: int) -> bool:
        """Guesses take free blocks, and none that others need."""
        missing = num_blocks(len(progress.token_ids) + num_drafted) - len(progress.block_ids)
        if missing > self._pool.num_available:
            return False
        self._grow(progress, len(progress.token_ids) + num_drafted)
        return True

    def _grow(self, progress: Progress, num_tokens: int) -> None:
        while len(progress.block_ids) < num_blocks(num_tokens):
            progress.block_ids.append(self._pool.take())

    def _preempt(self, progress: Progress) -> None:
        """Stop a running sequence for now; it keeps the priority that it had reached."""
        self._give_back(progress)
        raised = progress.rank - progress.sequence.priority
        progress.waits_from = self._num_steps - raised * self._limits.patience_steps
        self._waiting.append(progress)
        self.num_preemptions += 1

    def _give_back(self, progress: Progress) -> None:
        """Take a running sequence off, and its blocks from it."""
        self._running.remove(progress)
        self._pool.release(progress.block_ids)
        for index in range(progress.num_published, len(progress.token_ids) // BLOCK_TOKENS):
            self._stop_reading(progress, index)
        progress.block_ids = []
        progress.num_computed = progress.num_published = 0

    def _publish(self, progress: Progress, index: int) -> None:
        parent_id = progress.block_ids[index - 1] if index else None
        progress.block_ids[index] = self._pool.publish(
            progress.block_ids[index],
            parent_id=parent_id,
            parent=progress.key(index - 1),
            key=progress.key(index),
        )
        self._stop_reading(progress, index)

    def _stop_reading(self, progress: Progress, index: int) -> None:
        if self._being_read.get(progress.key(index)) is progress:
            del self._being_read[progress.key(index)]


def _standing(progress: Progress) -> tuple[int, int]:
    """Among running sequences; who has the most gives way first."""
    return (-progress.rank, progress.arrival)


def _chunk(num_uncomputed: int, most: int) -> int:
    """Tokens of a prompt to compute now. A single one is never left over: some kernels compute it otherwise
    than as a part of its prompt.
    """
    if num_uncomputed <= most:
        return num_uncomputed
    num_tokens = most - 1 if num_uncomputed - most == 1 else most
    return num_tokens if num_tokens > 1 else 0
