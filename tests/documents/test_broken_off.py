"""A reader that breaks in the middle of a file: what it had read stands, and that it is not all is said."""

import json
from pathlib import Path

import pytest

from agents.documents.reading import whole
from agents.documents.reading.whole import Whole


@pytest.mark.parametrize("has_read", [True, False])
def test_a_file_that_breaks_its_reader_is_never_passed_off_as_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_read: bool
) -> None:
    def breaks(self: Whole, body: bytes, name: str) -> None:
        if has_read:
            self._sections.add("The beginning of it.", place="p. 1")
        raise AttributeError("a library's bug")

    monkeypatch.setattr(Whole, "read", breaks)
    asked = {"max_chars": 1_000, "seconds": 10, "name": "a.pdf", "sees": False}
    (tmp_path / whole.ASKED).write_text(json.dumps(asked))
    (tmp_path / whole.FILE).write_bytes(b"%PDF")
    whole.main(str(tmp_path))
    told = (tmp_path / whole.TOLD).read_text()
    assert ("broken_off" in told, "damaged" in told) == (has_read, not has_read)
