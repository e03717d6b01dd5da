"""A log that shows tampering: JSON lines, each carrying the hash of the line before it. Pure.

Whoever can write the whole file can also hash it anew: keep the hash of its last line elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ORIGIN = "0" * 64  # what the first line carries
END = "end"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One thing that happened. `data` is plain JSON."""

    kind: str
    data: Mapping[str, Any]


class ChainBroken(Exception):
    """The log was changed after it was written: first seen at `line`, counted from 1."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line


def export(records: Iterable[Record]) -> Iterator[str]:
    """The lines, without their line ends. The last one counts the others, so that none can be cut off."""
    last_hash = ORIGIN
    number = 0
    for number, record in enumerate(records, start=1):
        line = _line(number, last_hash, record.kind, record.data)
        last_hash = hash_of(line)
        yield line
    yield _line(number + 1, last_hash, END, {"num_records": number})


def verify(lines: Iterable[str], *, last_hash: str = "") -> str:
    """The hash of the last line, when every line is as it was written. Raises ChainBroken.

    `last_hash`, kept elsewhere since the export, proves that the whole log is that very one.
    """
    expected, number, kind = ORIGIN, 0, ""
    for number, line in enumerate(lines, start=1):
        if kind == END:
            raise ChainBroken(number, "there is more behind the end")
        kind = _checked(number, line, expected)
        expected = hash_of(line)
    if kind != END:
        raise ChainBroken(number + 1, "the end is missing")
    if last_hash and last_hash != expected:
        raise ChainBroken(number, "the log is another than the one whose last hash was kept")
    return expected


def hash_of(line: str) -> str:
    return hashlib.sha256(line.encode("utf-8", "surrogatepass")).hexdigest()


def _line(number: int, previous: str, kind: str, data: Mapping[str, Any]) -> str:
    content = {"line": number, "previous": previous, "kind": kind, "data": data}
    # One spelling for one content: the same rows give the same bytes.
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _checked(number: int, line: str, expected: str) -> str:
    """The kind of a line that is sound by itself and follows the line before it."""
    try:
        content = json.loads(line)
        previous, kind, data = content["previous"], content["kind"], content["data"]
    except (ValueError, TypeError, KeyError):
        raise ChainBroken(number, "this is no line of such a log") from None
    if previous != expected:
        raise ChainBroken(number, "it does not follow the line before it, or that line was changed")
    if content.get("line") != number:
        raise ChainBroken(number, "its number is wrong")
    if kind == END and data != {"num_records": number - 1}:
        raise ChainBroken(number, "lines are missing before the end")
    if line != _line(number, previous, kind, data):
        raise ChainBroken(number, "it is not spelled as it was written")
    return str(kind)
