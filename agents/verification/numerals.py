"""Numbers written as words, English and Chinese: twenty-five, three million, 一百二十."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

SCALES = {
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "mn": 10**6,
    "bn": 10**9,
    "k": 10**3,
    "m": 10**6,
    "b": 10**9,
    "百": 100,
    "千": 10**3,
    "万": 10**4,
    "萬": 10**4,
    "百万": 10**6,
    "千万": 10**7,
    "亿": 10**8,
    "億": 10**8,
    "万亿": 10**12,
}
BIG = "hundred|thousand|million|billion|trillion"
_ONES = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen
"""
_SMALL = {word: value for value, word in enumerate(_ONES.split())}
_TIMES_TEN = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: value * 10 for value, word in enumerate(_TIMES_TEN.split(), start=2)}
_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"两": 2}

_WORD = "|".join([*_SMALL, *_TENS])
_ENGLISH = re.compile(
    rf"(?<![\w-])(?P<words>(?:(?:{_WORD})(?:[- ](?:{_WORD}))?|half a|a)[ -])?(?P<scale>{BIG})s?(?![A-Za-z])"
    rf"|(?<![\w-])(?:{_WORD})(?:-(?:{_WORD}))?(?![\w])",
    re.IGNORECASE,
)
_CHINESE = re.compile(r"[零一二两三四五六七八九十百千万亿]+")


@dataclass(frozen=True, kw_only=True)
class Numeral:
    """`is_scaled`: in hundreds or more; `is_vague`: "hundreds", with nothing before it."""

    start: int
    end: int
    value: Fraction
    resolution: Fraction
    is_scaled: bool = False
    is_vague: bool = False


def find(text: str) -> Iterator[Numeral]:
    for match in _ENGLISH.finditer(text):
        scale = match["scale"]
        yield Numeral(
            start=match.start(),
            end=match.end(),
            value=_english(match[0]),
            resolution=Fraction(SCALES[scale.lower()] if scale else 1),
            is_scaled=bool(scale),
            is_vague=bool(scale) and not match["words"],
        )
    for match in _CHINESE.finditer(text):
        value = Fraction(chinese(match[0]))
        scaled = any(character in SCALES for character in match[0])
        yield Numeral(
            start=match.start(), end=match.end(), value=value, resolution=Fraction(1), is_scaled=scaled
        )


def _english(words: str) -> Fraction:
    total = Fraction(0)
    has_number = False
    for word in re.split(r"[\s-]+", words.lower().strip(" -")):
        if word in _SMALL or word in _TENS:
            total, has_number = total + (_SMALL.get(word) or _TENS.get(word) or 0), True
        elif word == "half":
            total, has_number = Fraction(1, 2), True
        elif word.rstrip("s") in SCALES:
            total = (total if has_number else Fraction(1)) * SCALES[word.rstrip("s")]
    return total


def chinese(word: str) -> int:
    total = section = digit = 0
    for character in word:
        if character in "亿万":
            total = (total + section + digit) * SCALES[character]
            section = digit = 0
        elif character in "十百千":
            section += (digit or 1) * {"十": 10, "百": 100, "千": 1000}[character]
            digit = 0
        else:
            digit = _DIGITS[character]
    return total + section + digit
