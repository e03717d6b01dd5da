"""Zip archives: each file in them as itself, none of them larger in sum than a bound, whatever it says of its
size."""

import io
import zipfile
from collections.abc import Callable

from .sections import Enough, Sections, Unreadable

MAX_MEMBERS = 500
MAX_BYTES = 100 * 2**20  # of all that is unpacked, archives in archives included
MAX_MEMBER_BYTES = 32 * 2**20
MAX_DEPTH = 2
MAX_RATIO = 200  # a text is hardly ever a hundredth of itself

Read = Callable[[bytes, str], None]


class Archive:
    def __init__(self, sections: Sections, read: Read) -> None:
        self._sections = sections
        self._read = read
        self._left_bytes = MAX_BYTES
        self._depth = 0

    def open(self, body: bytes) -> None:
        """Raises Unreadable for a bomb; what cannot be read is left out and named."""
        if self._depth == MAX_DEPTH:
            raise Unreadable("nested")
        outer, before = self._sections.prefix, self._sections.num_chars
        left_out: list[str] = []
        self._depth += 1
        try:
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                self._check(members, len(body))
                for member in members:
                    self._sections.prefix = f"{outer}{_shown(member.filename)}, "
                    self._member(archive, member, left_out)
        finally:
            self._sections.prefix = outer
            self._depth -= 1
            if left_out:
                self._sections.note("left_out", names=left_out[:20], num=len(left_out))
        if self._sections.num_chars == before:
            raise Unreadable("nothing_inside")

    def _check(self, members: list[zipfile.ZipInfo], num_bytes: int) -> None:
        total = sum(member.file_size for member in members)
        if len(members) > MAX_MEMBERS:
            raise Unreadable("too_many_files")
        if total > self._left_bytes or total > MAX_RATIO * max(num_bytes, 10_000):
            raise Unreadable("bomb")

    def _member(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, left_out: list[str]) -> None:
        name = _shown(member.filename)
        if _is_noise(name):
            return
        if member.file_size > MAX_MEMBER_BYTES:
            left_out.append(name)
            return
        try:
            with archive.open(member) as file:
                # Never more than it has said, which is bounded above.
                body = file.read(member.file_size + 1)
            self._left_bytes -= len(body)
            self._read(body, name)
        except (Enough, MemoryError):
            raise
        except Unreadable as fault:
            if fault.fault == "bomb":
                raise
            left_out.append(name)
        except Exception:
            # A damaged file, or one with a password, among others that read well.
            left_out.append(name)


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "_" for char in name)[-150:]


def _is_noise(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] in (".DS_Store", "Thumbs.db")
