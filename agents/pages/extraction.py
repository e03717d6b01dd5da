"""Bytes to a page, by what they say they are. Pure but for memory: agents.pages.reading bounds that."""

import codecs
import csv
import io
import re

from agents import plain_text
from agents.corpus.documents import Section
from agents.pages.page import Page, Unreadable

HTML = frozenset(("text/html", "application/xhtml+xml"))
PDF = "application/pdf"
CSV = "text/csv"
PLAIN = frozenset(("text/plain", "text/markdown", "application/json", "text/xml", "application/xml"))
READABLE = HTML | PLAIN | {PDF, CSV}
MAX_CHARS = 4_000_000
MAX_ROWS = 20_000

_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset=[\"']?\s*([A-Za-z0-9_-]{2,40})", re.IGNORECASE)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
# What browsers read where a page names the smaller set.
_WIDER = {
    "iso-8859-1": "cp1252",
    "ascii": "cp1252",
    "us-ascii": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
}


def read(body: bytes, *, content_type: str, url: str = "") -> Page:
    """Raises Unreadable."""
    media_type, _, parameters = content_type.partition(";")
    media_type = media_type.strip().lower() or "text/plain"
    # The libraries of one kind alone are imported: they take longer than most pages.
    if media_type == PDF or body[:5] == b"%PDF-":
        from agents.pages import pdf_text

        return pdf_text.read(body)
    if b"\x00" in body[:4_000] and not body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Unreadable("This is no text but a file of bytes.")
    text = decoded(body, charset=_charset(parameters))[:MAX_CHARS]
    if media_type in HTML:
        from agents.pages import html_text

        return html_text.read(text, url)
    if media_type == CSV:
        return _table(text)
    if media_type in PLAIN or media_type.startswith("text/"):
        return _plain(text)
    raise Unreadable(f"A file of the type {media_type} cannot be read.")


def decoded(body: bytes, *, charset: str = "") -> str:
    """The text: by its byte order mark, as what it is said to be, as what it says, as UTF-8, and at last as
    what is most common. A wrong name never fails."""
    marks = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
    marked = [name for mark, name in marks if body.startswith(mark)]
    said = _META_CHARSET.search(body[:2_048])
    names = [*marked, charset, said[1].decode("ascii") if said else "", "utf-8", "gb18030"]
    for name in names:
        if name:
            try:
                return body.decode(_WIDER.get(name.lower(), name))
            except (LookupError, UnicodeDecodeError):
                continue
    return body.decode("cp1252", errors="replace")


def _charset(parameters: str) -> str:
    found = re.search(r"charset=[\"']?([A-Za-z0-9_-]+)", parameters, re.IGNORECASE)
    return found[1] if found else ""


def _plain(text: str) -> Page:
    text = plain_text.visible(text)
    pieces = _HEADING.split(text)
    sections = [Section(heading="", text=pieces[0].strip())]
    sections += [
        Section(heading=heading, text=body.strip() or heading)  # a title alone says something, too
        for heading, body in zip(pieces[1::2], pieces[2::2], strict=True)
    ]
    kept = tuple(section for section in sections if section.text)
    if not kept:
        raise Unreadable("The file is empty.")
    return Page(title=pieces[1] if len(pieces) > 1 else "", sections=kept)


def _table(text: str) -> Page:
    """Each row with the names of its columns, so that a passage of it can be read by itself."""
    try:
        rows = list(csv.reader(io.StringIO(plain_text.visible(text))))
    except csv.Error as fault:
        raise Unreadable(f"The table is damaged: {fault}.") from fault
    if len(rows) < 2:
        raise Unreadable("The table has no rows.")
    lines = [
        "; ".join(f"{name}: {value}" for name, value in zip(rows[0], row, strict=False) if value)
        for row in rows[1 : MAX_ROWS + 1]
    ]
    note = f"Only the first {MAX_ROWS} of {len(rows) - 1} rows were read." if len(rows) > MAX_ROWS + 1 else ""
    return Page(title="", sections=(Section(heading="", text="\n".join(lines)),), note=note)
