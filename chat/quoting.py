"""Which words of a source an answer stands on: the quoted ones, else the sentence most like the one that
cites it. A help for the reader's eye, and no proof: that is the check's."""

import re
from collections.abc import Iterable, Sequence

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

LEAST_LIKE = 4  # shared words, a number counting three
EXCERPT_CHARS = 280
CARD_CHARS = 1600

_QUOTED = re.compile(r"[“\"「『]([^“”\"「」『』]{8,400})[”\"」』]")
_PIECE = re.compile(r"(?:[^.!?。！？\n]|\.(?=\S))+[.!?。！？]*")
_WORD = re.compile(r"[^\W_]+(?:[.,]\d+)*")
_CHINESE = re.compile(r"[\u3400-\u9fff]+")

Span = tuple[int, int]


def spans(text: str, sentences: Iterable[str]) -> list[Span]:
    """The places in the source, in order and apart, that these sentences of an answer stand on."""
    found = [span for sentence in sentences for span in _quotes(text, sentence) or _likest(text, sentence)]
    apart: list[Span] = []
    for start, end in sorted(found):
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart


def marked(text: str, spans: Sequence[Span]) -> SafeString:
    """The text as HTML with these places marked."""
    html, at = "", 0
    for start, end in spans:
        html += f"{escape(text[at:start])}<mark>{escape(text[start:end])}</mark>"
        at = end
    return mark_safe(html + escape(text[at:]))


def excerpt(text: str, spans: Sequence[Span]) -> SafeString:
    """A few lines of the text with its first marked place, or its beginning."""
    return _cut(text, spans[:1], most=EXCERPT_CHARS)


def around(text: str, spans: Sequence[Span]) -> SafeString:
    """As much of the text as a card holds, its marked places included where they are near each other."""
    return _cut(text, spans, most=CARD_CHARS)


def _cut(text: str, spans: Sequence[Span], *, most: int) -> SafeString:
    start = spans[0][0] if spans else 0
    first = start - most // 4 if len(text) > most else 0
    first = text.rfind(" ", 0, first) + 1 if first > 20 else 0
    last = min(len(text), first + most)
    inside = [(max(start, first) - first, min(end, last) - first) for start, end in spans if start < last]
    piece = marked(text[first:last], inside)
    return mark_safe(f"{'… ' if first else ''}{piece}{' …' if last < len(text) else ''}")


def _quotes(text: str, sentence: str) -> list[Span]:
    found = []
    for quote in _QUOTED.findall(sentence):
        words = r"\s+".join(re.escape(word) for word in quote.strip(" .,;:!?").split())
        if match := re.search(words, text, re.IGNORECASE):
            found.append(match.span())
    return found


def _likest(text: str, sentence: str) -> list[Span]:
    wanted = _words(sentence)
    best, place = LEAST_LIKE - 1, None
    for piece in _PIECE.finditer(text):
        score = sum(3 if word[0].isdigit() else 1 for word in wanted & _words(piece[0]))
        if score > best:
            best, place = score, piece
    if place is None:
        return []
    blank = len(place[0]) - len(place[0].lstrip())
    return [(place.start() + blank, place.end())]


def _words(text: str) -> set[str]:
    text = text.casefold()
    pairs = {run[at : at + 2] for run in _CHINESE.findall(text) for at in range(len(run) - 1)}
    words = _WORD.findall(_CHINESE.sub(" ", text))
    return pairs | {word for word in words if len(word) > 3 or word[0].isdigit()}
