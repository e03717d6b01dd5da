"""Finding markers in text that comes in pieces of any size."""

from collections.abc import Iterable
from typing import NamedTuple


class Found(NamedTuple):
    """`before` is clear of markers. Without a `marker`, `after` may be the start of one: keep it."""

    before: str
    marker: str
    after: str


def find(text: str, markers: Iterable[str], *, is_last: bool) -> Found:
    """The first marker in the text. With `is_last`, nothing is kept: no more text will come."""
    markers = tuple(markers)
    places = [(place, marker) for marker in markers if (place := text.find(marker)) >= 0]
    if places:
        # At one place the longest wins, so that a marker may be the start of another.
        place, marker = min(places, key=lambda found: (found[0], -len(found[1])))
        return Found(text[:place], marker, text[place + len(marker) :])
    num_kept = 0 if is_last else longest_start(text, markers)
    return Found(text[: len(text) - num_kept], "", text[len(text) - num_kept :])


def longest_start(text: str, markers: Iterable[str]) -> int:
    """How many characters at the end of the text could be the start of a marker."""
    longest = 0
    for marker in markers:
        for length in range(min(len(marker) - 1, len(text)), longest, -1):
            if text.endswith(marker[:length]):
                longest = length
                break
    return longest
