"""A folder of files as a corpus: Markdown, text, HTML, CSV and PDF, and with an extractor Word and Excel.
What cannot be read is left out."""

import hashlib
import html
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agents.corpus.building import Entry, Source
from agents.corpus.documents import Document, Section
from agents.pages import extraction
from agents.pages.page import Page, Unreadable

if TYPE_CHECKING:
    from agents.documents.extraction import Extractor

TYPES = {
    **dict.fromkeys((".html", ".htm", ".xhtml"), "text/html"),
    **dict.fromkeys((".md", ".markdown"), "text/markdown"),
    **dict.fromkeys((".txt", ".text", ".rst"), "text/plain"),
    ".csv": "text/csv",
    ".pdf": "application/pdf",
}
OFFICE = (".docx", ".xlsx")  # archives, which the extractor opens where that can break nothing
READ_AS = 1  # raise it when files are read in another way: none is then taken for unchanged
MAX_FILE_BYTES = 50 * 1024 * 1024
_NAME = re.compile(r"[^a-z0-9]+")

OnLeftOut = Callable[[str, str], None]  # the file, and why


class NoDocuments(Exception):
    """There is nothing to install."""


def source(
    folder: Path,
    *,
    name: str = "",
    on_left_out: OnLeftOut | None = None,
    extractor: "Extractor | None" = None,
) -> Source:
    """The folder as a corpus of its own name. Raises NoDocuments."""
    paths = list(files(folder))
    if not paths:
        raise NoDocuments(f"{folder} holds none of {', '.join(sorted((*TYPES, *OFFICE)))}.")
    name = name or name_of(folder)
    return Source(
        name=name,
        origin=str(folder.resolve()),
        version=version_of(paths),
        entries=entries(paths, root=folder, prefix=name, on_left_out=on_left_out, extractor=extractor),
        num_expected=len(paths),
    )


def name_of(folder: Path) -> str:
    return _NAME.sub("-", folder.resolve().name.casefold()).strip("-") or "folder"


def files(folder: Path) -> Iterator[Path]:
    """What can be read below the folder, in order; links that lead out of it are not followed, and none
    twice."""
    root = folder.resolve()
    seen: set[Path] = set()
    for path in sorted(folder.rglob("*")):
        real = path.resolve()
        is_ours = real.is_relative_to(root) and real not in seen
        if path.suffix.lower() in (*TYPES, *OFFICE) and is_ours and real.is_file():
            seen.add(real)
            yield path


def entries(
    paths: list[Path],
    *,
    root: Path,
    prefix: str,
    on_left_out: OnLeftOut | None = None,
    extractor: "Extractor | None" = None,
) -> Iterator[Entry]:
    reading = _Reading(on_left_out or (lambda place, why: None), extractor)
    for path in paths:
        place = path.relative_to(root).as_posix()
        read = partial(reading.document, path, place=place, id=f"{prefix}/{place}")
        yield Entry(id=f"{prefix}/{place}", stamp=_stamp(path), read=read)


class _Reading:
    def __init__(self, on_left_out: OnLeftOut, extractor: "Extractor | None") -> None:
        self._on_left_out = on_left_out
        self._extractor = extractor

    def document(self, path: Path, *, place: str, id: str) -> Document | None:
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise Unreadable(f"It is longer than {MAX_FILE_BYTES // 2**20} MB.")
            page = self._packed(path) if path.suffix.lower() in OFFICE else _page(path)
        except (Unreadable, OSError) as fault:
            self._on_left_out(place, str(fault))
            return None
        title = html.unescape(page.title) or path.stem
        return Document(id=id, title=title, sections=_own(page), dated=page.dated)

    def _packed(self, path: Path) -> Page:
        if self._extractor is None:
            raise Unreadable("There is nothing here that reads Word and Excel files.")
        from agents.documents.extraction import ReaderBusy

        try:
            with path.open("rb") as file:
                extracted = self._extractor.read(file, name=path.name)
        except ReaderBusy as fault:
            raise Unreadable(f"It could not be read now: {fault}") from fault
        if not extracted.parts:
            raise Unreadable(f"Nothing can be read in it ({extracted.fault}).")
        sections = (Section(heading=part.heading or part.place, text=part.text) for part in extracted.parts)
        return Page(title="", sections=tuple(sections))


def _stamp(path: Path) -> str:
    """Another one when the file was changed; "" where it cannot be looked at."""
    try:
        state = path.stat()
    except OSError:
        return ""
    return f"{READ_AS} {state.st_size} {state.st_mtime_ns}"


def _page(path: Path) -> Page:
    """By the page's own structure, not an article's: in a manual everything counts, and it is much faster."""
    body, content_type = path.read_bytes(), TYPES[path.suffix.lower()]
    if content_type != "text/html":
        return extraction.read(body, content_type=content_type)
    from agents.pages import html_text

    return html_text.read_structure(extraction.decoded(body))


def _own(page: Page) -> tuple[Section, ...]:
    return tuple(section for section in page.sections if section.text.strip())


def version_of(paths: list[Path]) -> str:
    """Another one when a file was added, changed or taken away."""
    digest = hashlib.sha256()
    for path in paths:
        state = path.stat()
        digest.update(f"{path} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]
