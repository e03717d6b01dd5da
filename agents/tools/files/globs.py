"""Paths by patterns, in a time that no pattern can make long."""

import fnmatch
from collections.abc import Sequence
from functools import cache

ANY_FOLDERS = "**"


def matches(path: str, pattern: str) -> bool:
    """`*` and `?` stay within a name, `**` is any number of folders; a pattern without a slash is held
    against the name alone."""
    pattern = pattern.removeprefix("./")
    if "/" not in pattern:
        return pattern == ANY_FOLDERS or fnmatch.fnmatchcase(path.rpartition("/")[2], pattern)
    return _matches(tuple(path.split("/")), tuple(part for part in pattern.split("/") if part))


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    @cache
    def fits(at: int, among: int) -> bool:
        if among == len(patterns):
            return at == len(names)
        if patterns[among] == ANY_FOLDERS:
            is_last = among == len(patterns) - 1
            return (is_last and at < len(names)) or any(
                fits(later, among + 1) for later in range(at, len(names) + 1)
            )
        return at < len(names) and fnmatch.fnmatchcase(names[at], patterns[among]) and fits(at + 1, among + 1)

    return fits(0, 0)
