"""What a file is: by its first bytes, then by its name."""

import io
import zipfile

from .sections import Unreadable

_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"\x00\x00\x01\x00")
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"  # also what a password makes of a new file
_HTML = ("html", "htm", "xhtml")
_MARKDOWN = ("md", "markdown", "mdx", "rst")
_SEPARATED = {"csv": "", "tsv": "\t"}


def kind_of(body: bytes, name: str) -> str:
    """pdf, docx, xlsx, zip, picture, html, markdown, csv, tsv or text. Raises Unreadable."""
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    if b"%PDF-" in body[:1_024]:
        return "pdf"
    if body.startswith(b"PK\x03\x04") or body.startswith(b"PK\x05\x06"):
        return _packed(body)
    if body.startswith(_OLD_OFFICE):
        raise Unreadable("old_office")
    if body.startswith(_PICTURES) or (body[:4] == b"RIFF" and body[8:12] == b"WEBP"):
        return "picture"
    if not body.strip():
        raise Unreadable("empty")
    if ending in ("pdf", "docx", "xlsx", "zip"):
        raise Unreadable("damaged")
    if ending in _HTML or (not ending and body[:200].lstrip().lower().startswith(b"<!doctype html")):
        return "html"
    if ending in _MARKDOWN:
        return "markdown"
    return ending if ending in _SEPARATED else "text"


def _packed(body: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as fault:
        raise Unreadable("damaged") from fault
    if "word/document.xml" in names:
        return "docx"
    if "xl/workbook.xml" in names:
        return "xlsx"
    if "ppt/presentation.xml" in names:
        raise Unreadable("slides")
    return "zip"
