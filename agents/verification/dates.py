"""Dates in running text, as far as they are given: 12 March 2024, March 2024, 2024-03-12, 2024年3月12日.
A year alone is a number."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NAMES = (
    "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug|september sep sept|"
    "october oct|november nov|december dec"
)
_MONTHS = {
    name: number
    for number, names in enumerate(
        _NAMES.split("|"),
        start=1,
    )
    for name in names.split()
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_YEAR = r"(?P<year>\d{4})"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?<![\d-])(?P<year>\d{4})-(?P<month>\d{2})(?:-(?P<day>\d{2}))?(?![\d-])",
        r"(?:(?P<year>\d{4})\s*年\s*)?(?P<month>\d{1,2})\s*月(?:\s*(?P<day>\d{1,2})\s*[日号])?",
        rf"(?<!\d)(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<name>{_MONTH})\.?(?:,? {_YEAR})?(?![\w])",
        rf"(?<![A-Za-z])(?P<name>{_MONTH})\.? {_DAY}(?:,? {_YEAR})?(?![\w])",
        rf"(?<![A-Za-z])(?P<name>{_MONTH})\.?,? (?:of )?{_YEAR}(?![\w])",
    )
)


@dataclass(frozen=True, kw_only=True)
class Date:
    start: int
    end: int
    text: str
    year: int | None
    month: int
    day: int | None


def find(text: str) -> Iterator[Date]:
    """Every date that names a month, in the order of the patterns."""
    taken: list[tuple[int, int]] = []
    for pattern in _PATTERNS:
        for match in pattern.finditer(text):
            date = _date(match)
            if date and not any(start < date.end and date.start < end for start, end in taken):
                taken.append((date.start, date.end))
                yield date


def agrees(claim: Date, source: Date) -> bool:
    """Whether all that `claim` says, `source` says too."""
    pairs = ((claim.year, source.year), (claim.month, source.month), (claim.day, source.day))
    return all(said is None or said == told for said, told in pairs)


def _date(match: re.Match[str]) -> Date | None:
    groups = match.groupdict()
    month = _MONTHS[groups["name"].lower()] if groups.get("name") else int(groups["month"])
    day = int(groups["day"]) if groups.get("day") else None
    if not 1 <= month <= 12 or (day is not None and not 1 <= day <= 31):
        return None
    year = int(groups["year"]) if groups.get("year") else None
    return Date(start=match.start(), end=match.end(), text=match[0], year=year, month=month, day=day)
