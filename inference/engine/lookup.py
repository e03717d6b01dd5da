"""Guessing what comes next from what was said before: code, quotations and JSON repeat themselves."""

from collections.abc import Sequence

_NGRAM = 3
_MOST_DRAFTED = 8
_HALF_LIFE = 8  # drafted tokens after which half of the estimate is new
_MOST_REMEMBERED = 16_384  # tokens of a long prompt, its last ones, that guesses are taken from
_PROBE_TOKENS = 48  # a sequence whose guesses do not pay tries again after so many tokens


class PromptLookup:
    """Finds the latest earlier place of a sequence's last three tokens and proposes what followed there.

    `propose` answers at most what is expected to pay: guesses right with the chance seen so far, each costing
    `row_cost` of a step.
    """

    def __init__(self) -> None:
        self._followed: dict[tuple[int, ...], int] = {}  # three tokens -> where the one behind them stands
        self._num_indexed = 0
        self._chance = 0.5
        self._rests_until = 0

    def propose(self, token_ids: Sequence[int], *, most: int, row_cost: float) -> list[int]:
        """Tokens that may follow; none where nothing is found or it would not pay."""
        self._index(token_ids)
        if most < 1 or len(token_ids) < max(_NGRAM, self._rests_until):
            return []
        start = self._followed.get(tuple(token_ids[-_NGRAM:]))
        if start is None:
            return []
        wanted = _best_length(self._chance, row_cost)
        if wanted == 0:
            self._rests_until = len(token_ids) + _PROBE_TOKENS
            wanted = 1
        return list(token_ids[start : start + min(wanted, most)])

    def learn(self, *, num_drafted: int, num_accepted: int) -> None:
        """Hear how a proposal fared."""
        num_tried = min(num_drafted, num_accepted + 1)
        share = 0.5 ** (num_tried / _HALF_LIFE)
        self._chance = share * self._chance + (1 - share) * (num_accepted / num_tried)

    def _index(self, token_ids: Sequence[int]) -> None:
        """Enter every three tokens but the last, which are the question."""
        first = max(self._num_indexed, _NGRAM, len(token_ids) - _MOST_REMEMBERED)
        for end in range(first, len(token_ids)):
            self._followed[tuple(token_ids[end - _NGRAM : end])] = end
        self._num_indexed = max(self._num_indexed, len(token_ids))


def _best_length(chance: float, row_cost: float) -> int:
    """How many guesses bring the most tokens for the time: (1 + p + … + p^k) / (1 + k * row_cost)."""
    best, best_rate = 0, 1.0
    tokens, power = 1.0, 1.0
    for length in range(1, _MOST_DRAFTED + 1):
        power *= chance
        tokens += power
        rate = tokens / (1 + length * row_cost)
        if rate > best_rate:
            best, best_rate = length, rate
    return best
