"""Bringing a bound answer to its end before its length is spent: a call that is cut off is no call."""

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inference.tokenizer.marks import SPELLED
from inference.tokenizer.tokenizer import Tokenizer

Mask = NDArray[np.uint32]

# The end of what is open in JSON, or a whole value that is empty; then what leads on to the next thing due.
_ENDS = re.compile(rb"""\s*(""|\[\]|\{\})?["\]}]*\s*""")
_LINKS = re.compile(rb"""\s*["\]}]*[,:]\s*"?""")
# The share of an answer's length in which it is brought to its end, at most so many tokens.
_SHARE, _MOST_TOKENS = 0.25, 256


def begins_at(max_tokens: int) -> int:
    """How many tokens of so many an answer may take as it likes."""
    return max_tokens - min(int(max_tokens * _SHARE), _MOST_TOKENS)


def narrow(mask: Mask, tokenizer: Tokenizer) -> Mask:
    """Of the allowed tokens those that end something, else those that lead on, else all of them.

    Greedy, and no proof: a schema that demands more than the rest of the length holds is cut off still.
    """
    for preferred in _preferred(tokenizer):
        narrowed = mask[: len(preferred)] & preferred
        if narrowed.any():
            return narrowed
    return mask


@lru_cache(maxsize=4)
def _preferred(tokenizer: Tokenizer) -> tuple[Mask, Mask]:
    ends = {*tokenizer.stop_ids, tokenizer.added.get(SPELLED.section_end)}
    is_end, is_link = (
        np.array([bool(text.strip() and pattern.fullmatch(text)) for text in tokenizer.token_bytes])
        for pattern in (_ENDS, _LINKS)
    )
    is_end[[token_id for token_id in ends if token_id is not None]] = True
    return bits(is_end), bits(is_link)


def bits(is_set: NDArray[np.bool_]) -> Mask:
    """The mask of a flag for each token."""
    return np.packbits(np.pad(is_set, (0, -len(is_set) % 32)), bitorder="little").view(np.uint32)
