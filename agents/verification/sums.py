"""Arithmetic that a text states, such as "12 × 7 = 84", worked out again. Nothing is evaluated as code."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from agents.tools import arithmetic
from agents.verification import dates

_CURRENCY = r"[$€£¥₹]?"
_UNIT = r"(?:\s?(?:%|km|cm|mm|kg|m|g|s|h|ms|°C|[A-Z]{3})(?![A-Za-z]))?"
_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,]*\d)|\d+(?:\.\d+)?"
_NUMBER = rf"{_CURRENCY}(?:{_DIGITS}){_UNIT}"
_TOKEN = re.compile(rf"(?P<number>{_NUMBER})|(?P<sign>\*\*|[-+*/×·÷−^()!]|(?<=\s)x(?=\s))|(?P<equals>[=≈])")
_SHARE = re.compile(
    rf"(?<![\w.,])({_NUMBER})\s+of\s+({_NUMBER})\s*(?:=|≈|is|are)\s*({_NUMBER})(?![\w.])", re.IGNORECASE
)
_OTHER_SYSTEM = re.compile(r"\b(?:binary|base|hex\w*|octal|mod(?:ulo)?|≡)\b", re.IGNORECASE)
_LATEX = (
    (r"(?<![\w*])\*\*(?=\S)([^*\n]+)\*\*(?![\w*])", r"\1"),  # bold
    (r"\\(?:times|cdot)\b", "×"),
    (r"\\div\b", "÷"),
    (r"\\approx\b", "≈"),
    (r"\\[()]|\\,", " "),
)
_OPERATORS = frozenset({"**", "*", "/", "×", "·", "÷", "^", "+", "-", "−", "x"})
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
    for run in _runs(text):
        first, *others = _sides(run)
        for left, right in zip([first, *others], others, strict=False):
            yield from _worked_out(left, right)
    for match in _SHARE.finditer(text):
        if "%" in match[1]:
            yield from _worked_out(f"{match[1]} / 100 * {match[2]}", match[3], stated=match[0])


def _runs(text: str) -> Iterator[list[str]]:
    """The longest rows of numbers, signs and equals that hold an equation and stand for themselves."""
    run: list[re.Match[str]] = []
    for match in [*_TOKEN.finditer(text), None]:
        if run and (match is None or _is_apart(run[-1], match, text)):
            if len(run) > 2 and any(token["equals"] for token in run) and _stands_alone(run, text):
                yield [token[0].strip() for token in run]
            run = []
        if match is not None:
            run.append(match)


def _is_apart(last: re.Match[str], match: re.Match[str], text: str) -> bool:
    gap = text[last.end() : match.start()]
    return bool(gap.strip()) or bool(last["number"] and match["number"])


def _stands_alone(run: Sequence[re.Match[str]], text: str) -> bool:
    """Whether it is no piece of something longer with names in it, as 2x + 3 = 7."""
    first, second = run[0], run[1]
    is_negative = first[0] in "-−" and first.end() == second.start()
    if first["sign"] in _OPERATORS and not is_negative:
        return False
    before, after = text[first.start() - 1 : first.start()], text[run[-1].end() : run[-1].end() + 1]
    return re.match(r"[\w.,]", before) is None and re.match(r"\w", after) is None


def _sides(run: Sequence[str]) -> list[str]:
    """What stands between the equals signs, without a full stop's "!" or brackets around the whole."""
    tokens = list(run)
    while tokens and (tokens[-1] in "!-−(" or tokens[-1] in _OPERATORS):
        tokens.pop()
    sides: list[list[str]] = [[]]
    for token in tokens:
        if token in "=≈":
            sides.append([])
        else:
            sides[-1].append(token)
    return [" ".join(_balanced(side)) for side in sides]


def _balanced(side: Sequence[str]) -> list[str]:
    """The side without brackets that are closed or opened outside it."""
    kept: list[str] = []
    opened: list[int] = []
    for token in side:
        if token == ")":
            if not opened:
                continue
            opened.pop()
        elif token == "(":
            opened.append(len(kept))
        kept.append(token)
    return [token for place, token in enumerate(kept) if place not in opened]


def _worked_out(left: str, right: str, *, stated: str = "") -> Iterator[Sum]:
    numbers = [side for side in (left, right) if _is_number(side)]
    if len(numbers) == 2 or not left or not right:
        return
    try:
        result, told = _value(left), _value(right)
    except arithmetic.ArithmeticFault:
        return
    slack = max((_resolution(side) / 2 for side in numbers), default=Fraction(0))
    holds = abs(result - told) <= max(slack, abs(result) * _SLACK)
    yield Sum(stated=stated or f"{left} = {right}", result=result, told=told, holds=holds)


def _value(side: str) -> Fraction:
    plain = re.sub(rf"[$€£¥₹,]|(?<=\d){_UNIT[:-1]}", "", side)
    plain = re.sub(r"(?<=\s)x(?=\s)", "*", plain)
    result = arithmetic.evaluate(plain.strip())
    if isinstance(result, arithmetic.Comparison):
        raise arithmetic.ArithmeticFault("A comparison has no value.")
    return result.value


def _is_number(side: str) -> bool:
    return re.fullmatch(rf"(?:[-−]\s*)?{_NUMBER}", side.strip()) is not None


def _resolution(side: str) -> Fraction:
    """The worth of one in the last digit."""
    _, _, decimals = re.sub(r"[^\d.]", "", side).partition(".")
    return Fraction(1, 10 ** len(decimals)) if decimals else Fraction(0)
