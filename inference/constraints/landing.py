"""Bringing a bound answer to its end before its length is spent: a call that is cut off is no call."""

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inference.tokenizer.marks import SPELLED
from inference.tokenizer.tokenizer import Tokenizer

Mask = NDArray[np.uint32]

# The end of a string and more, the end of anything else or a whole value that is empty, then what leads on to
# the next thing due.
_QUOTES = re.compile(rb"""\s*"["\]}]*\s*""")
_ENDS = re.compile(rb"""\s*(\[\]|\{\})?[\]}]*\s*""")
_LINKS = re.compile(rb"""\s*["\]}]*[,:]\s*"?""")
# The share of an answer's length in which it is brought to its end, at most so many tokens.
_SHARE, _MOST_TOKENS = 0.5, 256


def begins_at(max_tokens: int) -> int:
    """How many tokens of so many an answer may take as it likes."""
    return max_tokens - min(int(max_tokens * _SHARE), _MOST_TOKENS)


def narrow(mask: Mask, tokenizer: Tokenizer) -> Mask:
    """Of the allowed tokens those that end something, else those that lead on, else all of them.

    Greedy, and no proof: a schema that demands more than the rest of the length holds is cut off still.
    """
    quotes, ends, links, letters = _kinds(tokenizer)
    allowed = mask[: len(quotes)]
    if (allowed & letters).any():
        # Within a string a brace is a letter like others.
        return narrowed if (narrowed := allowed & quotes).any() else mask
    return next((some for kind in (ends, quotes, links) if (some := allowed & kind).any()), mask)


@lru_cache(maxsize=4)
def _kinds(tokenizer: Tokenizer) -> tuple[Mask, ...]:
    section_end = tokenizer.added.get(SPELLED.section_end)
    texts = tokenizer.token_bytes
    is_quote, is_end, is_link = (
        np.array([bool(text.strip() and pattern.fullmatch(text)) for text in texts])
        for pattern in (_QUOTES, _ENDS, _LINKS)
    )
    is_end[[*tokenizer.stop_ids, *([] if section_end is None else [section_end])]] = True
    # Letters that begin no literal of JSON.
    is_letter = np.array([text in (b"q", b"Q", b"z", b"Z") for text in texts])
    return bits(is_quote), bits(is_end), bits(is_link), bits(is_letter)


def bits(is_set: NDArray[np.bool_]) -> Mask:
    """The mask of a flag for each token."""
    return np.packbits(np.pad(is_set, (0, -len(is_set) % 32)), bitorder="little").view(np.uint32)
