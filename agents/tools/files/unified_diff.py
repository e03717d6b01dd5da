"""Unified diffs as models write them: what each file's hunks take away and put in its place.

Line numbers and counts are hints only, for models count badly; the lines themselves must be right.
"""

import re
from dataclasses import dataclass, field

from agents.tools.files import text
from agents.tools.files.acting import Refused
from agents.tools.files.text import FileText

NOTHING = "/dev/null"
MAX_PLACES = 2_000  # that are looked at: a file may be all alike
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")
_NO_NEWLINE = "\\ No newline"


@dataclass
class Hunk:
    """`first` is the line it says it begins at, if it does; `header` is how it is named to whoever wrote it.
    `lines` are the signs " ", "-" or "+", each with a line."""

    header: str
    first: int | None
    lines: list[tuple[str, str]] = field(default_factory=list)
    old_ends_open: bool = False
    new_ends_open: bool = False

    @property
    def old(self) -> list[str]:
        return [line for sign, line in self.lines if sign != "+"]

    def num(self, sign: str) -> int:
        return sum(one == sign for one, _ in self.lines)


@dataclass
class FilePatch:
    """`old` or `new` is empty where the file is made or removed; they differ where it gets another name."""

    old: str = ""
    new: str = ""
    hunks: list[Hunk] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.new or self.old


def parsed(diff: str) -> list[FilePatch]:
    """Raises Refused for what is no unified diff."""
    patches: list[FilePatch] = []
    lines = diff.replace("\r\n", "\n").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    at = 0
    while at < len(lines):
        line = lines[at]
        if _begins_file(lines, at):
            old, new = _path(line[4:], "a/"), _path(lines[at + 1][4:], "b/")
            if patches and not patches[-1].hunks and (patches[-1].old, patches[-1].new) == (old, new):
                patches.pop()  # its renaming was told in the lines before
            patches.append(FilePatch(old=old, new=new))
            at += 2
        elif line.startswith("rename from ") and at + 1 < len(lines):
            new = lines[at + 1].removeprefix("rename to ").strip()
            patches.append(FilePatch(old=line[12:].strip(), new=new))
            at += 2
        elif line.startswith("@@"):
            at = _hunk(lines, at, patches)
        else:
            at += 1  # "diff --git", "index" and what people write around a diff
    if not any(patch.hunks or patch.old != patch.new for patch in patches):
        raise Refused(
            'This is no unified diff: it needs "--- a/path", "+++ b/path" and "@@ -1,3 +1,4 @@" lines.'
        )
    return patches


def _path(written: str, prefix: str) -> str:
    path = written.split("\t")[0].strip().strip('"')
    return "" if path == NOTHING else path.removeprefix(prefix)


def _hunk(lines: list[str], at: int, patches: list[FilePatch]) -> int:
    """Read the hunk that begins there; where the next thing does."""
    if not patches:
        raise Refused(f"{lines[at][:80]} stands before any file: begin with --- a/path and +++ b/path.")
    stated = _HUNK.match(lines[at])
    hunk = Hunk(header=lines[at][:80], first=int(stated[1]) if stated else None)
    patches[-1].hunks.append(hunk)
    for place in range(at + 1, len(lines)):
        line = lines[place]
        if line.startswith(_NO_NEWLINE):
            before = lines[place - 1][:1]
            hunk.old_ends_open |= before in (" ", "-")
            hunk.new_ends_open |= before in (" ", "+")
        elif line[:1] not in ("", " ", "+", "-") or _begins_file(lines, place):
            return place
        else:
            # A line without its sign is an empty one, whose space an editor has taken away.
            hunk.lines.append((line[:1] or " ", line[1:]))
    return len(lines)


def _begins_file(lines: list[str], at: int) -> bool:
    return lines[at].startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ ")


def applied(found: FileText, patch: FilePatch) -> FileText:
    """The file after all hunks; what they keep stays as it is written there. Raises Refused, naming the hunk
    that does not fit."""
    lines = found.text.split("\n") if found.text else []
    ends_open = bool(lines) and bool(lines[-1])
    if lines and not ends_open:
        lines.pop()
    line_end = "\r" if found.newline == "\r\n" else ""
    moved, done = 0, 0
    for hunk in patch.hunks:
        at = _fitted(hunk, lines, moved=moved, after=done, patch=patch, whole=found.text)
        kept = iter(lines[at : at + len(hunk.old)])
        after: list[str] = []
        for sign, line in hunk.lines:
            if sign == "+":
                after.append(line + line_end)
            elif sign == "-":
                next(kept)
            else:
                after.append(next(kept))
        if at + len(hunk.old) == len(lines):
            ends_open = hunk.new_ends_open or (ends_open and not hunk.num("+"))
        lines[at : at + len(hunk.old)] = after
        moved += len(after) - len(hunk.old)
        done = at + len(after)
    return found.with_text("\n".join(lines) + ("" if ends_open or not lines else "\n"))


def _fitted(hunk: Hunk, lines: list[str], *, moved: int, after: int, patch: FilePatch, whole: str) -> int:
    """Where the hunk belongs."""
    stated = None if hunk.first is None else hunk.first - 1 + moved
    at = _place(lines, hunk.old, expected=stated, after=after)
    while at is None and hunk.lines and hunk.lines[-1] == (" ", ""):
        hunk.lines.pop()  # an empty line at the end belongs to what stands around the diff
        at = _place(lines, hunk.old, expected=stated, after=after)
    if at is None:
        near = text.near(whole, "\n".join(hunk.old))
        raise Refused(
            f"Nothing was changed: the hunk {hunk.header} does not fit {patch.name}; the lines that it keeps "
            f"or takes away are not there, or come before those of an earlier hunk.{near}"
        )
    return at


def _place(lines: list[str], old: list[str], *, expected: int | None, after: int) -> int | None:
    """Where the lines stand behind the hunks before, as near to what is expected as may be."""
    if not old:
        if expected is None and lines:
            return None
        return min(max(0 if expected is None else expected + 1, after), len(lines))
    bare = [line.rstrip("\r") for line in lines]
    last = len(bare) - len(old)
    expected = min(max(expected or 0, after), max(last, 0))
    found = (at for at in range(after, last + 1) if bare[at] == old[0])
    nearest = sorted(found, key=lambda at: abs(at - expected))
    return next((at for at in nearest[:MAX_PLACES] if bare[at : at + len(old)] == old), None)
