"""HTML, and what becomes HTML: headings and text, nothing that a reader would not see."""

from html.parser import HTMLParser

from .plain import decoded
from .sections import Sections

_SILENT = {"script", "style", "noscript", "template", "svg", "head", "iframe", "object", "select"}
_BLOCKS = {"p", "div", "section", "article", "li", "tr", "table", "ul", "ol", "br", "hr", "pre", "blockquote"}
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_CELLS = {"td", "th"}
_VOID = {"br", "hr", "img", "input", "meta", "link", "col", "wbr", "area", "base", "embed", "source", "track"}


def read_html(body: bytes, sections: Sections) -> None:
    text = decoded(body)
    reader = _Reader(sections)
    for at in range(0, len(text), 65_536):
        sections.check()
        reader.feed(text[at : at + 65_536])
    reader.close()
    reader.flush()


class _Reader(HTMLParser):
    def __init__(self, sections: Sections) -> None:
        super().__init__(convert_charrefs=True)
        self._sections = sections
        self._silent: list[str] = []  # the elements that are open and not shown
        self._text: list[str] = []
        self._heading: list[str] | None = None  # while one is being read
        self._current = ""
        self._number = 1

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            self._text.append("\n" if tag in _BLOCKS else "")
            return
        if self._silent or tag in _SILENT or _is_hidden(dict(attributes)):
            self._silent.append(tag)
        elif tag in _HEADINGS:
            self.flush()
            self._heading = []
        elif tag in _BLOCKS:
            self._text.append("\n- " if tag == "li" else "\n")

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            # What is not closed in order is closed with what it stands in.
            if tag in self._silent:
                while self._silent.pop() != tag:
                    pass
        elif tag in _HEADINGS and self._heading is not None:
            self._current, self._heading = " ".join("".join(self._heading).split()), None
        elif tag in _CELLS:
            self._text.append(" | ")
        elif tag in _BLOCKS:
            self._text.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            (self._text if self._heading is None else self._heading).append(data)

    def flush(self) -> None:
        """The section so far, under its heading."""
        if self._heading:
            self._current, self._heading = " ".join("".join(self._heading).split()), None
        lines = (" ".join(line.split()).strip(" |") for line in "".join(self._text).splitlines())
        text = "\n".join(line for line in lines if line)
        self._text = []
        heading, self._current = self._current, ""
        if heading or text:
            shown = f"{heading}\n{text}" if heading else text
            self._sections.add(shown, place=heading[:80] or f"part {self._number}", heading=heading)
            self._number += 1


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    style = (attributes.get("style") or "").replace(" ", "").lower()
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or "display:none" in style
        or "visibility:hidden" in style
        or "font-size:0" in style
    )
