"""How long steps take, learnt from those that ran; and so how much prompt a step may read, and whether it
pays to check guessed tokens.
"""

_WEIGHT = 0.25  # of the newest step in the running means
_FIRST_CHUNK = 64
_GRAIN = 16  # chunks are multiples of it, for kernels that work on so many rows at a time
_LEAST_CHUNK = 8  # where that takes too long; less would hardly go faster
_FIRST_ROW_COST = 0.4


class Pace:
    """`step_s` is what a step may take; None reads prompts in steps of any length."""

    def __init__(self, step_s: float | None) -> None:
        self._step_s = step_s
        self._decode_s: dict[int, float] = {}  # by the number of rows
        self._prompt_token_s: float | None = None
        self.row_cost = _FIRST_ROW_COST  # of another row in a decoding step, in steps of one row

    def observe(self, *, num_rows: int, num_prompt_tokens: int, elapsed_s: float) -> None:
        """Learn from a step of `num_rows` generated or guessed tokens and so many of prompts."""
        if num_prompt_tokens == 0:
            self._decode_s[num_rows] = _mean(self._decode_s.get(num_rows), elapsed_s)
            self._learn_row_cost(num_rows)
            return
        if num_prompt_tokens < _LEAST_CHUNK:
            return  # the weights are read for a few tokens as for many: such a step says little
        prompt_s = max(elapsed_s - self._decode_time(num_rows), 0.1 * elapsed_s)
        self._prompt_token_s = _mean(self._prompt_token_s, prompt_s / num_prompt_tokens)

    def prompt_tokens(self, *, num_rows: int, most: int) -> int:
        """Prompt tokens to compute beside so many rows: 8 at least, `most` at most."""
        if self._step_s is None:
            return most
        if self._prompt_token_s is None:
            return min(most, _FIRST_CHUNK)
        left_s = self._step_s - self._decode_time(num_rows)
        num_tokens = int(left_s / self._prompt_token_s)
        if num_tokens >= _GRAIN:
            num_tokens -= num_tokens % _GRAIN
        return min(most, max(_LEAST_CHUNK, num_tokens))

    def _decode_time(self, num_rows: int) -> float:
        """What a step of so many rows takes; from the nearest known number of rows."""
        if num_rows == 0 or not self._decode_s:
            return 0.0
        nearest = min(self._decode_s, key=lambda known: abs(known - num_rows))
        return self._decode_s[nearest]

    def _learn_row_cost(self, num_rows: int) -> None:
        alone_s = self._decode_s.get(1)
        if num_rows > 1 and alone_s:
            extra = self._decode_s[num_rows] / alone_s - 1
            self.row_cost = _mean(self.row_cost, min(1.0, max(0.02, extra / (num_rows - 1))))


def _mean(before: float | None, now: float) -> float:
    return now if before is None else (1 - _WEIGHT) * before + _WEIGHT * now
