"""HTML to text with headings: trafilatura for what an article says, readability where that finds little, and
the page's own structure where both do."""

import re
from urllib.parse import urljoin, urlsplit

import trafilatura
from readability import Document as Readable
from selectolax.lexbor import LexborHTMLParser, LexborNode

from agents import plain_text
from agents.corpus.documents import Section
from agents.pages import hidden_text
from agents.pages.page import Link, Page, Paywalled, Unreadable

LITTLE = 200  # characters: less is no article
FEW_OF_IT = 0.2  # of the page's text: a manual's page is not an article, and much of it would be lost
MAX_LINKS = 60
MAX_NODES = 200_000
_BLOCKS = frozenset(("p", "li", "dd", "dt", "pre", "td", "th", "blockquote", "figcaption", "caption"))
_HEADINGS = frozenset(["h1", "h2", "h3", "h4", "h5", "h6"])
_AROUND = "nav, header[role=banner], footer, aside, [role=navigation], [role=search], .sphinxsidebar"
NEXT_TO_NOTHING = 250  # characters
LITTLE_BESIDE_SCRIPTS = 2_000
_ASKS_FOR_SCRIPTS = re.compile(
    r"(?:enable|turn on|activate|requires?|needs?|without|allow)\b[^<>]{0,40}\bjavascript\b|"
    r"\bjavascript\b[^<>]{0,40}\b(?:disabled|required|enabled|turned off|not supported)\b|"
    r"(?:启用|开启|需要|打开)[^<>]{0,20}javascript",
    re.IGNORECASE,
)
_EMPTY = re.compile(
    r"<(?:div|main|section)\b[^<>]{0,200}\bid=[\"']?(?:root|app|__next|__nuxt|main|content|react-root|svelte)\b"
    r"[^<>]{0,200}>\s*</",
    re.IGNORECASE,
)
# As sites mark it for search engines.
_PAID_FOR = re.compile(
    r"\"isAccessibleForFree\"\s*:\s*\"?false|property=\"article:content_tier\"\s+content=\"(?:locked|metered)\"",
    re.IGNORECASE,
)
_ONLY_BEGINNING = "The site shows all of this page only to those who pay for it: this may be its beginning."
_MAY_HOLD = frozenset(("td", "th", "dd", "li", "blockquote"))
_ANCHORS = "a.headerlink, a.anchor-link, a.anchorjs-link, .mw-editsection"  # beside headings
_BLOCK_IN_CELL = "p, ul, ol, dl, pre, div, table, blockquote, h1, h2, h3, h4, h5, h6"
_ESCAPED = re.compile(r"\\([\[\]<>*_`#~|(){}+.!$&-])")
_HEADING_LINE = re.compile(r"^#{1,6}\s+(.*)$", re.MULTILINE)


def read(html: str, url: str = "") -> Page:
    """The page's text. Raises Unreadable when nothing is to be read on it."""
    if html.count("<") > MAX_NODES * 2:
        raise Unreadable("The page has so many elements that it is not read.")
    has_scripts = "<script" in html or "<SCRIPT" in html
    is_paid_for = _PAID_FOR.search(html) is not None
    tree = hidden_text.removed(html)
    _drop(tree, _ANCHORS)
    _write_out_inner_tables(tree)
    title, everywhere, dated = _title(tree), _links(tree, url), _dated(html)
    shown = tree.html or ""
    whole = structure(tree)
    # What is left now is the page without its menus: where that leads comes first.
    links = tuple({link.url: link for link in (*_links(tree, url), *everywhere)}.values())[:MAX_LINKS]
    sections = _article(shown, url, least=max(LITTLE, FEW_OF_IT * _num_chars(whole)))
    sections = sections or whole
    if is_paid_for and _num_chars(sections) < NEXT_TO_NOTHING:
        raise Paywalled("The site shows this page to those who pay for it.")
    needs_scripts = has_scripts and _waits_for_scripts(html, sections)
    if not sections:
        why = "The page shows no text; it may need a browser that runs scripts."
        raise Unreadable(why, needs_scripts=needs_scripts)
    return Page(
        title=title,
        sections=sections,
        links=links,
        dated=dated,
        note=_ONLY_BEGINNING if is_paid_for else "",
        needs_scripts=needs_scripts and not is_paid_for,
    )


def read_structure(html: str) -> Page:
    """The whole page, not the article on it, with nothing but its own headings to go by."""
    tree = hidden_text.removed(html)
    title = _title(tree)
    sections = structure(tree)
    if not sections:
        raise Unreadable("The page shows no text.")
    return Page(title=title, sections=sections)


def structure(tree: LexborHTMLParser) -> tuple[Section, ...]:
    """The text under each heading, as the page is built; menus are left out."""
    _drop(tree, _AROUND)
    root = tree.css_first("main, [role=main], article") or tree.body
    if root is None:
        return ()
    sections: list[tuple[str, list[str]]] = [("", [])]
    rows = {row.mem_id for row in root.css("tr") if row.css_first(_BLOCK_IN_CELL) is None}
    for node in root.traverse():
        if node.tag in _HEADINGS:
            sections.append((_words(node), []))
        elif node.mem_id in rows:
            sections[-1][1].append(_row(node))
        elif node.parent is not None and node.parent.mem_id in rows:
            continue  # a cell: its row has told
        elif _is_block(node) and not _is_inside_block(node, root) and (text := _block(node)):
            sections[-1][1].append(text)
    if not any(parts for _, parts in sections) and (text := _words(root)):
        sections = [("", [text])]
    return tuple(Section(heading=heading, text="\n".join(parts)) for heading, parts in sections if parts)


def _article(html: str, url: str, *, least: float) -> tuple[Section, ...]:
    text = trafilatura.extract(
        html, url=url or None, output_format="markdown", include_tables=True, include_comments=False
    )
    sections = _by_headings(_unescaped(plain_text.visible(text or "")))
    if _num_chars(sections) < least:
        sections = _readable(html)
    return sections if _num_chars(sections) >= least else ()


def _by_headings(markdown: str) -> tuple[Section, ...]:
    pieces = _HEADING_LINE.split(markdown)
    sections = [Section(heading="", text=pieces[0].strip())]
    sections += [
        Section(heading=heading.strip(), text=body.strip())
        for heading, body in zip(pieces[1::2], pieces[2::2], strict=True)
    ]
    return tuple(section for section in sections if section.text)


def _readable(html: str) -> tuple[Section, ...]:
    try:
        return structure(LexborHTMLParser(Readable(html).summary(html_partial=True)))
    except Exception:
        # It raises whatever its heuristics stumble over; the page's own structure serves then.
        return ()


def _num_chars(sections: tuple[Section, ...]) -> int:
    return sum(len(section.text) for section in sections)


def _drop(tree: LexborHTMLParser, selector: str) -> None:
    for node in tree.css(selector):
        node.decompose()


def _write_out_inner_tables(tree: LexborHTMLParser) -> None:
    """Tables inside a list or a quotation, whose rows an article's text would run together."""
    for table in tree.css("dd table, li table, blockquote table"):
        if table.css_first("table table, pre") is None:
            table.replace_with("; ".join(filter(None, map(_row, table.css("tr")))) + ". ")


def _row(node: LexborNode) -> str:
    return " | ".join(filter(None, (_words(cell) for cell in node.css("td, th"))))


def _unescaped(markdown: str) -> str:
    """What stands for itself needs no backslash here, where nothing is made of Markdown; code is left as it
    is."""
    parts = markdown.split("```")
    parts[::2] = [_ESCAPED.sub(r"\1", part) for part in parts[::2]]
    return "```".join(parts)


def _waits_for_scripts(html: str, sections: tuple[Section, ...]) -> bool:
    """Whether a page with scripts says little without them: next to nothing, or little and that it needs
    them, or little beside an empty place to put more."""
    num_chars = _num_chars(sections)
    if num_chars < NEXT_TO_NOTHING:
        return True
    return num_chars < LITTLE_BESIDE_SCRIPTS and bool(_ASKS_FOR_SCRIPTS.search(html) or _EMPTY.search(html))


def _is_inside_block(node: LexborNode, root: LexborNode) -> bool:
    parent = node.parent
    while parent is not None and parent.mem_id != root.mem_id:
        if _is_block(parent):
            return True
        parent = parent.parent
    return False


def _is_block(node: LexborNode) -> bool:
    """Whether its text is told as one; not of what only holds other blocks, as cells do where a table places
    things."""
    if node.tag not in _BLOCKS:
        return False
    if node.tag not in _MAY_HOLD or node.css_first(_BLOCK_IN_CELL) is None:
        return True
    return any(child.tag == "-text" and child.text().strip() for child in node.iter(include_text=True))


def _block(node: LexborNode) -> str:
    if node.tag == "pre":
        return plain_text.visible(node.text()).strip("\n")
    text = _words(node)
    return f"- {text}" if text and node.tag == "li" else text


def _words(node: LexborNode) -> str:
    return " ".join(plain_text.visible(node.text(separator=" ")).split())


def _title(tree: LexborHTMLParser) -> str:
    for selector in ("title", "h1"):
        node = tree.css_first(selector)
        if node is not None and (words := _words(node)):
            return words[:300]
    return ""


def _dated(html: str) -> str:
    for name in ("article:published_time", "date", "dcterms.date", "last-modified"):
        found = re.search(
            rf"<meta[^>]{{0,200}}(?:name|property|itemprop)=[\"']{re.escape(name)}[\"'][^>]{{0,200}}"
            r"content=[\"'](\d{4}-\d{2}-\d{2})",
            html[:100_000],
            re.IGNORECASE,
        )
        if found:
            return found[1]
    return ""


def _links(tree: LexborHTMLParser, url: str) -> tuple[Link, ...]:
    """Where the page leads, each address once, itself left out."""
    found: dict[str, str] = {}
    for node in tree.css("a[href]"):
        try:
            target = urljoin(url, node.attributes.get("href") or "").partition("#")[0]
            scheme = urlsplit(target).scheme
        except ValueError:
            continue
        if scheme in ("http", "https") and target != url and (words := _words(node)):
            found.setdefault(target, words[:120])
        if len(found) >= MAX_LINKS:
            break
    return tuple(Link(url=target, text=text) for target, text in found.items())
