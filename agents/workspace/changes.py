"""Changes of several files that happen once and whole, whatever dies meanwhile.

A call's change is written down before the first file is touched, under the call's key: whoever runs the call
again brings it to its end, and says what the first run would have said.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import msgspec

from agents.workspace.folder import WorkFolder


class Change(msgspec.Struct, frozen=True):
    """What becomes of files, by their paths: their new content, or None for those that go. `told` is what the
    call says of it."""

    told: str
    files: Mapping[str, bytes | None] = {}


class Journal:
    """The changes of a turn's calls. Used under the conversation's lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> Change | None:
        try:
            return msgspec.json.decode(self._place(key).read_bytes(), type=Change)
        except FileNotFoundError:
            return None

    def write(self, key: str, change: Change) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f"new-{uuid4().hex}"
        temporary.write_bytes(msgspec.json.encode(change))
        temporary.replace(self._place(key))

    def carry_out(self, key: str, change: Change, folder: WorkFolder) -> None:
        """Nothing is left to be done when it was carried out before."""
        for path, content in change.files.items():
            if content is None:
                folder.remove(path)
        for path, content in change.files.items():
            if content is not None:
                folder.put(path, content)
        self.write(key, Change(told=change.told))

    def _place(self, key: str) -> Path:
        return self._folder / f"call-{hashlib.sha256(key.encode()).hexdigest()[:32]}.done"
