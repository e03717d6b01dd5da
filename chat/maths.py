"""Where a text holds TeX: `$…$` and `\\(…\\)` in a line, `$$…$$` and `\\[…\\]` on their own. static/js/tex.js
reads the same, and static/js/maths.js draws it; here it stays TeX, in `code`.

A price is no formula: what stands between two dollars begins and ends without a blank, no figure follows
it, and it holds no further dollar and no backtick.
"""

import re

from django.utils.html import escape
from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

LONGEST = 4_000

INLINE = re.compile(
    r"\$\$(?P<apart>(?:\\[\s\S]|[^\\$`])+)\$\$"
    r"|\$(?![\s$])(?P<within>(?:\\[\s\S]|[^\\$`])*[^\s\\$`]|(?:\\[\s\S]|[^\\$`])*\\\S)\$(?![0-9$])"
    r"|\\\((?P<round>(?:\\[^()\[\]`]|[^\\`])+)\\\)"
    r"|\\\[(?P<square>(?:\\[^()\[\]`]|[^\\`])+)\\\]"
)
PRICE = re.compile(r"[0-9][^\\^_{}=]*\s[A-Za-z]{2}")  # "5 for a US": two prices, words between
BLOCK = re.compile(
    r"(?:\$\$(?P<dollars>(?:\\[\s\S]|[^\\$])+)\$\$|\\\[(?P<square>(?:\\[^\[\]]|[^\\])+)\\\])[ \t]*"
)
CLOSES = {"$$": "$$", r"\[": r"\]"}


def add_to(parser: MarkdownIt) -> None:
    """Have this parser read formulas."""
    ends: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.before("fence", "math", _block, ends)
    parser.inline.ruler.before("escape", "math", _inline)


def inline_html(tex: str, *, is_apart: bool) -> str:
    manner = "math math--apart" if is_apart else "math"
    return f'<code class="{manner}">{escape(tex)}</code>'


def block_html(tex: str) -> str:
    open_tag = '<div class="formula scroll-x" tabindex="0" role="group" aria-label="Formula">'
    return f"{open_tag}{inline_html(tex, is_apart=True)}</div>\n"


def _inline(state: StateInline, silent: bool) -> bool:
    at = state.pos
    if state.src[at] not in "$\\":
        return False
    if at and state.src[at] == "$" and state.src[at - 1].isascii() and state.src[at - 1].isalnum():
        return False  # US$5
    found = INLINE.match(state.src, at, min(state.posMax, at + LONGEST))
    if found is None or not (tex := found[found.lastgroup or 0]).strip():
        return False
    if found.lastgroup == "within" and PRICE.match(tex):
        return False
    if not silent:
        token = state.push("math_inline", "code", 0)
        token.content, token.hidden = tex.strip(), found.lastgroup in {"apart", "square"}
    state.pos = found.end()
    return True


def _block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if state.is_code_block(start):
        return False
    first = _line(state, start)
    close = CLOSES.get(first[:2])
    if close is None:
        return False
    lines, is_closed, after = _gather(state, start, end, close)
    tex = _closed(lines) if is_closed else _open(lines, is_last=after >= end)
    if tex is None:
        return False
    if not silent:
        state.line = after
        token = state.push("math_block", "div", 0)
        token.content, token.map, token.block = tex.strip(), [start, after], True
    return True


def _gather(state: StateBlock, start: int, end: int, close: str) -> tuple[list[str], bool, int]:
    """The lines from `start` to the one that ends in `close`, or to the first that cannot be among them."""
    lines: list[str] = []
    at = start
    left = LONGEST
    while at < end and not state.isEmpty(at) and (at == start or state.sCount[at] >= state.blkIndent):
        line = _line(state, at)
        lines.append(line)
        at += 1
        left -= len(line) + 1
        if left < 0:
            return [""], False, at
        if line.rstrip().endswith(close) and (at - 1 > start or len(line.rstrip()) > len(close) + 2):
            return lines, True, at
    return lines, False, at


def _closed(lines: list[str]) -> str | None:
    found = BLOCK.fullmatch("\n".join(lines))
    return found[found.lastgroup or 0] if found else None


def _open(lines: list[str], *, is_last: bool) -> str | None:
    """Of a text that breaks off within a formula."""
    return "\n".join(lines[1:]) if is_last and lines[0].strip() in CLOSES else None


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]
