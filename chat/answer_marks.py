"""What is written over an answer's HTML once it is whole: its citations, and sentences that nothing supports.

The HTML is our own renderer's, the places are offsets into the text it was made of, in code points.
"""

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from html import escape, unescape

from django.utils.safestring import SafeString, mark_safe

from agents import citations
from agents.tooling import outgoing
from chat import markdown

# Brackets that Markdown takes for punctuation and nobody writes: they travel through the renderer as text.
OPEN, CLOSE = "\u2e28", "\u2e29"

_TOKEN = re.compile(r"<[^>]*>|[^<]+")
_NAME = re.compile(r"</?([a-z0-9]+)")
_MARKED = re.compile(f"{OPEN}([^{OPEN}{CLOSE}]*){CLOSE}", re.DOTALL)
_LINK = re.compile(r'<a(?P<rest>\s(?:[^>"]*"[^"]*")*?[^>"]*href="(?P<address>[^"]*)"[^>]*>)')
_QUIET = {"code", "pre", "a"}  # nothing is cited in there


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A sentence from `start` to `end` that nothing supports, or, `is_quiet`, that could not be checked."""

    start: int
    end: int
    is_quiet: bool = False


def with_doubts(text: str, doubts: Sequence[Doubt], *, draw: Callable[[int], str]) -> SafeString:
    """The text's HTML with each doubtful sentence marked; behind it stands what `draw` makes of its number. A
    sentence that reaches over blocks gets only that. The doubts come in the order of the text."""
    if OPEN in text or CLOSE in text:
        return markdown.render(text)
    marked = text
    for doubt in sorted(doubts, key=lambda doubt: doubt.start, reverse=True):
        sentence = marked[doubt.start : doubt.end]
        start, end = doubt.start, doubt.start + len(sentence.rstrip())
        marked = marked[:start] + OPEN + marked[start:end] + CLOSE + marked[end:]
    html = str(markdown.render(marked))
    numbers = iter(range(len(doubts)))

    def mark(found: re.Match[str]) -> str:
        number = next(numbers)
        manner = "doubt doubt--quiet" if doubts[number].is_quiet else "doubt"
        inner = f'<mark class="{manner}">{found[1]}</mark>' if _is_whole(found[1]) else found[1]
        return inner + draw(number)

    html = _MARKED.sub(mark, html)
    return mark_safe(html.replace(OPEN, "").replace(CLOSE, ""))


def with_citations(html: str, known: Container[int], *, draw: Callable[[int], str]) -> SafeString:
    """Each citation outside code and links becomes what `draw` makes of its known numbers."""
    quiet = 0
    pieces = []
    for token in _TOKEN.findall(html):
        if token.startswith("<"):
            name = _NAME.match(token)
            if name and name[1] in _QUIET:
                quiet += -1 if token.startswith("</") else 1
        elif not quiet:
            token = _with_pills(token, known, draw)
        pieces.append(token)
    return mark_safe("".join(pieces))


def _with_pills(text: str, known: Container[int], draw: Callable[[int], str]) -> str:
    drawn, at = "", 0
    for marker in citations.markers(text):
        pills = "".join(draw(number) for number in marker.numbers if number in known)
        drawn += text[at : marker.start] + (pills or text[marker.start : marker.end])
        at = marker.end
    return drawn + text[at:]


def with_care(html: str, known: frozenset[str]) -> SafeString:
    """A link that leads where nobody but the model has said to go, and could tell its host something, is one
    that the page asks about before it is followed. `known` as in agents.tooling.outgoing."""

    def draw(found: re.Match[str]) -> str:
        address = unescape(found["address"])
        tells = markdown.ADDRESS.match(address) and outgoing.new_bits(address, known) > outgoing.MAX_NEW_BITS
        return f'<a class="is-long"{found["rest"]}' if tells and "is-long" not in found["rest"] else found[0]

    return mark_safe(_LINK.sub(draw, html))


def cited(text: str) -> set[int]:
    """The numbers that the text seems to cite."""
    return {number for marker in citations.markers(text) for number in marker.numbers}


def plain(text: str) -> SafeString:
    """Text as it stands, in paragraphs: for an answer that was never rendered."""
    blocks = (block for block in re.split(r"\n\s*\n", text) if block.strip())
    return mark_safe("".join(f"<p>{escape(block)}</p>" for block in blocks))


def _is_whole(html: str) -> bool:
    """Whether every element that begins in it ends in it, and none is a block."""
    depth: list[str] = []
    for token in _TOKEN.findall(html):
        name = _NAME.match(token)
        if name is None or name[1] in {"br", "img"}:
            continue
        if name[1] in markdown.BLOCK_TAGS or name[1] in markdown.TABLE_TAGS:
            return False
        if not token.startswith("</"):
            depth.append(name[1])
        elif not depth or depth.pop() != name[1]:
            return False
    return not depth
