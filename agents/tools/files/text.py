"""The text of a file and how it was written: a change leaves all else of it byte for byte."""

import codecs
import difflib
from dataclasses import dataclass, replace

import charset_normalizer

from agents.tools.files.acting import Refused
from agents.workspace import WorkFolder, WorkspaceFull

MAX_BYTES = 8 * 2**20
SAMPLE_BYTES = 64 * 2**10
# Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SHOWN_LINES = 12
COMPARED_LINES = 4_000
COMPARED_CHARS = 160


@dataclass(frozen=True)
class FileText:
    """Line ends stand as they are in the file."""

    text: str
    encoding: str = "utf-8"

    @property
    def newline(self) -> str:
        return "\r\n" if self.text.count("\r\n") * 2 > self.text.count("\n") else "\n"

    def fitted(self, written: str) -> str:
        """What a model has written, with the line ends of this file."""
        plain = written.replace("\r\n", "\n")
        return plain if self.newline == "\n" else plain.replace("\n", "\r\n")

    def with_text(self, text: str) -> "FileText":
        return replace(self, text=text)

    def encoded(self, path: str) -> bytes:
        """Raises Refused for signs that the file's encoding does not have."""
        if self.encoding == "utf-8":
            return self.text.encode(errors="replace")
        try:
            return self.text.encode(self.encoding)
        except UnicodeEncodeError as fault:
            sign = self.text[fault.start]
            raise Refused(
                f"{path} is written in {self.encoding}, which has no {sign!r}: write it anew, in UTF-8."
            ) from fault


def read(folder: WorkFolder, path: str) -> FileText:
    """Raises Refused for what is no text or too large, BadPath and NoSuchFile (with names alike)."""
    try:
        content = folder.read(path, max_bytes=MAX_BYTES)
    except WorkspaceFull as fault:
        raise Refused(
            f"{path} is larger than {MAX_BYTES >> 20} MiB: use shell or run_python on it."
        ) from fault
    return decoded(content, path)


def decoded(content: bytes, path: str) -> FileText:
    """Raises Refused for what is no text."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return FileText(_strictly(content, encoding, path), encoding)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        encoding = _guessed(content, path)
        return FileText(_strictly(content, encoding, path), encoding)
    if "\0" in text:
        raise _is_binary(content, path)
    return FileText(text)


def _guessed(content: bytes, path: str) -> str:
    if b"\0" in content[:SAMPLE_BYTES]:
        raise _is_binary(content, path)
    best = charset_normalizer.from_bytes(content[:SAMPLE_BYTES]).best()
    if best is None:
        raise _is_binary(content, path)
    return best.encoding


def _strictly(content: bytes, encoding: str, path: str) -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as fault:
        raise _is_binary(content, path) from fault
    if text.encode(encoding, "replace") != content and encoding not in ("utf-16", "utf-32"):
        raise _is_binary(content, path)
    return text


def _is_binary(content: bytes, path: str) -> Refused:
    return Refused(f"{path} is binary ({len(content)} bytes): use run_python or shell on it.")


# ---- places in a text


def numbered(lines: list[str], first: int) -> str:
    return "\n".join(f"{number:>5}\t{line}" for number, line in enumerate(lines, start=first))


def line_of(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def near(text: str, wanted: str) -> str:
    """The lines that look most like the wanted ones, for somebody who has them not quite right."""
    lines, asked = text.splitlines(), wanted.strip("\n").splitlines()
    if not lines or not asked:
        return ""
    at = _same_but_for_spaces(lines, asked)
    if at is not None:
        return _shown("The same lines with other white space are there", lines, at, len(asked))
    at = _most_alike(lines, asked)
    return "" if at is None else _shown("The nearest lines are", lines, at, len(asked))


def _same_but_for_spaces(lines: list[str], asked: list[str]) -> int | None:
    bare, wanted = ["".join(line.split()) for line in lines], ["".join(line.split()) for line in asked]
    starts = [at for at, line in enumerate(bare) if line == wanted[0]]
    return next((at for at in starts[:COMPARED_LINES] if bare[at : at + len(wanted)] == wanted), None)


def _most_alike(lines: list[str], asked: list[str]) -> int | None:
    """Where the first line with words in it is found best. Bounded: a file may be all alike."""
    skipped = next((at for at, line in enumerate(asked) if line.strip()), 0)
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(asked[skipped].strip()[:COMPARED_CHARS])
    best, best_at = 0.6, None
    for at, line in enumerate(lines[:COMPARED_LINES]):
        matcher.set_seq1(line.strip()[:COMPARED_CHARS])
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and matcher.ratio() > best:
            best, best_at = matcher.ratio(), at
    return None if best_at is None else max(best_at - skipped, 0)


def _shown(said: str, lines: list[str], at: int, num_lines: int) -> str:
    part = [line[:200] for line in lines[at : at + min(num_lines, SHOWN_LINES)]]
    return f" {said}:\n{numbered(part, at + 1)}"
