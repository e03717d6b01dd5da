"""One file read from end to end. `main` is called where the file lies."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from . import kinds, markup, office, plain, seen
from .archive import MAX_BYTES, MAX_RATIO, Archive
from .sections import Enough, Sections, Unreadable

FILE, ASKED, TOLD = "document", "asked.json", "told.jsonl"


def main(folder: str = ".") -> None:
    """Reads `document` as `asked.json` says, and tells of it line by line in `told.jsonl`."""
    here = Path(folder)
    asked = json.loads((here / ASKED).read_text(encoding="utf-8"))
    with (here / TOLD).open("w", encoding="utf-8") as out:
        sections = Sections(out, max_chars=asked["max_chars"], seconds=asked["seconds"])
        whole = Whole(sections, sees=asked["sees"])
        fault = _fault(whole, sections, (here / FILE).read_bytes(), asked["name"])
        sections.end(fault=fault)


def _fault(whole: "Whole", sections: Sections, body: bytes, name: str) -> str:
    try:
        whole.read(body, name)
    except Unreadable as unreadable:
        return unreadable.fault
    except Enough:
        sections.note("cut", page=sections.page)
    except MemoryError:
        return "memory"
    except Exception:
        # The libraries' bugs meet hostile files here: what they raise says nothing to a person.
        if not sections.num_chars:
            return "damaged"
        sections.note("broken_off")  # what was read stands, and the person is told that it is not all
    return "" if sections.num_chars else "empty"


class Whole:
    """`sees`: whether text on pictures can be recognised here."""

    def __init__(self, sections: Sections, *, sees: bool) -> None:
        self._sections = sections
        self._sees = sees
        self._archive = Archive(sections, self.read)

    def read(self, body: bytes, name: str) -> None:
        """Raises Unreadable, Enough, and whatever the libraries raise."""
        sections = self._sections
        kind = kinds.kind_of(body, name)
        if kind in ("docx", "xlsx"):
            _check_packed(body)
        readers: dict[str, Any] = {
            "pdf": lambda: office.read_pdf(body, sections, sees=self._sees),
            "docx": lambda: office.read_docx(body, sections),
            "xlsx": lambda: office.read_xlsx(body, sections),
            "picture": lambda: self._picture(body),
            "zip": lambda: self._archive.open(body),
            "html": lambda: markup.read_html(body, sections),
            "markdown": lambda: plain.read_text(body, sections, has_headings=True),
            "csv": lambda: plain.read_table(body, sections),
            "tsv": lambda: plain.read_table(body, sections, delimiter="\t"),
            "text": lambda: plain.read_text(body, sections),
        }
        readers[kind]()

    def _picture(self, body: bytes) -> None:
        if not self._sees:
            raise Unreadable("picture")
        before = self._sections.num_chars
        seen.read_picture(body, self._sections)
        if self._sections.num_chars == before:
            raise Unreadable("no_text")
        self._sections.note("recognised")


def _check_packed(body: bytes) -> None:
    """An office file is an archive, too."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        total = sum(member.file_size for member in archive.infolist())
    if total > MAX_BYTES or total > MAX_RATIO * max(len(body), 10_000):
        raise Unreadable("bomb")
