"""A file's text in parts, read where a file made to break its reader breaks nothing else: in the sandbox, or
where there is none in a process of bounded memory and time.

What comes back was written by hostile code: it is checked, counted, and made fit for a model.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from agents import plain_text
from agents.corpus.documents import Section, passages_of
from agents.documents.reading.whole import ASKED, FILE, TOLD
from agents.sandbox import libraries
from agents.sandbox.cell import Limits
from agents.sandbox.sessions import Launcher, SandboxFailed
from agents.sandbox.watching import Ending

MAX_CHARS = 4_000_000
MAX_SECTIONS = 100_000
MAX_TOLD_BYTES = 48 * 2**20
READING_S = 60.0  # then what has been read so far stands
WALL_S = 90.0
LIMITS = Limits(memory_bytes=768 * 2**20, cpu_s=int(WALL_S))
SEEING_LIMITS = Limits(memory_bytes=1_536 * 2**20, cpu_s=int(WALL_S))
NAME_CHARS = 200

_READING = Path(__file__).with_name("reading")
_CODE = "from document_reading import whole\nwhole.main()"
_BOUNDED = """
import resource, sys
root, folder, memory_bytes, cpu_s, file_bytes = sys.argv[1:]
for which, most in (("AS", memory_bytes), ("CPU", cpu_s), ("FSIZE", file_bytes), ("CORE", 0)):
    resource.setrlimit(getattr(resource, f"RLIMIT_{which}"), (int(most), int(most)))
sys.path.insert(0, root)
from agents.documents.reading import whole
whole.main(folder)
"""
_ROOT = Path(__file__).resolve().parents[2]
_ENDINGS = {Ending.TIMEOUT: "slow", Ending.MEMORY: "memory"}


class ReaderBusy(Exception):
    """The file was not read, through no fault of its own: try again later."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of a document, short enough to be a passage. `place` is where it stands, as people say it:
    "p. 12", "Costs, rows 2-40"."""

    place: str
    heading: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """`fault` is empty when there are parts, else a word for why there are none. `notes` say what was left
    out."""

    parts: tuple[Part, ...] = ()
    fault: str = ""
    notes: tuple[Mapping[str, Any], ...] = ()


class Extractor(Protocol):
    def read(self, file: BinaryIO, *, name: str) -> Extracted:
        """Blocking. Raises ReaderBusy, and OSError when there is no room for the file."""
        ...


class SandboxExtractor:
    """A sandbox of its own for each file. `sight` is the folder of agents.documents.sight, where it is
    installed: then text on pictures is recognised."""

    def __init__(self, *, sight: Path | None = None) -> None:
        self._sees = sight is not None
        shown = {**libraries.places(*libraries.DOCUMENTS), "document_reading": _READING}
        self._launcher = Launcher(sight, libraries=shown)

    def read(self, file: BinaryIO, *, name: str) -> Extracted:
        limits = SEEING_LIMITS if self._sees else LIMITS
        with _folder(file, name, sees=self._sees) as folder:
            try:
                session = self._launcher.session(folder)
                try:
                    outcome = session.python(_CODE, wall_s=WALL_S, limits=limits)
                finally:
                    session.kill()
            except SandboxFailed as fault:
                raise ReaderBusy(str(fault)) from fault
            if outcome.ending is Ending.CRASHED and not (folder / TOLD).exists():
                raise ReaderBusy(f"nothing was begun: {outcome.output[:200]}")
            ending = "" if outcome.ending is Ending.DONE else _ENDINGS.get(outcome.ending, "damaged")
            return _told(folder, ending=ending or ("damaged" if outcome.error else ""))

    def close(self) -> None:
        self._launcher.close()


class BoundedExtractor:
    """A process with limits, for machines without a sandbox: it sees the machine, but writes no large file
    and has neither secrets nor much memory."""

    def read(self, file: BinaryIO, *, name: str) -> Extracted:
        bounds = (LIMITS.memory_bytes, LIMITS.cpu_s, MAX_TOLD_BYTES)
        with _folder(file, name, sees=False) as folder:
            process = subprocess.Popen(
                [sys.executable, "-I", "-c", _BOUNDED, str(_ROOT), str(folder), *map(str, bounds)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env={"LANG": "C.UTF-8", "HOME": "/nonexistent"},
                start_new_session=True,
            )
            try:
                status = process.wait(WALL_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                return _told(folder, ending="slow")
            return _told(folder, ending="" if status == 0 else "memory")


@contextmanager
def _folder(file: BinaryIO, name: str, *, sees: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="document-"))
    try:
        with (folder / FILE).open("wb") as copy:
            shutil.copyfileobj(file, copy, 2**20)
        asked = {"name": name, "max_chars": MAX_CHARS, "seconds": READING_S, "sees": sees}
        (folder / ASKED).write_text(json.dumps(asked), encoding="utf-8")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- what it told


def _told(folder: Path, *, ending: str) -> Extracted:
    """With a bad ending, what had been read by then, if anything."""
    parts: list[Part] = []
    fault = ""
    notes: tuple[Mapping[str, Any], ...] = ({"kind": "broken_off"},)
    for line in islice(_lines(folder / TOLD), MAX_SECTIONS):
        if line.get("end"):
            fault, notes = _text(line.get("fault"), 20), _notes(line.get("notes"))
            break
        parts += _parts(line)
    if parts and not fault:
        return Extracted(parts=tuple(parts), notes=notes)
    return Extracted(fault=fault or ending or "damaged")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines that are JSON objects, up to the first that is none."""
    with suppress(OSError, ValueError, RecursionError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            content = file.read(MAX_TOLD_BYTES)
        for line in content.split(b"\n"):
            told = json.loads(line)
            if not isinstance(told, dict):
                return
            yield told


def _parts(line: Mapping[str, Any]) -> Iterator[Part]:
    place, heading = _text(line.get("place"), NAME_CHARS), _text(line.get("heading"), NAME_CHARS)
    text = plain_text.neutral(plain_text.clean(_text(line.get("text"), MAX_CHARS)))
    for piece in passages_of(Section(heading=heading, text=text)):
        yield Part(place=place, heading=heading, text=piece)


def _notes(told: Any) -> tuple[Mapping[str, Any], ...]:
    """Of plain values only."""
    found = []
    for note in told[:20] if isinstance(told, list) else ():
        if isinstance(note, dict):
            found.append({_text(key, 20): _plain(value) for key, value in list(note.items())[:6]})
    return tuple(found)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value[:20] if not isinstance(one, list | dict)]
    return value if isinstance(value, int) and abs(value) < 2**31 else _text(value, NAME_CHARS)


def _text(value: Any, max_chars: int) -> str:
    text = value[:max_chars] if isinstance(value, str) else ""
    if max_chars > NAME_CHARS:
        return text
    return " ".join(plain_text.neutral(plain_text.clean(text)).split())
