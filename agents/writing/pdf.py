"""A work as a PDF, by way of HTML of our own. For the process of the press alone.

Nothing is fetched: the only addresses that the page may load are those of the work's own pictures.
"""

import html
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from markdown_it.tree import SyntaxTreeNode as Node

from agents.writing import formulas, markup, pictures
from agents.writing.work import Chapter, Reference, Work

STYLE = Path(__file__).with_name("pdf.css")
_INLINE = {"em": "em", "strong": "strong", "s": "s"}
_BLOCKS = {"paragraph": "p", "bullet_list": "ul", "list_item": "li", "blockquote": "blockquote"}


class NoPdf(Exception):
    """No PDF can be made on this machine; the text says what to install."""


def write(work: Work) -> bytes:
    """Raises NoPdf, pictures.NoPicture."""
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher, URLFetcherResponse
    except OSError as missing:
        raise NoPdf(
            "PDF needs the system's text libraries: install libpango-1.0-0, libpangoft2-1.0-0 and "
            "libharfbuzz-subset0, and fonts-noto-cjk for Chinese."
        ) from missing

    page = _Page(work)
    source = page.whole()

    class Own(URLFetcher):  # type: ignore[misc]  # it has no types
        """Gives the work's pictures and knows no network and no files."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            if url not in page.loaded:
                raise ValueError("not part of this document")
            content = page.loaded[url]
            kind = "image/svg+xml" if content.lstrip().startswith(b"<") else "image/png"
            return URLFetcherResponse(url, content, {"Content-Type": kind})

    made: bytes = HTML(string=source, url_fetcher=Own(), base_url="work:/").write_pdf(pdf_tags=True)
    return made


class _Page:
    """Writes the HTML, and gathers in `loaded` what it shows."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._words = work.words
        self._num_figures = 0
        self._num_tables = 0
        self.loaded: dict[str, bytes] = {}

    def whole(self) -> str:
        work = self._work
        body = "".join(self._chapter(chapter) for chapter in work.chapters)
        title = _escaped(work.title)
        return (
            f'<!doctype html><html lang="{self._words.language}"><head><meta charset="utf-8">'
            f"<title>{title}</title><style>{STYLE.read_text()}</style></head><body>"
            f'<header><h1 class="title">{title}</h1><p class="made">{_escaped(work.made_on)}</p></header>'
            f"{self._contents()}{body}{self._references()}</body></html>"
        )

    def _contents(self) -> str:
        if not self._work.has_contents:
            return ""
        lines = [
            f'<li class="level-{one.level}"><a href="#{_anchor(one)}">{_escaped(one.title)}</a></li>'
            for one in self._work.chapters
        ]
        heading = _escaped(self._words.contents)
        return f'<nav class="contents"><h2 class="plain">{heading}</h2><ol>{"".join(lines)}</ol></nav>'

    def _chapter(self, chapter: Chapter) -> str:
        tag = f"h{chapter.level + 1}"
        heading = f'<{tag} id="{_anchor(chapter)}">{_escaped(chapter.title)}</{tag}>'
        first = min(markup.headings(chapter.text), default=1)
        self._shift = chapter.level + 2 - first
        return f"<section>{heading}{self._all(markup.tree(chapter.text).children)}</section>"

    def _references(self) -> str:
        if not self._work.references:
            return ""
        entries = "".join(map(self._reference, self._work.references))
        heading = _escaped(self._words.sources)
        return f'<section class="sources"><h2 class="plain">{heading}</h2><ol>{entries}</ol></section>'

    def _reference(self, one: Reference) -> str:
        words = [_escaped(one.title) + "." if one.title else "", _address(one.address)]
        words += [_escaped(self._words.read_on.format(one.read_on)) if one.read_on else ""]
        words += [] if one.is_kept else [_escaped(self._words.lost)]
        said = " ".join(word for word in words if word)
        return f'<li id="source-{one.number}" value="{one.number}">{said}</li>'

    # ---- blocks

    def _all(self, nodes: Iterable[Node]) -> str:
        return "".join(map(self._node, nodes))

    def _node(self, node: Node) -> str:
        if node.type in _INLINE or (node.type in _BLOCKS and node.type != "paragraph"):
            tag = _INLINE.get(node.type) or _BLOCKS[node.type]
            return f"<{tag}>{self._all(node.children)}</{tag}>"
        writer = getattr(self, f"_{node.type}", None)
        return str(writer(node)) if writer else self._all(node.children or ())

    def _paragraph(self, node: Node) -> str:
        if (figure := markup.figure_of(node)) is not None:
            image, rest = figure
            return self._figure(image, self._all(rest))
        inner = self._all(node.children)
        return inner if node.is_nested and _is_tight(node) else f"<p>{inner}</p>"

    def _heading(self, node: Node) -> str:
        level = min(int(node.tag[1]) + self._shift, 6)
        return f"<h{level}>{self._all(node.children)}</h{level}>"

    def _ordered_list(self, node: Node) -> str:
        start = int(node.attrs.get("start", 1))
        return f'<ol start="{start}">{self._all(node.children)}</ol>'

    def _fence(self, node: Node) -> str:
        return f"<pre><code>{_escaped(node.content)}</code></pre>"

    _code_block = _fence

    def _hr(self, _node: Node) -> str:
        return "<hr>"

    def _table(self, node: Node) -> str:
        return f"<table>{self._all(node.children)}</table>"

    def _thead(self, node: Node) -> str:
        return f"<thead>{self._all(node.children)}</thead>"

    def _tbody(self, node: Node) -> str:
        return f"<tbody>{self._all(node.children)}</tbody>"

    def _tr(self, node: Node) -> str:
        return f"<tr>{self._all(node.children)}</tr>"

    def _th(self, node: Node) -> str:
        tag = node.type
        side = str(node.attrs.get("style", "")).removeprefix("text-align:")
        aligned = f' class="{side}"' if side in ("right", "center") else ""
        return f"<{tag}{aligned}>{self._all(node.children)}</{tag}>"

    _td = _th

    def _figure(self, image: Node, rest: str) -> str:
        path = str(image.attrs.get("src", ""))
        caption = self._all(image.children or ())
        if markup.is_table(path):
            self._num_tables += 1
            name = self._words.table.format(self._num_tables)
            rows = self._all(markup.tree(self._work.tables.get(path, "")).children)
            said = f"<figcaption><b>{name}.</b> {caption}{rest}</figcaption>"
            return f'<figure class="table">{said}{rows}</figure>'
        self._num_figures += 1
        name = self._words.figure.format(self._num_figures)
        said = f"<figcaption><b>{name}.</b> {caption}{rest}</figcaption>"
        return f"<figure>{self._image(image)}{said}</figure>"

    # ---- inline

    def _text(self, node: Node) -> str:
        return _escaped(node.content)

    def _softbreak(self, _node: Node) -> str:
        return "\n"

    def _hardbreak(self, _node: Node) -> str:
        return "<br>"

    def _code_inline(self, node: Node) -> str:
        return f"<code>{_escaped(node.content)}</code>"

    def _link(self, node: Node) -> str:
        inner, address = self._all(node.children), str(node.attrs.get("href", ""))
        # Of a file in the work folder nobody has but its name.
        return inner if markup.is_path(address) else f'<a href="{_escaped(address)}">{inner}</a>'

    def _image(self, node: Node) -> str:
        path, words = str(node.attrs.get("src", "")), markup.alternative(node)
        content = self._work.pictures.get(path)
        if content is None:
            return _escaped(words)
        address = f"work:/picture/{list(self._work.pictures).index(path)}"
        if address not in self.loaded:
            self.loaded[address] = pictures.fresh(content, name=path)
        return f'<img src="{address}" alt="{_escaped(words)}">'

    def _citation(self, node: Node) -> str:
        number = self._work.number_of(node.content)
        return f'<a class="cite" href="#source-{number}">[{number}]</a>' if number else ""

    def _doubt(self, _node: Node) -> str:
        return f'<span class="doubt">[{_escaped(self._words.doubt)}]</span>'

    def _math_inline(self, node: Node) -> str:
        return self._formula(node.content, is_block=False)

    def _math_inline_double(self, node: Node) -> str:
        return self._formula(node.content, is_block=True)

    def _math_block(self, node: Node) -> str:
        return f'<p class="formula">{self._formula(node.content, is_block=True)}</p>'

    def _formula(self, tex: str, *, is_block: bool) -> str:
        drawn = formulas.draw(tex, kind="svg")
        if drawn is None:
            return f"<code>{_escaped(tex.strip())}</code>"
        address = f"work:/formula/{len(self.loaded)}"
        self.loaded[address] = drawn.content
        lowered = "" if is_block else f' style="vertical-align:-{drawn.depth:.2f}pt"'
        return f'<img class="formula" src="{address}" alt="{_escaped(tex.strip())}"{lowered}>'


def _escaped(text: str) -> str:
    return html.escape(markup.clean(text))


def _anchor(chapter: Chapter) -> str:
    return f"section-{b64encode(chapter.id.encode(), altchars=b'-_').decode().rstrip('=')}"


def _address(address: str) -> str:
    shown = _escaped(address)
    is_web = address.startswith(("http://", "https://"))
    return f'<a href="{shown}">{shown}</a>' if is_web else f"<code>{shown}</code>"


def _is_tight(node: Node) -> bool:
    """A paragraph of a list whose items stand close together."""
    return bool(node.hidden)
