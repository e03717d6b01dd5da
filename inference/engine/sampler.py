"""The next token of one sequence from its logits. What is drawn depends on logits, parameters, seed, position
and the tokens so far, and on nothing else.

Written for vocabularies of 150,000 tokens: one core passes over the logits as few times as it can, and sorts
only what may be chosen.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from inference.engine.sequence import SamplingParams, TokenLogprob

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

_FEW = 64  # so many weights are summed up faster in a loop than by numpy
_NUM_GROUPS = 512  # the maxima of so many groups of logits bound the largest ones from below
_FIRST_RANKED = 128  # a nucleus is sought among so many of the likeliest first
_LOG_RAREST = -24.0  # what is e^24 times rarer than the likeliest token need not be reached
_MANY = 16  # a share of the vocabulary is many from one in so many on
_TINIEST = 1e-6  # of temperatures and penalties that are divided by: smaller ones would lead out of fp32


class NothingAllowed(Exception):
    """The constraint allows no token that the model has."""


class Sampler:
    """The parameters and counts of one sequence."""

    def __init__(
        self, params: SamplingParams, *, prompt_ids: Sequence[int], seed: int, vocab_size: int
    ) -> None:
        """Raises ValueError for a bias on a token that the model does not have."""
        if not all(0 <= token_id < vocab_size for token_id in params.logit_bias):
            raise ValueError(f"logit_bias names token ids from 0 to {vocab_size - 1}")
        self._params = params
        self._seed = seed.to_bytes(8, "little")
        self._has_penalties = params.presence_penalty != 0 or params.frequency_penalty != 0
        self._offsets: Floats | None = None  # what is added to each logit
        self._seen: NDArray[np.bool_] | None = None  # what the repetition penalty is for
        if self._has_penalties or params.logit_bias:
            self._offsets = np.zeros(vocab_size, np.float32)
            for token_id, bias in params.logit_bias.items():
                self._offsets[token_id] = bias
        if params.repetition_penalty != 1:
            self._seen = np.zeros(vocab_size, np.bool_)
            self._seen[list(prompt_ids)] = True
        self._said: set[int] = set()

    def count(self, token_ids: Sequence[int]) -> None:
        """Hear the tokens that were appended to the output."""
        if self._seen is not None:
            self._seen[list(token_ids)] = True
        if self._offsets is None or not self._has_penalties:
            return
        for token_id in token_ids:
            self._offsets[token_id] -= self._params.frequency_penalty
            if token_id not in self._said:
                self._said.add(token_id)
                self._offsets[token_id] -= self._params.presence_penalty

    def draw(self, logits: Floats, *, position: int, mask: NDArray[np.uint32] | None = None) -> int:
        """A token from finite logits [vocab_size], which stay as they are. Raises NothingAllowed."""
        params = self._params
        logits = self._adjusted(logits, mask)
        if params.temperature <= 0 or params.top_k == 1:
            return int(logits.argmax())
        uniform = self._uniform(position)
        if 0 < params.top_k <= _FEW:
            few = _largest(logits, params.top_k)
            return int(few[_pick_ranked(_weights(logits[few], params.temperature).tolist(), params, uniform)])
        if params.top_k > 0:
            ids: Ids | None = _largest(logits, params.top_k)
        else:
            ids = _likely(logits, params.temperature * max(_LOG_RAREST, _log(params.min_p)))
        weights = _weights(logits if ids is None else logits[ids], params.temperature)
        if params.min_p > 0:
            np.multiply(weights, weights >= params.min_p, out=weights)
        if params.top_p < 1:
            kept = _nucleus(weights, params.top_p)
            ids, weights = kept if ids is None else ids[kept], weights[kept]
        index = _pick(weights, uniform)
        return index if ids is None else int(ids[index])

    def logprob(self, logits: Floats, token_id: int) -> TokenLogprob:
        """How likely the model held a token, and what it held likeliest."""
        top = float(logits.max())
        total = top + math.log(float(np.exp(logits - top).sum(dtype=np.float64)))
        wanted = min(self._params.num_logprobs or 0, _NUM_GROUPS)
        likeliest = _largest(logits, wanted) if wanted else ()
        return TokenLogprob(
            logprob=float(logits[token_id]) - total,
            top=[(int(id_), float(logits[id_]) - total) for id_ in likeliest],
        )

    def _adjusted(self, logits: Floats, mask: NDArray[np.uint32] | None) -> Floats:
        """After the penalties (CTRL's over prompt and output, OpenAI's over the output), bias and
        constraint.
        """
        if mask is None and self._seen is None and self._offsets is None:
            return logits
        logits = logits.copy()
        if self._seen is not None:
            seen = np.flatnonzero(self._seen)
            before, factor = logits[seen], np.float32(max(self._params.repetition_penalty, _TINIEST))
            logits[seen] = np.where(before > 0, before / factor, before * factor)
        if self._offsets is not None:
            logits += self._offsets
        if mask is not None:
            _forbid(logits, mask)
        return logits

    def _uniform(self, position: int) -> float:
        """A number in [0, 1) made from seed and position: the same in any batch, order or process."""
        digest = blake2b(position.to_bytes(8, "little"), digest_size=8, key=self._seed).digest()
        return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


def is_finite(logits: Floats) -> bool:
    """Whether every logit is a number."""
    return bool(np.isfinite(logits).all())


def _forbid(logits: Floats, mask: NDArray[np.uint32]) -> None:
    """Make impossible what a bitmask does not allow. Raises NothingAllowed."""
    bits = np.unpackbits(mask.view(np.uint8), bitorder="little")[: len(logits)]
    if not bits.any():
        raise NothingAllowed
    np.copyto(logits[: len(bits)], -np.inf, where=bits == 0)
    logits[len(bits) :] = -np.inf


def _largest(logits: Floats, count: int) -> Ids:
    """The ids of the `count` largest logits, from the largest down, the lower id first among equals; less
    where fewer are possible at all.
    """
    width = len(logits) // _NUM_GROUPS
    if width == 0 or count > _NUM_GROUPS:
        return np.argsort(-logits, kind="stable")[:count]
    # At least `count` logits are as large as the `count`-th largest of the groups' maxima.
    maxima = logits[: width * _NUM_GROUPS].reshape(width, _NUM_GROUPS).max(axis=0)
    bound = np.partition(maxima, _NUM_GROUPS - count)[_NUM_GROUPS - count]
    ids = np.flatnonzero(logits >= bound if bound > -np.inf else logits > bound)
    return ids[np.argsort(-logits[ids], kind="stable")[:count]]


def _likely(logits: Floats, distance: float) -> Ids | None:
    """The ids of those that lie at most so far (a negative number) from the largest; None for most of
    them, when picking them out would cost more than it saves.
    """
    is_likely = logits >= logits.max() + distance
    if _MANY * np.count_nonzero(is_likely) > len(logits):
        return None
    return np.flatnonzero(is_likely)


def _nucleus(weights: Floats, top_p: float) -> Ids:
    """Where the fewest and largest weights stand that sum up to top_p of all, in their order. Of equal ones
    at the edge the first belong to it.
    """
    goal = top_p * float(weights.sum(dtype=np.float64))
    falling = _falling(weights, goal)
    # The token that carries the sum over top_p belongs to the nucleus.
    count = min(int(np.searchsorted(falling.cumsum(dtype=np.float64), goal)) + 1, len(falling))
    least = falling[count - 1]
    kept = np.flatnonzero(weights >= least)
    surplus = len(kept) - count
    if surplus > 0:
        edge = np.flatnonzero(weights[kept] == least)
        kept = np.delete(kept, edge[len(edge) - surplus :])
    return kept


def _falling(weights: Floats, goal: float) -> Floats:
    """Weights from the largest down: so many at least that they sum up to `goal`, or all."""
    if len(weights) > 4 * _NUM_GROUPS:
        largest = weights[_largest(weights, _FIRST_RANKED)]
        if float(largest.sum(dtype=np.float64)) >= goal:
            return largest
    return np.sort(weights)[::-1]


def _weights(logits: Floats, temperature: float) -> Floats:
    """Probabilities relative to the likeliest token's."""
    scaled: Floats = logits - logits.max()
    scaled *= np.float32(1 / max(temperature, _TINIEST))
    np.exp(scaled, out=scaled)
    return scaled


def _pick_ranked(weights: list[float], params: SamplingParams, uniform: float) -> int:
    """As the filters and `_pick` together, for a few weights from the largest down."""
    allowed = [weight for weight in weights if weight >= params.min_p]
    goal = params.top_p * sum(allowed)
    running: list[float] = []
    for passed in accumulate(allowed):
        running.append(passed)
        if passed >= goal:
            break
    return min(bisect_right(running, uniform * running[-1]), len(running) - 1)


def _pick(weights: Floats, uniform: float) -> int:
    """The index at which the running sum of `weights` passes the share `uniform` of their total."""
    width = max(1, math.isqrt(len(weights)))
    starts = np.arange(0, len(weights), width)
    running = np.add.reduceat(weights, starts, dtype=np.float64).cumsum()
    goal = uniform * float(running[-1])
    part = min(int(np.searchsorted(running, goal, side="right")), len(running) - 1)
    within = weights[part * width : (part + 1) * width].cumsum(dtype=np.float64)
    index = int(np.searchsorted(within, goal - (float(running[part - 1]) if part else 0.0), side="right"))
    index = part * width + min(index, len(within) - 1)
    # Rounding may end up behind the last possible token.
    while weights[index] == 0:
        index -= 1
    return index


def _log(share: float) -> float:
    return math.log(min(share, 1.0)) if share > 0 else -math.inf
