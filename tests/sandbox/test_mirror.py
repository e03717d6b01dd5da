"""What a folder that hostile code writes can do to the folder outside: nothing but fill it with files."""

import os
from pathlib import Path

import pytest

from agents.sandbox import mirror
from agents.sandbox.mirror import Mirror


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    return tmp_path / "outside"


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    (tmp_path / "inside").mkdir()
    return tmp_path / "inside"


@pytest.fixture
def pair(outside: Path, inside: Path) -> Mirror:
    return Mirror(outside, inside, owner=None)


def test_only_what_changed_is_copied_either_way(pair: Mirror, outside: Path, inside: Path) -> None:
    (outside / "a").mkdir()
    (outside / "a" / "in.txt").write_text("in")
    assert pair.bring_in().written == {"a/in.txt": 2}
    (inside / "out.sh").write_text("out")
    (inside / "out.sh").chmod(0o755)
    assert pair.bring_out().written == {"out.sh": 3}
    assert (outside / "out.sh").stat().st_mode & 0o777 == 0o755
    assert (pair.bring_in().written, pair.bring_out().written) == ({}, {})
    (inside / "a" / "in.txt").unlink()
    assert pair.bring_out().removed == ("a/in.txt",)
    assert not (outside / "a").exists()


def test_links_are_neither_followed_nor_kept(
    pair: Mirror, outside: Path, inside: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (inside / "file").symlink_to(tmp_path / "secret")
    (inside / "folder").symlink_to(tmp_path)
    os.mkfifo(inside / "pipe")
    copied = pair.bring_out()
    assert (copied.written, len(copied.left_out), list(outside.iterdir())) == ({}, 3, [])


def test_a_folder_that_becomes_a_link_leads_nowhere(
    pair: Mirror, outside: Path, inside: Path, tmp_path: Path
) -> None:
    (outside / "a").mkdir()
    (outside / "a" / "file").write_text("1")
    pair.bring_in()
    (inside / "a").rename(inside / "b")
    (inside / "a").symlink_to(tmp_path)
    (outside / "a" / "file").write_text("longer")
    pair.bring_in()
    assert not (tmp_path / "file").exists()


def test_bytes_files_and_names_are_bounded(
    pair: Mirror, outside: Path, inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "MAX_BYTES", 1_000)
    monkeypatch.setattr(mirror, "MAX_FILES", 5)
    for number in range(9):
        (inside / f"{number}").write_text("x")
    (inside / "0").write_text("")
    os.truncate(inside / "3", 2_000)  # all holes
    (inside / "!two\nlines").write_text("x")
    copied = pair.bring_out()
    assert set(copied.written) == {"0", "1", "2"}
    assert any("larger than" in what for what in copied.left_out)
    assert any("cannot be kept" in what for what in copied.left_out)
    assert any("more than 5 files" in what for what in copied.left_out)


def test_a_file_outside_that_a_folder_has_replaced_is_replaced_in_turn(
    pair: Mirror, outside: Path, inside: Path
) -> None:
    (inside / "a").write_text("file")
    pair.bring_out()
    (inside / "a").unlink()
    (inside / "a").mkdir()
    (inside / "a" / "b").write_text("deeper")
    pair.bring_out()
    assert (outside / "a" / "b").read_text() == "deeper"
