"""The Markdown of a section as a tree: CommonMark with tables, formulas, and marks of citations and doubts.

Raw HTML is text, links lead to http, https and mailto only.
"""

import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.tree import SyntaxTreeNode
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.texmath import texmath_plugin

from agents.writing import emphasis
from agents.writing.manuscript import CITED

DOUBT = "\ue000"  # stands behind a sentence that nothing bears out
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x9f]")
_ADDRESS = re.compile(r"(?:https?|mailto):", re.IGNORECASE)
_PATH = re.compile(r"[\w][\w./ -]{0,199}")
_REFUSED_IMAGE = re.compile(r"!\[[^\]\n]*\]\(([^)\n]*)\)")
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_TABLES = (".md",)


def tree(text: str) -> SyntaxTreeNode:
    return SyntaxTreeNode(_parser.parse(clean(text)))


def clean(text: str) -> str:
    """Without what neither XML nor a font can hold."""
    return _UNWRITABLE.sub("", text)


def is_path(target: str) -> bool:
    """Whether the target of an image is a file of the work folder that a document can show."""
    is_plain = _PATH.fullmatch(target) is not None and ".." not in target.split("/")
    return is_plain and target.lower().endswith(_PICTURES + _TABLES)


def is_table(target: str) -> bool:
    return target.lower().endswith(_TABLES)


def targets(text: str) -> list[str]:
    """Where its images lead, those that can lead nowhere included."""
    found: list[str] = []
    for node in tree(text).walk():
        if node.type == "image":
            found.append(str(node.attrs.get("src", "")))
        elif node.type == "text":
            found += _REFUSED_IMAGE.findall(node.content)
    return found


def figure_of(node: SyntaxTreeNode) -> tuple[SyntaxTreeNode, Sequence[SyntaxTreeNode]] | None:
    """The image that a paragraph consists of, and what stands behind it, as its caption goes on; None for
    other paragraphs."""
    if node.type != "paragraph" or not node.children or not node.children[0].children:
        return None
    first, *rest = node.children[0].children
    return (first, rest) if first.type == "image" else None


def alternative(image: SyntaxTreeNode) -> str:
    """The words of an image."""
    return "".join(plain(child) for child in image.children) or image.content


def plain(node: SyntaxTreeNode) -> str:
    if node.type in ("softbreak", "hardbreak"):
        return " "
    if node.type in ("citation", "doubt"):
        return ""
    return "".join(plain(child) for child in node.children) if node.children else node.content


def headings(text: str) -> Iterator[int]:
    """The levels of the headings inside a section."""
    return (int(node.tag[1]) for node in tree(text).walk() if node.type == "heading")


def _citation(state: StateInline, silent: bool) -> bool:
    match = CITED.match(state.src, state.pos)
    if match is None:
        return False
    if not silent:
        state.push("citation", "", 0).content = match[1]
    state.pos = match.end()
    return True


def _doubt(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != DOUBT:
        return False
    if not silent:
        state.push("doubt", "", 0)
    state.pos += 1
    return True


_parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable(["table", "strikethrough"])
_parser.use(dollarmath_plugin, allow_space=False, allow_digits=False, allow_labels=False, double_inline=True)
_parser.use(texmath_plugin, delimiters="brackets")
_parser.validateLink = lambda url: _ADDRESS.match(url) is not None or is_path(url)  # type: ignore[method-assign]
_parser.inline.ruler.before("link", "citation", _citation)
emphasis.add_to(_parser)
_parser.inline.ruler.before("text", "doubt", _doubt)
# The rule for text runs over whatever no other rule begins with: it must stop at the mark.
_parser.inline.add_terminator_char(DOUBT)
