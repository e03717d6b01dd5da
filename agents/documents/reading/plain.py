"""Text, Markdown, code and tables of separated values."""

import csv
import io
import re
from collections.abc import Iterable

from .sections import Lines, Sections, Unreadable

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_HEADING = re.compile(r"#{1,6}[ \t]+(.{1,200})")
_HIGH = re.compile(rb"[\x80-\xff]+")
MAX_COLUMNS = 500


def decoded(body: bytes) -> str:
    """By its byte order mark, as UTF-8, and else as what its bytes look like. Raises Unreadable."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body.decode(name, errors="replace")
    if (wide := _wide(body)) is not None:
        return body.decode(wide, errors="replace")
    if b"\x00" in body:
        raise Unreadable("bytes")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("gb18030" if _is_chinese(body) else "cp1252", errors="replace")


def _wide(body: bytes) -> str | None:
    """UTF-16 without a mark: every second byte of its letters is nought."""
    head = body[:4_000]
    if len(head) < 4:
        return None
    even, odd = head[::2].count(0) / len(head) * 2, head[1::2].count(0) / len(head) * 2
    if even < 0.02 and odd > 0.6:
        return "utf-16-le"
    return "utf-16-be" if odd < 0.02 and even > 0.6 else None


def _is_chinese(body: bytes) -> bool:
    """Its high bytes come in long runs; those of western texts stand between plain letters."""
    runs = _HIGH.findall(body[:100_000])
    return sum(map(len, runs)) > 2.2 * len(runs)


def read_text(body: bytes, sections: Sections, *, has_headings: bool = False) -> None:
    lines = Lines(sections, "line")
    for number, line in enumerate(decoded(body).splitlines(), 1):
        if has_headings and (found := _HEADING.match(line)):
            lines.flush()
            lines.heading = found[1].strip(" #")
        lines.add(number, line)
    lines.flush()


def read_table(body: bytes, sections: Sections, *, delimiter: str = "") -> None:
    """Each row with the names of its columns, so that a passage of it can be read by itself."""
    text = decoded(body)
    csv.field_size_limit(1 << 20)
    try:
        rows = csv.reader(io.StringIO(text), delimiter=delimiter or _delimiter(text))
        add_rows(enumerate(rows, 1), Lines(sections, "row"))
    except csv.Error as fault:
        raise Unreadable("damaged") from fault


def add_rows(rows: Iterable[tuple[int, list[str]]], lines: Lines) -> None:
    """`rows` are numbers with lists of texts; the first that has any text names the columns."""
    names: list[str] = []
    for number, row in rows:
        cells = [" ".join(str(cell).split()) for cell in row[:MAX_COLUMNS]]
        if not any(cells):
            continue
        if not names:
            names = cells
            lines.add(number, " | ".join(cells))
            continue
        pairs = [
            f"{names[at]}: {cell}" if at < len(names) and names[at] else cell
            for at, cell in enumerate(cells)
            if cell
        ]
        lines.add(number, "; ".join(pairs))
    lines.flush()


def _delimiter(text: str) -> str:
    first = text[:4_000].splitlines()[:1]
    return max(",;\t|", key=first[0].count) if first and first[0].strip() else ","
