"""The short form of an answer, so that two that say the same are seen to be the same. Pure."""

import re
import unicodedata
from fractions import Fraction

from agents.verification import quantities, units
from agents.verification.dates import Date
from agents.verification.quantities import Quantity

SHORT_CHARS = 200  # an answer of one line that is no longer stands for itself

_LINE = re.compile(
    # "Final answer:" counts anywhere, "Answer:" where a line begins with it.
    r"(?:\bfinal\s+answer|最终答案|最後答案|^[\s>*_#`-]*(?:the\s+)?(?:answer|答案))(?:\s+is)?"
    r"[\s*_`]*[:：][\s*_`]*(?P<answer>\S.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*|__([^_\n]+)__")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_COMMAND = re.compile(r"\\(?:text|mathrm|mathbf|mathit|operatorname|boxed)\s*\{([^{}]*)\}")
_NOISE = re.compile(r"\\[,;:! ]|\\left|\\right|\\\(|\\\)|\\\[|\\\]|\$(?=\\|$)|(?<=\})\$|[*_`]{1,3}")
_MATH = re.compile(r"^\$+(.*?)\$+$")
_PREAMBLE = re.compile(
    r"^(?:(?:so|thus|therefore|hence)[,\s]+)?(?:the\s+)?(?:final\s+)?(?:answer|result)\s+(?:is|=)\s*[:：]?\s*|"
    r"^(?:it\s+is|it's)\s+|^答案(?:是|为)\s*",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"\b(?:a|an|the)\s+(?=\w)|\b(?:about|approximately|roughly)\s*$")
_OPERATOR = re.compile(r"\s*([+/<>=])\s*")
_RATIO = re.compile(r"^([-−+]?\d+)\s*/\s*(\d+)$")
_MINUS = "-−–"


def final_answer(text: str) -> str:
    """What the text gives as its answer: the last line that says so, what is boxed, what its last line has in
    bold, or the whole of a short text. Empty where it is a work of its own rather than an answer."""
    if lines := list(_LINE.finditer(text)):
        return str(lines[-1]["answer"]).strip()
    if (boxed := _last_boxed(text)) is not None:
        return boxed
    lines_said = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if not lines_said:
        return ""
    bold = [first or second for first, second in _BOLD.findall(lines_said[-1])]
    if len(bold) == 1:
        return str(bold[0]).strip()
    return lines_said[0] if len(lines_said) == 1 and len(lines_said[0]) <= SHORT_CHARS else ""


def normal(answer: str) -> str:
    """The same for answers that differ only in case, spaces, punctuation, markup, the writing of numbers, or
    units of one dimension: "**8,849 m.**" and "8.849 km"."""
    text = _plain(answer)
    if (ratio := _RATIO.match(text)) and int(ratio[2]):
        return str(Fraction(int(ratio[1].replace("−", "-")), int(ratio[2])))
    pieces, at = [], 0
    for start, end, canonical in _figures(text):
        pieces += [_words(units.BEFORE.sub("", text[at:start])), canonical]
        at = end
    pieces.append(_words(text[at:]))
    return _OPERATOR.sub(r"\1", " ".join(piece for piece in pieces if piece))


def _figures(text: str) -> list[tuple[int, int, str]]:
    """Where the text has a number or a date, and how that is written here."""
    found = quantities.find(text, in_words=True)
    figures = [(date.start, date.end, _date(date)) for date in found.dates]
    for quantity in found.quantities:
        is_negative = _is_negative(text, quantity)
        number = _number(quantity, is_negative=is_negative)
        figures.append((quantity.start - is_negative, quantity.end, number))
    return sorted(figures)


def _plain(answer: str) -> str:
    text = unicodedata.normalize("NFC", answer).strip()
    while (math := _MATH.match(text)) and math[1]:
        text = math[1].strip()
    text = _FRACTION.sub(r"\1/\2", text)
    while (simpler := _COMMAND.sub(r"\1", text)) != text:
        text = simpler
    text = text.replace("\\%", "%").replace("\\$", "$").replace("{,}", ",")
    text = " ".join(_NOISE.sub("", text).split())
    return _PREAMBLE.sub("", text).strip().rstrip(".。!！;；,，")


def _is_negative(text: str, quantity: Quantity) -> bool:
    """A minus right before the number, and nothing but a space or a bracket before that."""
    before = text[: quantity.start]
    return before.endswith(tuple(_MINUS)) and (len(before) == 1 or before[-2] in " (=[$€£")


def _number(quantity: Quantity, *, is_negative: bool) -> str:
    value = -quantity.value if is_negative else quantity.value
    if quantity.unit is None:
        return str(value)
    return f"{quantity.unit.to_first(value)} {quantity.unit.dimension}"


def _words(text: str) -> str:
    kept = "".join(character if character.isalnum() or character in "+/<>=" else " " for character in text)
    plain = unicodedata.normalize("NFKC", kept).casefold()
    return " ".join(_ARTICLE.sub(" ", plain).split())


def _last_boxed(text: str) -> str | None:
    """What stands between the braces of the last box, which may hold braces itself."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed{")
    for index in range(begin, len(text)):
        if text[index] == "}":
            if depth == 0:
                return text[begin:index].strip()
            depth -= 1
        depth += text[index] == "{"
    return None


def _date(date: Date) -> str:
    return "-".join(str(part) for part in (date.year, date.month, date.day) if part is not None)
