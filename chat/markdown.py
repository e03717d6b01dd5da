"""Markdown as HTML that is safe to show, code in four token classes. static/js/markdown.js draws the same.

The text is a model's or a stranger's: raw HTML is shown as text, links lead to http, https and mailto only,
and no image is ever loaded, for its address could carry a secret away.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token as Node
from markdown_it.utils import EnvType, OptionsDict
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Number, Operator, String, _TokenType
from pygments.util import ClassNotFound

MAX_HIGHLIGHT_CHARS = 100_000
SCHEMES = {"http", "https", "mailto"}
ADDRESS = re.compile(rf"({'|'.join(sorted(SCHEMES))}):", re.IGNORECASE)
LANGUAGE = re.compile(r"[A-Za-z0-9+#._-]{1,30}")

# The same four as static/js/markdown.js: k keyword, s string, n number, c comment.
CLASSES: tuple[tuple[_TokenType, str], ...] = (
    (Comment, "c"),
    (Keyword, "k"),
    (Operator.Word, "k"),
    (Name.Tag, "k"),
    (String, "s"),
    (Number, "n"),
)

BLOCK_TAGS = ("p", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "hr", "pre", "div")
INLINE_TAGS = ("br", "strong", "em", "s", "a", "code", "span")
TABLE_TAGS = ("table", "thead", "tbody", "tr", "th", "td")
TAGS = {*BLOCK_TAGS, *INLINE_TAGS, *TABLE_TAGS}
ATTRIBUTES = {
    "a": {"href", "title"},
    "ol": {"start"},
    "div": {"class", "tabindex", "role", "aria-label"},
    "pre": {"class", "tabindex", "role", "aria-label"},
    "span": {"class"},
    "table": {"class"},
    "th": {"class", "scope"},
    "td": {"class"},
}


def render(text: str) -> SafeString:
    """The text's HTML. Text that is only wrong markdown is still shown, as itself."""
    html = nh3.clean(
        _parser.render(text.replace("\0", "\N{REPLACEMENT CHARACTER}")),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=SCHEMES,
        link_rel="noopener nofollow noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    return mark_safe(html)  # what nh3 let through


def highlight(code: str, language: str) -> str:
    """The code, escaped, with its tokens in spans; plain when the language is unknown or the code is long."""
    lexer = _lexer(language)
    if lexer is None or len(code) > MAX_HIGHLIGHT_CHARS:
        return escape(code)
    return "".join(_spans(lexer.get_tokens(code)))


def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False) if language else None
    except ClassNotFound:
        return None


def _spans(tokens: Iterable[tuple[_TokenType, str]]) -> Iterable[str]:
    for kind, value in tokens:
        name = next((name for parent, name in CLASSES if kind[: len(parent)] == parent), "")
        yield f'<span class="{name}">{escape(value)}</span>' if name else escape(value)


class Renderer(RendererHTML):
    """Headings stay below the page's own, tables scroll, code has a head, images are their words."""

    def heading_open(self, tokens: Sequence[Node], index: int, *_rest: Any) -> str:
        return f"<h{_level(tokens[index])}>"

    def heading_close(self, tokens: Sequence[Node], index: int, *_rest: Any) -> str:
        return f"</h{_level(tokens[index])}>\n"

    def table_open(self, *_rest: Any) -> str:
        return '<div class="scroll-x" tabindex="0" role="group" aria-label="Table"><table class="table">\n'

    def table_close(self, *_rest: Any) -> str:
        return "</table></div>\n"

    def th_open(self, tokens: Sequence[Node], index: int, *_rest: Any) -> str:
        return f'<th scope="col"{_alignment(tokens[index])}>'

    def td_open(self, tokens: Sequence[Node], index: int, *_rest: Any) -> str:
        return f"<td{_alignment(tokens[index])}>"

    def image(self, tokens: Sequence[Node], index: int, options: OptionsDict, env: EnvType) -> str:
        return escape(self.renderInlineAsText(tokens[index].children or [], options, env))

    def fence(self, tokens: Sequence[Node], index: int, *_rest: Any) -> str:
        named = LANGUAGE.match(tokens[index].info.strip())
        return _code_block(tokens[index].content, named.group() if named else "")

    def code_block(self, tokens: Sequence[Node], index: int, *_rest: Any) -> str:
        return _code_block(tokens[index].content, "")


def _level(node: Node) -> int:
    return max(3, int(node.tag[1:]))


def _alignment(node: Node) -> str:
    return ' class="is-num"' if node.attrGet("style") == "text-align:right" else ""


def _code_block(code: str, language: str) -> str:
    name = escape(language)
    return (
        f'<div class="code"><div class="code__head"><span>{name}</span><span class="spacer"></span></div>'
        f'<pre class="code__body" tabindex="0" role="group" aria-label="{name or "Code"}">'
        f"<code>{highlight(code.removesuffix(chr(10)), language.lower())}</code></pre></div>\n"
    )


# "js-default" without its linkify, whose library we do without; raw HTML is text.
_parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=Renderer).enable(["table", "strikethrough"])
_parser.validateLink = lambda url: ADDRESS.match(url) is not None  # type: ignore[method-assign]  # its own hook
