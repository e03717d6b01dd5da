"""An answer that is bound from its first token to its last, once its reasoning is over."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inference.constraints import landing
from inference.constraints.matcher import Matcher
from inference.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class FreeReasoning:
    """Reasoning that comes before what is bound.

    close          its closing mark: where the vocabulary has a token for it, only that one counts
    opening_ids    put in front of it, where the prompt did not open it
    closing_ids    what ends it once `budget_tokens` are spent (None: the model alone ends it)
    may_stop       whether the model may end its answer in it
    begins_at      tokens that end it too and are the bound part's own first: an early call
    """

    close: str
    closing_ids: Sequence[int]
    opening_ids: Sequence[int] = ()
    budget_tokens: int | None = None
    may_stop: bool = False
    begins_at: frozenset[int] = frozenset()


class BoundConstraint:
    """A `TokenConstraint`: free reasoning, if there is any, then the grammar to its end.

    When the last of `max_tokens` come near, the shortest way to the end is taken.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        matcher: Matcher,
        *,
        reasoning: FreeReasoning | None,
        max_tokens: int | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._matcher = matcher
        self._reasoning = reasoning
        self._num_accepted = 0
        self._lands_at = math.inf if max_tokens is None else landing.begins_at(max_tokens)
        self._tail = b""
        self._num_reasoning = 0
        self._forced = list(reasoning.opening_ids) if reasoning else []
        self._is_closed = False  # the mark has come, what was forced with it perhaps not
        self._is_closing = False  # the end is being forced

    @property
    def fault(self) -> str:
        """Why the answer ended early, if it did."""
        return self._matcher.fault

    @property
    def is_finished(self) -> bool:
        return self._reasoning is None and self._matcher.has_ended

    def mask(self) -> NDArray[np.uint32] | None:
        if self._reasoning is None:
            mask = self._matcher.mask()
            is_landing = self._num_accepted >= self._lands_at
            return landing.narrow(mask, self._tokenizer) if is_landing else mask
        return None if self._reasoning.may_stop else _all_but_stops(self._tokenizer)

    def forced(self) -> list[int]:
        return self._matcher.forced() if self._reasoning is None else list(self._forced)

    def accept(self, token_ids: list[int]) -> None:
        self._num_accepted += len(token_ids)
        for token_id in token_ids:
            if self._reasoning is None:
                self._matcher.accept(token_id)
            else:
                self._reason(token_id, self._reasoning)

    def _reason(self, token_id: int, reasoning: FreeReasoning) -> None:
        self._num_reasoning += 1
        if self._forced and self._forced[0] == token_id:
            del self._forced[0]
        if token_id in reasoning.begins_at:
            self._reasoning = None
            self._matcher.accept(token_id)
        elif self._is_closed_by(token_id, reasoning.close) and not self._forced:
            self._reasoning = None
            # What came in one token with the mark is bound already.
            if rest := self._tail.partition(reasoning.close.encode())[2].lstrip():
                self._matcher.accept_bytes(rest)
        elif not self._is_closing and self._num_reasoning >= (reasoning.budget_tokens or math.inf):
            self._is_closing = True
            self._forced = list(reasoning.closing_ids)

    def _is_closed_by(self, token_id: int, close: str) -> bool:
        close_id = self._tokenizer.added.get(close)
        if close_id is not None:
            self._is_closed = self._is_closed or token_id == close_id
        elif not self._is_closed:
            self._tail = self._tail[-len(close) :] + self._tokenizer.bytes_of(token_id)
            self._is_closed = close.encode() in self._tail
        return self._is_closed


@lru_cache(maxsize=4)
def _all_but_stops(tokenizer: Tokenizer) -> NDArray[np.uint32]:
    is_allowed = np.ones(tokenizer.num_tokens, dtype=np.bool_)
    is_allowed[list(tokenizer.stop_ids)] = False
    return landing.bits(is_allowed)
