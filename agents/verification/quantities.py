"""Numbers, dates and measures in running text, and whether one says the same as another. English and Chinese.

Pure, and lenient where a writer may be: rounding, other units of the same dimension, words for digits.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from agents.verification import dates, numerals, units
from agents.verification.dates import Date
from agents.verification.units import PERCENT, Unit

ROUNDING_SHARE = Fraction(12, 100)  # that a rounded number may be off
ABOUT_SHARE = Fraction(5, 100)
CALENDAR_SHARE = Fraction(2, 100)
BOUND_SHARE = Fraction(1, 2)
_HEDGED_SHARES = {"about": Fraction(6, 100), "over": BOUND_SHARE, "under": BOUND_SHARE}


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number as written at [start, end). `resolution` is the worth of one in its last digit; `unit` None
    where none is known; `hedge`: about, over, under or nothing. A decade ("1990s") `spans` ten years."""

    start: int
    end: int
    text: str
    value: Fraction
    resolution: Fraction
    unit: Unit | None = None
    hedge: str = ""
    spans: int = 0

    @property
    def in_first_unit(self) -> Fraction:
        return self.unit.to_first(self.value) if self.unit else self.value

    @property
    def rounded_to(self) -> Fraction:
        """What it may have been rounded to when it was converted: 160 km for 100 miles, to tens."""
        resolution = self.resolution
        while self.value and (self.value / (resolution * 10)).denominator == 1:
            resolution *= 10
        return resolution

    @property
    def is_bare(self) -> bool:
        """A small whole number without a unit, as in "two reasons" or "step 3"."""
        return self.unit is None and self.value.denominator == 1 and self.value <= 10


@dataclass(frozen=True, kw_only=True)
class Literal:
    """What is a number and yet no quantity: 3.11.2, 14:30, 192.168.0.1. It is the same or it is not."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Found:
    quantities: tuple[Quantity, ...] = ()
    dates: tuple[Date, ...] = ()
    literals: tuple[Literal, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.quantities or self.dates or self.literals)


_LITERAL = re.compile(r"(?<![\w.])(?:\d+(?:\.\d+){2,}|\d{1,2}:\d{2}(?::\d{2})?)(?![\w:]|\.\d)")
_DIGITS = r"\d{1,3}(?:[,\u00a0\u202f']\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(
    rf"(?<![\w.])(?<![A-Za-z]-)(?P<digits>{_DIGITS})"
    r"(?:\s?[×x*]\s?10(?:\^|\*\*)?(?P<exponent>[⁻−-]?[\d⁰¹²³⁴-⁹]{1,3})|e(?P<e>[+-]?\d{1,3})(?!\w))?",
    re.ASCII | re.IGNORECASE,
)
_SCALE = re.compile(
    rf"[ \u00a0-]?(?:(?P<word>(?i:{numerals.BIG}))(?![A-Za-z])"
    r"|(?P<mark>(?:mn|bn|k|K|M|B|m)(?![A-Za-z0-9²³/]))|(?P<chinese>万亿|百万|千万|亿|億|万|萬|千|百))"
)
_PERCENT_OF = re.compile(r"百分之(\d+(?:\.\d+)?|[零一二两三四五六七八九十百]+)")
_UNCOUNTED = re.compile(
    r"(?:\b(?:step|figure|fig\.?|table|chapter|section|part|item|note|question|page|p\.|pp\.|version|v|no\.|phase|"
    r"level|option|point)\s*|第|#|№\s?)$",
    re.IGNORECASE,
)
_NAMED = re.compile(r"(?:st|nd|rd|th)?[ -](?:century|centuries)|世纪|(?:st|nd|rd|th)\b")
_DECADE = re.compile(r"['’]?s\b|年代")
_HEDGES = tuple(
    (name, re.compile(rf"(?:{words})\s*[$€£]?$", re.IGNORECASE))
    for name, words in (
        ("about", r"about|around|roughly|approximately|approx\.?|circa|some|~|≈|∼|约|大约|左右"),
        ("over", "over|more than|at least|above|exceeding|exceeds|exceeded|超过|逾|多于|至少"),
        ("under", "under|less than|fewer than|below|nearly|almost|up to|不到|近|少于|最多"),
    )
)
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--")


def find(text: str, *, in_words: bool = False) -> Found:
    """The numbers of the text in order, dates apart; with `in_words` those too that are written as words.

    Digits that belong to a name (GPT-4, H2O) and numbers that only count places (step 3, page 12) are none.
    """
    found_dates = tuple(dates.find(text))
    rest = _without(text, found_dates)
    literals = tuple(Literal(start=m.start(), end=m.end(), text=m[0]) for m in _LITERAL.finditer(rest))
    rest = _without(rest, literals)
    quantities = list(_percents(rest))
    rest = _without(rest, quantities)
    quantities += _in_digits(rest)
    rest = _without(rest, quantities)
    quantities += _in_words(rest, only_scaled=not in_words)
    return Found(
        quantities=tuple(sorted(quantities, key=lambda quantity: quantity.start)),
        dates=found_dates,
        literals=literals,
    )


def _without(text: str, spans: Iterable[Date | Literal | Quantity]) -> str:
    """The text with these places taken out of play, at its length."""
    characters = list(text)
    for span in spans:
        characters[span.start : span.end] = "␣" * (span.end - span.start)
    return "".join(characters)


def _percents(text: str) -> Iterator[Quantity]:
    for match in _PERCENT_OF.finditer(text):
        value = Fraction(match[1]) if match[1][0].isdigit() else Fraction(numerals.chinese(match[1]))
        yield Quantity(
            start=match.start(),
            end=match.end(),
            text=match[0],
            value=value,
            resolution=_resolution(match[1]) if match[1][0].isdigit() else Fraction(1),
            unit=Unit(PERCENT),
        )


def _in_digits(text: str) -> Iterator[Quantity]:
    for match in _NUMBER.finditer(text):
        before = text[max(0, match.start() - 12) : match.start()]
        if _NAMED.match(text, match.end()) or _UNCOUNTED.search(before) or _is_label(text, match):
            continue
        digits = re.sub(r"[^\d.]", "", match["digits"])
        exponent = int((match["exponent"] or match["e"] or "0").translate(_SUPERSCRIPT))
        scale, end = Fraction(10) ** exponent, match.end()
        if spelled := _SCALE.match(text, end):
            factor, is_unit = _scale_of(spelled, text, match.start())
            scale, end = (scale, end) if is_unit else (scale * factor, spelled.end())
        decade = _DECADE.match(text, end)
        unit, unit_end = (None, end) if decade else units.behind(text, end)
        yield Quantity(
            start=match.start(),
            end=unit_end,
            text=text[match.start() : unit_end].strip(),
            value=Fraction(digits) * scale,
            resolution=_resolution(digits) * scale,
            unit=unit or units.before(text, match.start()),
            hedge=_hedge(text, match.start()),
            spans=10 if decade else 0,
        )


def _is_label(text: str, match: re.Match[str]) -> bool:
    """Whether it only counts the parts of a sentence, as (1) and (2) do."""
    around = text[match.start() - 1 : match.start()] + text[match.end() : match.end() + 1]
    return around == "()" and len(match["digits"]) < 3


def _scale_of(match: re.Match[str], text: str, start: int) -> tuple[int, bool]:
    """The factor, and whether the letter is rather a unit: "5 m" is metres, "$5 m" is millions."""
    if match["mark"] and match["mark"] in "mMBkK" and not units.before(text, start):
        is_glued = match.start() == match.end() - 1
        return numerals.SCALES[match["mark"].lower()], match["mark"] == "m" or not is_glued
    word = match["word"] or match["mark"] or match["chinese"]
    return numerals.SCALES[word.lower()], False


def _resolution(digits: str) -> Fraction:
    _, _, decimals = digits.partition(".")
    return Fraction(1, 10 ** len(decimals))


def _hedge(text: str, start: int) -> str:
    before = text[max(0, start - 18) : start]
    return next((name for name, pattern in _HEDGES if pattern.search(before)), "")


def _in_words(text: str, *, only_scaled: bool) -> Iterator[Quantity]:
    for numeral in numerals.find(text):
        if only_scaled and not numeral.is_scaled:
            continue
        unit, end = units.behind(text, numeral.end)
        yield Quantity(
            start=numeral.start,
            end=end,
            text=text[numeral.start : end].strip(),
            value=numeral.value,
            resolution=numeral.resolution,
            unit=unit,
            hedge="about" if numeral.is_vague else _hedge(text, numeral.start),
        )


# ---- whether one says the same as another


def agrees(claim: Quantity, source: Quantity) -> bool:
    """Whether somebody who read `source` may write `claim`."""
    if claim.unit and source.unit:
        return _agree_in_units(claim, source)
    if PERCENT in (_dimension(claim), _dimension(source)) and claim.unit is None:
        return _close(claim, source.value, claim.value, claim.resolution)
    if _close(claim, source.value, claim.value, claim.resolution):
        return True
    # A share of 0.42 is 42 percent.
    return _dimension(claim) == PERCENT and _close(claim, source.value * 100, claim.value, claim.resolution)


def _dimension(quantity: Quantity) -> str:
    return quantity.unit.dimension if quantity.unit else ""


def _agree_in_units(claim: Quantity, source: Quantity) -> bool:
    assert claim.unit is not None
    assert source.unit is not None
    if claim.unit.dimension != source.unit.dimension:
        return False
    if claim.unit == source.unit:
        return _close(claim, source.value, claim.value, claim.resolution)
    value, told = claim.in_first_unit, source.in_first_unit
    if _close(claim, told, value, claim.rounded_to * claim.unit.factor):
        return True
    # Months and years have no exact length.
    return claim.unit.dimension == "time" and abs(value - told) <= abs(told) * CALENDAR_SHARE


def bands(claim: Quantity) -> Iterator[tuple[float, float]]:
    """Where any number lies that agrees with the claim: as written, in the first unit, or as a share of it
    where it is a percentage."""
    share = _HEDGED_SHARES.get(claim.hedge, CALENDAR_SHARE) + Fraction(1, 1000)
    factor = claim.unit.factor if claim.unit else Fraction(1)
    scaled = (
        (claim.value, Fraction(1)),
        (claim.in_first_unit, factor),
        (claim.value / 100, Fraction(1, 100)),
    )
    for value, scale in dict.fromkeys(scaled):
        slack = abs(value) * share + claim.rounded_to * scale / 2
        try:
            yield float(abs(value) - slack), float(abs(value) + slack + claim.spans)
        except OverflowError:
            yield math.inf, math.inf


def is_near(claim: Quantity, told: Fraction) -> bool:
    """Whether `claim` is `told`, as it may be rounded."""
    return _close(claim, told, claim.value, claim.resolution)


def resembles(claim: Quantity, source: Quantity) -> bool:
    """Whether one may be the other with a slip in it: within a tenth, or the same digits at another scale."""
    told, value = abs(source.value), abs(claim.value)
    if not told or not value:
        return False
    if abs(told - value) <= told / 10:
        return True
    digits = {f"{Decimal(n.numerator) / Decimal(n.denominator):.4e}".partition("e")[0] for n in (told, value)}
    return len(digits) == 1


def _close(claim: Quantity, told: Fraction, value: Fraction, resolution: Fraction) -> bool:
    told, value = abs(told), abs(value)
    if told == value:
        return True
    if claim.spans:
        return value <= told < value + claim.spans
    off = abs(told - value)
    if claim.hedge == "about" and off <= told * ABOUT_SHARE:
        return not _is_year(claim)
    if claim.hedge == "over" and value <= told <= value * (1 + BOUND_SHARE):
        return True
    if claim.hedge == "under" and value * (1 - BOUND_SHARE / 2) <= told <= value:
        return True
    # Rounded: to its last digit, and not beyond recognition.
    return off <= resolution / 2 and off <= told * ROUNDING_SHARE


def _is_year(quantity: Quantity) -> bool:
    return quantity.unit is None and quantity.resolution == 1 and 1000 <= quantity.value <= 2100
