"""An answer's Markdown as sentences with the citations each carries. Knows places, not truth: every offset is
one of the answer's text as it was given."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from agents import citations
from agents.citations import Marker


class Kind(StrEnum):
    PROSE = "prose"
    HEADING = "heading"
    ROW = "row"  # of a table
    QUOTE = "quote"  # a whole block quote
    ENTRY = "entry"  # of a list of sources at the end of an answer


@dataclass(frozen=True, kw_only=True)
class Link:
    start: int
    end: int
    address: str


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """[start, end) of the answer. `plain` is of the same length: code, marks, links' addresses and citations
    are blanks in it. `paragraph` tells which sentences stand together; `header` is a table row's."""

    start: int
    end: int
    text: str
    plain: str
    kind: Kind
    paragraph: int
    markers: tuple[Marker, ...] = ()
    links: tuple[Link, ...] = ()
    header: str = ""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The passages it cites."""
        return tuple(dict.fromkeys(number for marker in self.markers for number in marker.numbers))

    @property
    def states_something(self) -> bool:
        """Whether there is something in it that a source could support: no heading, question or bare
        word."""
        if self.kind in (Kind.HEADING, Kind.ENTRY):
            return False
        words = self.plain.rstrip(" \t\n*_)\"'”」")
        return not words.endswith(("?", "？", ":", "：")) and citations.num_words(words) >= 3


@dataclass(frozen=True, kw_only=True)
class _Block:
    start: int
    end: int
    kind: Kind
    header: str = ""


_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_HEADING = re.compile(r" {0,3}#{1,6}\s+")
_BULLET = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)、])\s+(?:\[[ xX]\]\s+)?")
_QUOTE = re.compile(r"\s*(?:>\s?)+")
_RULE = re.compile(r"\s*(?:[-*_=]\s*){3,}$")
_TABLE_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_ENTRY = re.compile(r"\s*(?:[-*+]\s+|\d{1,3}[.)]\s+)?(?:\[\d{1,4}\]|【\d{1,4}】):?\s+\S")
_SOURCES = re.compile(
    r"\b(sources?|references|citations|bibliography|footnotes)\b|来源|參考|参考|引用|資料|资料", re.I
)
_MATH = re.compile(r"\$\$.*?\$\$|\\\[.*?\\\]", re.DOTALL)
_CODE = re.compile(r"(?<!`)(?:`[^`\n]+`|``(?!`)[^\n]{1,1000}?``)(?!`)")
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>\n]{0,200}>")
_AUTOLINK = re.compile(r"<(https?://[^<>\s]+)>")
_LINK = re.compile(
    r"!?\[([^\[\]\n]*)\]\(\s*<?([^()\s<>]*(?:\([^()\s]*\)[^()\s<>]*)*)>?(?:\s+\"[^\"]*\")?\s*\)"
)
_ADDRESS = re.compile(r"https?://[^\s<>\"'`\[\]{}|\\^，。；、）】」]+")

_END = re.compile(r"[.!?…]+[\"'”’»)*_]*(?=\s|$)|[。！？]+[\"'”’」』）*_]*|\n\s*\n")
_ABBREVIATIONS = """
    e.g i.e etc vs cf approx ca no nos fig figs eq dr mr mrs ms prof st jr sr inc ltd co corp al vol p pp ed
    est gen gov sen rep dept u.s u.k u.n jan feb mar apr jun jul aug sep sept oct nov dec art sec ch
"""
_SHORT = frozenset(_ABBREVIATIONS.split())
_LAST_WORD = re.compile(r"([A-Za-z][A-Za-z.]*)$")


def split(answer: str) -> list[Sentence]:
    """The sentences of the answer, in order: prose and list items by sentence, headings, table rows and block
    quotes as wholes. Code and displayed formulas are left out."""
    masked = _Mask(answer)
    blocks = list(_blocks(answer, masked))
    links = list(masked.take_links())
    found = [] if not blocks else list(citations.markers(masked.text))
    for marker in found:
        masked.blank(marker.start, marker.end)
    sentences: list[Sentence] = []
    for paragraph, block in enumerate(blocks):
        for start, end in _merged(_spans(masked.text, block, found), answer):
            sentences.append(
                Sentence(
                    start=start,
                    end=end,
                    text=answer[start:end],
                    plain=masked.text[start:end],
                    kind=block.kind,
                    paragraph=paragraph,
                    markers=tuple(marker for marker in found if start <= marker.start < end),
                    links=tuple(link for link in links if start <= link.start < end),
                    header=block.header,
                )
            )
    return sentences


class _Mask:
    """The answer with what is no running text blanked out, at its length."""

    def __init__(self, answer: str) -> None:
        self.text = answer
        self._blank_all(_MATH)

    def blank(self, start: int, end: int) -> None:
        self.text = f"{self.text[:start]}{' ' * (end - start)}{self.text[end:]}"

    def take_links(self) -> Iterator[Link]:
        """Blank code, tags and links' addresses; the words of a link stay."""
        self._blank_all(_CODE)
        for pattern, group in ((_LINK, 2), (_AUTOLINK, 1), (_ADDRESS, 0)):
            for match in list(pattern.finditer(self.text)):
                address = match[group].rstrip(".,;:!?*_")
                if re.match("https?://", address):
                    yield Link(start=match.start(), end=match.end(), address=address)
                self._keep_words(match, 1 if pattern is _LINK else None)
        self._blank_all(_TAG)

    def _keep_words(self, match: re.Match[str], group: int | None) -> None:
        if group is None:
            self.blank(match.start(), match.end())
            return
        self.blank(match.start(), match.start(group))
        self.blank(match.end(group), match.end())

    def _blank_all(self, pattern: re.Pattern[str]) -> None:
        self.text = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), self.text)


# ---- blocks


@dataclass(frozen=True)
class _Line:
    start: int
    end: int
    text: str


def _lines(text: str) -> list[_Line]:
    lines, at = [], 0
    for raw in text.splitlines(keepends=True):
        lines.append(_Line(at, at + len(raw.rstrip("\r\n")), raw.rstrip("\r\n")))
        at += len(raw)
    return lines


def _blocks(answer: str, masked: _Mask) -> Iterator[_Block]:
    """The blocks of the answer; what leads a line (bullets, quote marks) and code is blanked on the way."""
    reader = _Reader(_lines(masked.text), masked)
    while not reader.is_done:
        yield from reader.next_block()


class _Reader:
    """Reads Markdown block by block."""

    def __init__(self, lines: list[_Line], masked: _Mask) -> None:
        self._lines = lines
        self._masked = masked
        self._at = 0
        self._above = ""  # the last heading, or line that announces what follows

    @property
    def is_done(self) -> bool:
        return self._at >= len(self._lines)

    @property
    def _line(self) -> _Line:
        return self._lines[self._at]

    def next_block(self) -> Iterable[_Block]:
        line = self._line
        if not line.text.strip() or _RULE.match(line.text):
            self._at += 1
            return ()
        if fence := _FENCE.match(line.text):
            return self._skip_code(fence[1])
        if match := _HEADING.match(line.text):
            return [self._take_line(Kind.HEADING, lead=match.end())]
        if self._is_table():
            return self._table()
        if _QUOTE.match(line.text):
            return [self._quote()]
        if self._is_entry(line.text):
            return [self._take_line(Kind.ENTRY)]
        return self._paragraph()

    def _is_entry(self, text: str) -> bool:
        """Whether the line names a source, rather than being a sentence that begins with a citation."""
        return _ENTRY.match(text) is not None and bool(_ADDRESS.search(text) or _SOURCES.search(self._above))

    def _take_line(self, kind: Kind, *, lead: int = 0, header: str = "") -> _Block:
        line = self._line
        if kind is Kind.HEADING or line.text.rstrip(" *_").endswith((":", "：")):
            self._above = line.text
        self._masked.blank(line.start, line.start + lead)
        self._at += 1
        return _Block(start=line.start + lead, end=line.end, kind=kind, header=header)

    def _skip_code(self, fence: str) -> Iterable[_Block]:
        begin = self._at
        self._at += 1
        while not self.is_done and not self._line.text.strip().startswith(fence):
            self._at += 1
        self._at += 1
        for line in self._lines[begin : self._at]:
            self._masked.blank(line.start, line.end)
        return ()

    def _is_table(self) -> bool:
        following = self._lines[self._at + 1].text if self._at + 1 < len(self._lines) else ""
        return "|" in self._line.text and "-" in following and _TABLE_RULE.match(following) is not None

    def _table(self) -> Iterator[_Block]:
        header = self._line.text.strip()
        yield self._take_line(Kind.HEADING)
        self._at += 1
        while not self.is_done and "|" in self._line.text:
            yield self._take_line(Kind.ROW, header=header)

    def _quote(self) -> _Block:
        begin = end = self._line
        while not self.is_done and (match := _QUOTE.match(self._line.text)):
            end = self._line
            self._masked.blank(end.start, end.start + match.end())
            self._at += 1
        return _Block(start=begin.start, end=end.end, kind=Kind.QUOTE)

    def _paragraph(self) -> Iterable[_Block]:
        """Lines up to an empty one, a list item or another block."""
        if re.match(r" {4,}|\t", self._line.text) and self._follows_nothing():
            return self._skip_line()
        bullet = _BULLET.match(self._line.text)
        first = self._take_line(Kind.PROSE, lead=bullet.end() if bullet else 0)
        end = first.end
        while not self.is_done and self._goes_on(self._line.text):
            end = self._line.end
            self._at += 1
        return [_Block(start=first.start, end=end, kind=Kind.PROSE)]

    def _follows_nothing(self) -> bool:
        """Whether the indented line is code: no list before it that it could belong to."""
        earlier = [line.text for line in self._lines[: self._at] if line.text.strip()]
        return not earlier or not (_BULLET.match(earlier[-1]) or earlier[-1].startswith((" ", "\t")))

    def _skip_line(self) -> Iterable[_Block]:
        self._masked.blank(self._line.start, self._line.end)
        self._at += 1
        return ()

    def _goes_on(self, text: str) -> bool:
        leads = (_FENCE, _HEADING, _BULLET, _QUOTE)
        if not text.strip() or self._is_table() or self._is_entry(text):
            return False
        return not any(lead.match(text) for lead in leads)


# ---- sentences of a block


def _spans(text: str, block: _Block, markers: list[Marker]) -> Iterator[tuple[int, int]]:
    start = block.start
    if block.kind is Kind.PROSE:
        for match in _END.finditer(text, block.start, block.end):
            if match.start() < start or not _ends(text, match, block):
                continue
            end = _with_markers(text, match.end(), block.end, markers)
            yield start, end
            start = end
    yield start, block.end


def _ends(text: str, match: re.Match[str], block: _Block) -> bool:
    """Whether a sentence ends here, and not an abbreviation, an initial or a half of an ellipsis."""
    rest = text[match.end() : block.end].lstrip()
    if not rest or match[0][0] in "。！？\n":
        return True
    if rest[0].islower():
        return False
    if not match[0].startswith(".") or match[0].startswith(".."):
        return True
    word = _LAST_WORD.search(text, max(block.start, match.start() - 20), match.start())
    if word is None:
        return True
    name = word[1].lower()
    is_initial = len(name) == 1 and word[1].isupper()
    return not (name in _SHORT or is_initial)


def _with_markers(text: str, end: int, block_end: int, markers: list[Marker]) -> int:
    """The end, moved behind the citations that follow the full stop."""
    for marker in markers:
        if end <= marker.start < block_end and not text[end : marker.start].strip():
            end = marker.end
    return end


def _merged(spans: Iterable[tuple[int, int]], answer: str) -> list[tuple[int, int]]:
    """The spans without space around them; one that holds no word belongs to the one before it."""
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        raw = answer[start:end]
        end -= len(raw) - len(raw.rstrip())
        if re.search(r"\w", re.sub(r"\[[\d\s,;–-]+\]|【[\d\s,;–-]+】", "", raw)):
            merged.append((start + len(raw) - len(raw.lstrip()), end))
        elif merged and raw.strip():
            merged[-1] = (merged[-1][0], end)
    return merged
