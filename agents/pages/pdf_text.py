"""The text of a PDF, page by page."""

import io
import logging

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from agents import plain_text
from agents.corpus.documents import Section
from agents.pages.page import Page, Unreadable

MAX_PAGES = 500
MAX_CHARS = 4_000_000

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it tells of each oddity of each file


def read(body: bytes) -> Page:
    """A section for each page that has text. Raises Unreadable for a file that is damaged, locked or made of
    pictures."""
    try:
        reader = PdfReader(io.BytesIO(body), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("The PDF is locked with a password.")
        num_pages = len(reader.pages)
        title = str(reader.metadata.title or "") if reader.metadata else ""
        sections = _sections(reader, min(num_pages, MAX_PAGES))
    except (
        PyPdfError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        RecursionError,
        OSError,
    ) as fault:
        raise Unreadable(f"The PDF is damaged: {type(fault).__name__}.") from fault
    if not sections:
        raise Unreadable("The PDF has no text in it: its pages are pictures.")
    note = f"Only the first {MAX_PAGES} of {num_pages} pages were read." if num_pages > MAX_PAGES else ""
    return Page(title=" ".join(title.split())[:300], sections=sections, note=note)


def _sections(reader: PdfReader, num_pages: int) -> tuple[Section, ...]:
    sections: list[Section] = []
    num_chars = 0
    for number in range(num_pages):
        text = plain_text.visible(reader.pages[number].extract_text() or "").strip()
        num_chars += len(text)
        if text:
            sections.append(Section(heading=f"Page {number + 1}", text=text))
        if num_chars > MAX_CHARS:
            break
    return tuple(sections)
