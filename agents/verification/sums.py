"""Arithmetic that a text states, such as "12 × 7 = 84", worked out again. Nothing is evaluated as code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from agents.tools import arithmetic
from agents.verification import dates

_CURRENCY = r"[$€£¥₹]?\s?"
_UNIT = r"(?:\s?(?:%|km|cm|mm|kg|m|g|s|h|ms|°C|[A-Z]{3})(?![A-Za-z]))?"
_NUMBER = rf"{_CURRENCY}\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?{_UNIT}|{_CURRENCY}\d+(?:\.\d+)?{_UNIT}"
_OPERATOR = r"(?:\*\*|[-+*/×·÷−^]|(?<=\s)x(?=\s))"
_ATOM = rf"[-−]?\(*\s*[-−]?(?:{_NUMBER})!?\s*\)*"
_SIDE = rf"{_ATOM}(?:\s*{_OPERATOR}\s*{_ATOM})*"
_NOTHING_AROUND = (r"(?<![\w.,)^*/×·÷+=-])", r"(?![\w(^]|\s*[*/×·÷^+]|,\d|\.\d)")
_STATED = re.compile(rf"(?:{_SIDE})(?:\s*[=≈]\s*(?:{_SIDE}))+".join(_NOTHING_AROUND))
_SHARE = re.compile(
    rf"({_NUMBER})\s?%\s+of\s+({_NUMBER})\s*(?:=|≈|is|are)\s*({_NUMBER})(?![\w.])", re.IGNORECASE
)
_OTHER_SYSTEM = re.compile(r"\b(?:binary|base|hex\w*|octal|mod(?:ulo)?|≡)\b", re.IGNORECASE)
_LATEX = (
    (r"(?<![\w*])\*\*(?=\S)([^*\n]+)\*\*(?![\w*])", r"\1"),  # bold
    (r"\\(?:times|cdot)\b", "×"),
    (r"\\div\b", "÷"),
    (r"\\approx\b", "≈"),
    (r"\\[()]|\$(?=\S[^$]*=)|\\,", " "),
)
_SLACK = Fraction(1, 10**9)


@dataclass(frozen=True, kw_only=True)
class Sum:
    """What the text states, what comes out, and whether that is the same as far as it is written out."""

    stated: str
    result: Fraction
    told: Fraction
    holds: bool


def find(text: str) -> Iterator[Sum]:
    """Every piece of arithmetic that the text states in numbers. What cannot be worked out is left out."""
    for pattern, sign in (*_LATEX, *((re.escape(date.text), "␣") for date in dates.find(text))):
        text = re.sub(pattern, sign, text)
    if _OTHER_SYSTEM.search(text):
        return
    for match in _STATED.finditer(text):
        if text[: match.start()].rstrip().endswith(tuple("+-−*/×·÷^")):
            continue  # the end of a longer expression with names in it
        first, *others = (side.strip() for side in re.split(r"[=≈]", match[0]))
        for left, right in zip([first, *others], others, strict=False):
            yield from _worked_out(left, right)
    for match in _SHARE.finditer(text):
        yield from _worked_out(f"{match[1]} / 100 * {match[2]}", match[3], stated=match[0])


def _worked_out(left: str, right: str, *, stated: str = "") -> Iterator[Sum]:
    numbers = [side for side in (left, right) if _is_number(side)]
    if len(numbers) == 2:
        return
    try:
        result, told = _value(left), _value(right)
    except arithmetic.ArithmeticFault:
        return
    slack = max((_resolution(side) / 2 for side in numbers), default=Fraction(0))
    holds = abs(result - told) <= max(slack, abs(result) * _SLACK)
    yield Sum(stated=stated or f"{left} = {right}", result=result, told=told, holds=holds)


def _value(side: str) -> Fraction:
    plain = re.sub(r"[$€£¥₹,]|(?<=\d)" + _UNIT[:-1], "", side)
    plain = re.sub(r"(?<=\s)x(?=\s)", "*", plain)
    result = arithmetic.evaluate(plain.strip())
    assert isinstance(result, arithmetic.Number)
    return result.value


def _is_number(side: str) -> bool:
    return re.fullmatch(rf"[-−]?(?:{_NUMBER})", side.strip()) is not None


def _resolution(side: str) -> Fraction:
    """The worth of one in the last digit."""
    _, _, decimals = re.sub(r"[^\d.]", "", side).partition(".")
    return Fraction(1, 10 ** len(decimals)) if decimals else Fraction(0)
