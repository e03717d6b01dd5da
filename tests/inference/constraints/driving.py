"""A model of random weights behind a constraint, and a script behind one: as the engine would drive it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from inference.constraints import building
from inference.constraints.building import Constraint
from inference.tokenizer.tokenizer import Tokenizer

# After so many tokens the random model mostly hurries to the end.
_WILD_TOKENS = 24
_HURRY = 0.7


def build(tokenizer: Tokenizer, **asked: Any) -> Constraint:
    """The constraint that these ask for, and there must be one."""
    constraint = building.build(tokenizer, **asked)
    assert constraint is not None
    return constraint


def allowed(constraint: Constraint, tokenizer: Tokenizer) -> set[int]:
    """The tokens that may come next."""
    mask = constraint.mask()
    if mask is None:
        return set(range(tokenizer.num_tokens))
    bits = np.unpackbits(mask.view(np.uint8), bitorder="little")[: tokenizer.num_tokens]
    return set(np.flatnonzero(bits).tolist())


def say(constraint: Constraint, tokenizer: Tokenizer, token_ids: Sequence[int]) -> list[int]:
    """Say these tokens; those that the constraint forces are said once. Returns the forced ones."""
    forced: list[int] = []
    for token_id in token_ids:
        while (ahead := constraint.forced()) and ahead[0] != token_id:
            constraint.accept(ahead)
            forced += ahead
        assert not constraint.is_finished, token_id
        assert token_id in allowed(constraint, tokenizer), tokenizer.token_bytes[token_id]
        constraint.accept([token_id])
    return forced


def sample(
    constraint: Constraint, tokenizer: Tokenizer, *, seed: int, max_tokens: int = 3000, hurry: float = _HURRY
) -> tuple[list[int], bool]:
    """A random walk through what is allowed: its tokens, and whether it came to an end.

    `hurry` is how often the model takes the shortest way there.
    """
    rng = np.random.default_rng(seed)
    ranks = _hurried_ranks(tokenizer)
    token_ids: list[int] = []
    while len(token_ids) < max_tokens:
        if constraint.is_finished:
            return token_ids, True
        if ahead := constraint.forced():
            constraint.accept(ahead)
            token_ids += ahead
            continue
        mask = constraint.mask()
        assert mask is not None
        bits = np.unpackbits(mask.view(np.uint8), bitorder="little")[: tokenizer.num_tokens]
        options = np.flatnonzero(bits)
        assert len(options), "a grammar that has not ended lets something come"
        if len(token_ids) > _WILD_TOKENS and rng.random() < hurry:
            options = options[ranks[options] == ranks[options].min()]
        token_id = int(rng.choice(options))
        if token_id in tokenizer.stop_ids:
            return token_ids, True
        constraint.accept([token_id])
        token_ids.append(token_id)
    return token_ids, False


def _hurried_ranks(tokenizer: Tokenizer) -> np.ndarray:
    """How soon each token leads to the end: stops and closing marks first, then the rest, space last."""
    order = (b'"', b"}", b"]", b",", b":")
    ranks = np.full(tokenizer.num_tokens, len(order) + 1)
    for token_id, token in enumerate(tokenizer.token_bytes):
        if token in order:
            ranks[token_id] = 1 + order.index(token)
        elif not token.strip():
            ranks[token_id] += 1
    ranks[list(tokenizer.added.values())] = 0
    return ranks


def text_of(token_ids: Sequence[int], tokenizer: Tokenizer) -> str:
    return b"".join(tokenizer.token_bytes[token_id] for token_id in token_ids).decode(errors="replace")
