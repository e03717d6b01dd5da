"""What reading a file brings, within a budget of characters and seconds."""

import json
import time
from typing import IO

SECTION_CHARS = 1_100  # of lines and rows that are put together under one place


class Unreadable(Exception):
    """There is no text to be had. `fault` is one of the words that people are told by."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


class Enough(Exception):
    """The budget is used up: what has been read so far stands."""


class Sections:
    """Writes each section as a line of JSON. `prefix` stands before every place: the file within an
    archive."""

    def __init__(self, out: IO[str], *, max_chars: int, seconds: float) -> None:
        self._out = out
        self._left_chars = max_chars
        self._until = time.monotonic() + seconds
        self.prefix = ""
        self.num_chars = 0
        self.page: tuple[int, int] | None = None  # how far a file of pages was read, of how many
        self.notes: list[dict[str, object]] = []

    def add(self, text: str, *, place: str, heading: str = "") -> None:
        """Raises Enough."""
        self.check()
        text = text.strip()
        if not text:
            return
        is_last = len(text) > self._left_chars
        text = text[: self._left_chars]
        self._left_chars -= len(text)
        self.num_chars += len(text)
        self._write({"place": self.prefix + place, "heading": heading[:200], "text": text})
        if is_last:
            raise Enough

    def check(self) -> None:
        """Raises Enough when the time is up."""
        if time.monotonic() > self._until or self._left_chars <= 0:
            raise Enough

    def note(self, kind: str, **more: object) -> None:
        """What was left out, for people and for the model."""
        self.notes.append({"kind": kind, "in": self.prefix.rstrip(", "), **more})

    def end(self, *, fault: str = "") -> None:
        """Say that nothing more will come."""
        self._write({"end": True, "fault": fault, "notes": self.notes[:20]})

    def _write(self, line: dict[str, object]) -> None:
        self._out.write(json.dumps(line, ensure_ascii=True) + "\n")


class Lines:
    """Puts lines or rows together until they make a section: "line 2", "lines 3-17"."""

    def __init__(self, sections: Sections, what: str) -> None:
        self._sections = sections
        self._what = what
        self._kept: list[str] = []
        self._num_chars = self._first = self._last = 0
        self.heading = ""

    def add(self, number: int, line: str) -> None:
        if self._kept and self._num_chars + len(line) > SECTION_CHARS:
            self.flush()
        self._first = self._first or number
        self._last = number
        self._kept.append(line)
        self._num_chars += len(line) + 1

    def flush(self) -> None:
        kept, self._kept = self._kept, []
        first, last, self._first, self._num_chars = self._first, self._last, 0, 0
        if kept:
            place = f"{self._what} {first}" if first == last else f"{self._what}s {first}-{last}"
            self._sections.add("\n".join(kept), place=place, heading=self.heading)
