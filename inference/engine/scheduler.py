"""Which sequences run, and what the next step computes for them. Bookkeeping: no tensors, no sampling."""

from collections import deque
from dataclasses import dataclass

from inference.engine.prefix_cache import OutOfCache, PrefixCache
from inference.engine.sequence import Sequence


@dataclass(frozen=True, kw_only=True)
class SchedulerLimits:
    """How much a step may compute.

    A prompt is computed in chunks: of `chunk_tokens` when nothing else runs, of `shared_chunk_tokens` when
    others are generating, who wait that long between two of their tokens.
    """

    max_running: int = 16
    chunk_tokens: int = 256
    shared_chunk_tokens: int = 64


@dataclass(frozen=True)
class Plan:
    """One step: the next `num_tokens[i]` uncomputed tokens of `sequences[i]`."""

    sequences: list[Sequence]
    num_tokens: list[int]


class Scheduler:
    """First come, first served. Prefill chunks and decode steps take turns while there is work of both kinds.

    When the cache budget is spent, the latest arrival gives its memory back and is computed again later.
    """

    def __init__(self, caches: PrefixCache, limits: SchedulerLimits) -> None:
        self._caches = caches
        self._limits = limits
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._prefilled_last = False

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def add(self, sequence: Sequence) -> None:
        self._waiting.append(sequence)

    def find(self, sequence_id: str) -> Sequence | None:
        """The unfinished sequence of that id."""
        return next((s for s in (*self._running, *self._waiting) if s.id == sequence_id), None)

    def finish(self, sequence: Sequence, *, is_sound: bool = True) -> None:
        """Let a sequence go, in any state; what it computed is kept for later prompts if it `is_sound`."""
        if sequence in self._running:
            self._running.remove(sequence)
        else:
            self._waiting.remove(sequence)
        if sequence.cache is None:
            return
        if is_sound:
            self._caches.keep(sequence.cache, sequence.token_ids, salt=sequence.salt)
        else:
            self._caches.drop(sequence.cache)
        sequence.cache = None

    def plan(self) -> Plan | None:
        """The next step, with room made in every cache it writes to; None when nothing is left to run."""
        self._admit()
        self._make_room()
        decoding = [s for s in self._running if s.num_uncomputed == 1]
        prefilling = [s for s in self._running if s.num_uncomputed > 1]
        if prefilling and not (decoding and self._prefilled_last):
            self._prefilled_last = True
            return self._plan_prefill(prefilling[0], is_shared=bool(decoding))
        self._prefilled_last = False
        return Plan(decoding, [1] * len(decoding)) if decoding else None

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self._limits.max_running:
            sequence = self._waiting[0]
            try:
                cache = self._caches.take(
                    sequence.token_ids, salt=sequence.salt, capacity=len(sequence.token_ids) + 1
                )
            except OutOfCache:
                return
            self._waiting.popleft()
            sequence.cache = cache
            if not sequence.num_output_tokens:
                sequence.num_cached_tokens = cache.num_tokens
            self._running.append(sequence)

    def _plan_prefill(self, sequence: Sequence, *, is_shared: bool) -> Plan:
        """The next chunk of one prompt; it never leaves a single token, which would be computed as a decode
        step.
        """
        num_tokens = self._limits.shared_chunk_tokens if is_shared else self._limits.chunk_tokens
        left = sequence.num_uncomputed
        return Plan([sequence], [left if left <= num_tokens + 1 else num_tokens])

    def _make_room(self) -> None:
        """Give every running cache room for its sequence's tokens, taking the latest arrivals' memory where
        needed.
        """
        for sequence in list(self._running):
            while sequence in self._running and not self._has_room(sequence):
                self._preempt(self._running[-1])

    def _has_room(self, sequence: Sequence) -> bool:
        assert sequence.cache is not None
        try:
            self._caches.grow(sequence.cache, len(sequence.token_ids))
        except OutOfCache:
            return False
        return True

    def _preempt(self, sequence: Sequence) -> None:
        assert sequence.cache is not None
        self._running.remove(sequence)
        self._caches.drop(sequence.cache)
        sequence.cache = None
        self._waiting.appendleft(sequence)
