"""Markdown as HTML that is safe to show, code in four token classes. static/js/markdown.js draws the same.

The text is a model's or a stranger's: raw HTML is shown as text. Links lead to http, https and mailto, and
name the host they lead to; those that could carry much away are marked, and the page asks before it follows
them. An image is loaded from the person's own files alone; any other is a link, for its address could carry a
secret away.
"""

import re
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

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

from agents.writing import emphasis
from chat import maths

MAX_HIGHLIGHT_CHARS = 100_000
HIGHLIGHT_S = 0.5  # of the processor: some texts cost a lexer time by the square of their length
SCHEMES = {"http", "https", "mailto"}
ADDRESS = re.compile(r"https?://[^/?#]|mailto:", re.IGNORECASE)
AUTHORITY = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)

# A file of the conversation: by its path, or an artifact by its address.
ARTIFACT = re.compile(r"/artifacts/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/")
SEGMENT = re.compile(r"(?:[\w.~+,@()!$'*=-]|%(?!2[ef]|5c|00)[0-9a-f]{2})+", re.IGNORECASE | re.ASCII)
PICTURE = re.compile(r"\.(?:png|jpe?g|gif|webp)", re.IGNORECASE)

# Beyond, a link is followed only after its whole address was shown.
LONGEST_QUERY, LONGEST_PATH, LONGEST_HOST, LONGEST_MAILTO = 40, 160, 60, 80
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
INLINE_TAGS = ("br", "strong", "em", "s", "a", "code", "span", "img")
TABLE_TAGS = ("table", "thead", "tbody", "tr", "th", "td")
TAGS = {*BLOCK_TAGS, *INLINE_TAGS, *TABLE_TAGS}
ATTRIBUTES = {
    "a": {"href", "title", "class"},
    "img": {"src", "alt", "loading"},
    "ol": {"start"},
    "div": {"class", "tabindex", "role", "aria-label"},
    "pre": {"class", "tabindex", "role", "aria-label"},
    "span": {"class"},
    "code": {"class"},
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
        attribute_filter=_only_own_pictures,
        url_schemes=SCHEMES,
        link_rel="noopener nofollow noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    return mark_safe(html)  # what nh3 let through


def own_file(address: str) -> str | None:
    """Where an address that names a file of the conversation leads from the conversation's page, or None."""
    if ARTIFACT.fullmatch(address):
        return address
    path = address.removeprefix("./").removeprefix("files/")
    segments = path.split("/")
    is_path = all(SEGMENT.fullmatch(segment) and segment not in {".", ".."} for segment in segments)
    return f"files/{path}" if is_path and "." in segments[-1][1:] else None


def host_of(address: str) -> str:
    """The host an address leads to, whatever stands before it; empty for mailto."""
    found = AUTHORITY.match(address)
    return re.sub(r":\d*$", "", found[1].rpartition("@")[2]).lower() if found else ""


def in_ascii(address: str) -> str:
    """The address with its host by the name that the network knows: no letter may pass for another."""
    host = host_of(address)
    if host.isascii() and "%" not in host:
        return address
    try:
        return address.replace(host, unquote(host).encode("idna").decode(), 1)
    except UnicodeError:
        return address


def is_long(address: str) -> bool:
    """Whether the address could tell its host more than where to look."""
    found = AUTHORITY.match(address)
    if not found:
        return len(address) > LONGEST_MAILTO or "?" in address
    rest = address[found.end() :]
    query = len(rest) - len(re.split(r"[?#]", rest, maxsplit=1)[0])
    is_wide = len(found[1]) > LONGEST_HOST or "@" in found[1]
    return query > LONGEST_QUERY or len(rest) > LONGEST_PATH or is_wide


def _only_own_pictures(tag: str, name: str, value: str) -> str | None:
    return value if (tag, name) != ("img", "src") or own_file(value) == value else None


def highlight(code: str, language: str) -> str:
    """The code, escaped, with its tokens in spans; plain when the language is unknown, the code is long, or
    where the time is up."""
    lexer = _lexer(language)
    if lexer is None or len(code) > MAX_HIGHLIGHT_CHARS:
        return escape(code)
    # As the lexer reads it: what it has read can then be told from the rest.
    code = code.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    drawn, num_chars, until = [], 0, time.thread_time() + HIGHLIGHT_S
    for kind, value in lexer.get_tokens(code):
        drawn.append(_span(kind, value))
        num_chars += len(value)
        if time.thread_time() > until:
            return "".join(drawn) + escape(code[num_chars:])
    return "".join(drawn)


def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False) if language else None
    except ClassNotFound:
        return None


def _span(kind: _TokenType, value: str) -> str:
    name = next((name for parent, name in CLASSES if kind[: len(parent)] == parent), "")
    return f'<span class="{name}">{escape(value)}</span>' if name else escape(value)


class Renderer(RendererHTML):
    """Headings stay below the page's own, tables scroll, code has a head, links name their host."""

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

    def link_open(self, tokens: Sequence[Node], index: int, options: OptionsDict, env: EnvType) -> str:
        address, title = in_ascii(str(tokens[index].attrGet("href") or "")), tokens[index].attrGet("title")
        end = next(at for at in range(index, len(tokens)) if tokens[at].type == "link_close")
        text = self.renderInlineAsText(tokens[index + 1 : end], options, env)
        env["host"] = _host_to_name(address, text)
        return _link_open(address, str(title or ""))

    def link_close(self, _tokens: Sequence[Node], _index: int, _options: OptionsDict, env: EnvType) -> str:
        return _link_close(env.pop("host"))

    def image(self, tokens: Sequence[Node], index: int, options: OptionsDict, env: EnvType) -> str:
        alt = self.renderInlineAsText(tokens[index].children or [], options, env)
        address = str(tokens[index].attrGet("src") or "")
        own = own_file(address)
        if own and (own.startswith("/") or PICTURE.search(own[-5:])):
            img = f'<img src="{escape(own)}" alt="{escape(alt)}" loading="lazy">'
            return img if "host" in env else f'<a href="{escape(own)}" class="picture">{img}</a>'
        if "host" in env:  # in a link
            return escape(alt)
        address = in_ascii(address)
        return _link_open(address, "") + escape(alt or address) + _link_close(_host_to_name(address, alt))

    def math_inline(self, tokens: Sequence[Node], index: int, *_rest: Any) -> str:
        return maths.inline_html(tokens[index].content, is_apart=tokens[index].hidden)

    def math_block(self, tokens: Sequence[Node], index: int, *_rest: Any) -> str:
        return maths.block_html(tokens[index].content)

    def fence(self, tokens: Sequence[Node], index: int, *_rest: Any) -> str:
        named = LANGUAGE.match(tokens[index].info.strip())
        return _code_block(tokens[index].content, named.group() if named else "")

    def code_block(self, tokens: Sequence[Node], index: int, *_rest: Any) -> str:
        return _code_block(tokens[index].content, "")


def _link_open(address: str, title: str) -> str:
    titled = f' title="{escape(title)}"' if title else ""
    manner = ' class="is-long"' if is_long(address) and not own_file(address) else ""
    return f'<a href="{escape(own_file(address) or address)}"{titled}{manner}>'


def _link_close(host: str) -> str:
    return f' <span class="host">{escape(host)}</span></a>' if host else "</a>"


def _host_to_name(address: str, text: str) -> str:
    """The host, unless the words of the link name it themselves, from their beginning to its end."""
    host = host_of(address)
    said = re.sub(r"^https?://", "", text.strip().lower())
    return "" if said == host or said.startswith(f"{host}/") else host


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
_parser.validateLink = lambda url: bool(ADDRESS.match(url) or own_file(url))  # type: ignore[method-assign]  # its own hook
maths.add_to(_parser)
emphasis.add_to(_parser)
