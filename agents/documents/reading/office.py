"""PDF, Word and Excel, by the libraries that know them."""

import io
import logging
from collections.abc import Iterator
from typing import Any

from . import markup, seen
from .plain import add_rows
from .sections import Lines, Sections, Unreadable

MAX_BOOKMARKS = 2_000
SCANNED_CHARS = 12  # a page with less is a picture with a number on it

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it tells of each oddity of each file


def read_pdf(body: bytes, sections: Sections, *, sees: bool = False) -> None:
    """A section for each page that has text; with `sees`, of pages that are pictures what stands on them."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(body), strict=False)
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable("locked")
    headings = _bookmarks(reader)
    num_pages, num_damaged, heading = len(reader.pages), 0, ""
    scans = seen.Scans(body, sections)
    before = sections.num_chars
    for number in range(num_pages):
        heading = headings.get(number, heading)
        try:
            text = reader.pages[number].extract_text() or ""
        except Exception:
            # One damaged page must not cost the others: what is wrong with it says nothing to anybody.
            num_damaged += 1
            text = ""
        sections.page = (number + 1, num_pages)
        if sees and len(text.strip()) < SCANNED_CHARS and scans.add(number, heading=heading):
            continue
        sections.add(text, place=f"p. {number + 1}", heading=heading)
    scans.close()
    if sections.num_chars == before:
        raise Unreadable("damaged" if num_damaged else "pictures")
    if num_damaged:
        sections.note("pages_damaged", num=num_damaged)


def _bookmarks(reader: Any) -> dict[int, str]:
    """The heading that begins on a page, by its number from nought; the first of several."""
    found: dict[int, str] = {}

    def walk(entries: Any) -> None:
        for entry in entries:
            if len(found) >= MAX_BOOKMARKS:
                return
            if isinstance(entry, list):
                walk(entry)
                continue
            number = reader.get_destination_page_number(entry)
            if number is not None:
                found.setdefault(number, " ".join(str(entry.title).split()))

    try:
        walk(reader.outline)
    except Exception:
        # A convenience, and often broken in files that read well.
        return found
    return found


def read_docx(body: bytes, sections: Sections) -> None:
    import mammoth

    made = mammoth.convert_to_html(io.BytesIO(body), convert_image=lambda image: [])
    markup.read_html(made.value.encode("utf-8", "replace"), sections)


def read_xlsx(body: bytes, sections: Sections) -> None:
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(body), read_only=True, data_only=True)
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # what the file says of its size may be anything
        lines = Lines(sections, f"{sheet.title}, row")
        lines.heading = sheet.title
        add_rows(_rows(sheet, sections), lines)


def _rows(sheet: Any, sections: Sections) -> Iterator[tuple[int, list[str]]]:
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        sections.check()
        yield number, ["" if cell is None else str(cell) for cell in row]
