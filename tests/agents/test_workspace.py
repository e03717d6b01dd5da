"""A turn's work folder and its snapshots, on real files."""

import os
import random
from pathlib import Path

import pytest

from agents.notebook import InMemoryNotebook
from agents.tool import ToolContext
from agents.tools.rollback import Rollback
from agents.workspace import Caps, SnapshotLost, Workspace, WorkspaceFull
from tests.agents.transcripts import Story


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "turn")


def write(workspace: Workspace, **files: str) -> None:
    """`a__b=text` writes a/b."""
    for name, text in files.items():
        path = workspace.files / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def tree(workspace: Workspace) -> dict[str, str]:
    """Every entry of the folder, links unfollowed."""
    return {
        str(path.relative_to(workspace.files)): "link" if path.is_symlink() else path.read_text()
        for path in sorted(workspace.files.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }


def test_the_folder_comes_back_as_it_was_after_the_step(workspace):
    write(workspace, notes="one", data__table="1,2")
    workspace.take(3)
    before = tree(workspace)
    write(workspace, notes="two", data__table="9", data__more__deep="x", draft="y")
    workspace.take(5)
    (workspace.files / "notes").unlink()
    for step in (3, 4):
        workspace.restore(step, at_step=6)
        assert tree(workspace) == before


def test_going_back_to_before_the_first_snapshot_empties_the_folder(workspace):
    write(workspace, notes="one", a__b__c="two")
    workspace.take(3)
    workspace.restore(2, at_step=4)
    assert tree(workspace) == {}
    assert not any(workspace.files.iterdir())


def test_after_a_restore_the_steps_that_were_taken_back_are_never_returned_to(workspace):
    write(workspace, notes="right")
    workspace.take(1)
    write(workspace, notes="wrong")
    workspace.take(2)
    workspace.restore(1, at_step=3)
    write(workspace, notes="later")
    workspace.take(7)
    workspace.restore(5, at_step=8)  # no step between 3 and 7 has changed a file
    assert tree(workspace) == {"notes": "right"}


def test_the_same_restore_again_changes_nothing_more(workspace):
    write(workspace, notes="right")
    first = workspace.take(1)
    write(workspace, notes="wrong")
    names = {workspace.restore(1, at_step=2).name for _ in range(3)}
    assert names == {first.name}
    assert tree(workspace) == {"notes": "right"}


def test_contents_are_kept_once_however_many_steps_and_names_have_them(workspace):
    for step in range(20):
        write(workspace, **{f"copy{step}": "the same " * 1_000})
        workspace.take(step)
    objects = [path for path in (workspace.files.parent / "objects").rglob("*") if path.is_file()]
    assert len(objects) == 1


def test_executable_files_stay_so(workspace):
    write(workspace, run="#!/bin/sh", notes="x")
    (workspace.files / "run").chmod(0o755)
    workspace.take(1)
    (workspace.files / "run").chmod(0o600)
    workspace.restore(1, at_step=2)
    assert os.access(workspace.files / "run", os.X_OK)
    assert not (workspace.files / "notes").stat().st_mode & 0o100


# ---- hostile folders


def test_links_and_pipes_are_neither_kept_nor_followed(workspace, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("key")
    write(workspace, notes="mine")
    (workspace.files / "link").symlink_to(secret)
    (workspace.files / "folder").symlink_to(tmp_path)
    (workspace.files / "loop").symlink_to("loop")
    os.mkfifo(workspace.files / "pipe")
    assert set(workspace.take(1).files) == {"notes"}
    workspace.restore(1, at_step=2)
    assert tree(workspace) == {"notes": "mine"}
    assert secret.read_text() == "key"


def test_a_restore_writes_through_no_link_that_took_the_place_of_a_folder(workspace, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "table").write_text("theirs")
    write(workspace, data__table="mine", notes="mine")
    workspace.take(1)
    (workspace.files / "data" / "table").unlink()
    (workspace.files / "data").rmdir()
    (workspace.files / "data").symlink_to(outside)
    (workspace.files / "notes").unlink()
    (workspace.files / "notes").symlink_to(outside / "table")
    workspace.restore(1, at_step=2)
    assert tree(workspace) == {"data/table": "mine", "notes": "mine"}
    assert (outside / "table").read_text() == "theirs"
    assert sorted(os.listdir(outside)) == ["table"]


def test_files_and_folders_that_swapped_their_places_are_put_right(workspace):
    write(workspace, a="file", b__c="inner")
    workspace.take(1)
    before = tree(workspace)
    (workspace.files / "a").unlink()
    (workspace.files / "b" / "c").unlink()
    (workspace.files / "b").rmdir()
    write(workspace, a__x__y="folder now", b="file now")
    workspace.restore(1, at_step=2)
    assert tree(workspace) == before


def test_a_folder_nested_more_deeply_than_descriptors_last_is_removed(workspace):
    write(workspace, notes="mine")
    workspace.take(1)
    at = os.open(workspace.files, os.O_RDONLY)
    for _ in range(3_000):
        os.mkdir("d", dir_fd=at)
        inner = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    assert set(workspace.take(2).files) == {"notes"}
    workspace.restore(1, at_step=3)
    assert os.listdir(workspace.files) == ["notes"]


def test_too_many_or_too_large_files_are_refused_and_the_snapshots_before_stay(tmp_path):
    workspace = Workspace(tmp_path, caps=Caps(max_files=3, max_bytes=100))
    write(workspace, a="1", b="2")
    workspace.take(1)
    write(workspace, c="3", d="4")
    with pytest.raises(WorkspaceFull, match="3 files"):
        workspace.take(2)
    (workspace.files / "d").unlink()
    write(workspace, c="x" * 99)
    with pytest.raises(WorkspaceFull, match="larger"):
        workspace.take(2)
    workspace.restore(2, at_step=3)
    assert tree(workspace) == {"a": "1", "b": "2"}
    assert not list((tmp_path / "objects").glob("new-*"))


def test_a_sparse_file_of_a_terabyte_is_refused_before_it_fills_the_disk(tmp_path):
    workspace = Workspace(tmp_path, caps=Caps(max_bytes=1_000_000))
    with (workspace.files / "huge").open("wb") as huge:
        huge.truncate(2**40)
    with pytest.raises(WorkspaceFull):
        workspace.take(1)


# ---- crashes


class Crash(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("seed", range(8))
def test_a_crash_at_any_rename_leaves_the_old_snapshot_or_the_new(workspace, monkeypatch, seed):
    """The process dies right before or right after a rename, then a new one makes the call again."""
    fate = random.Random(seed)
    write(workspace, notes="one", data__table="1")
    workspace.take(1)
    write(workspace, notes="two", data__table="2", data__more="3")
    real_replace, real_rename = Path.replace, os.rename

    def crashing(rename):
        def either(*args, **kwargs):
            if fate.random() < 0.3:
                raise Crash
            rename(*args, **kwargs)
            if fate.random() < 0.3:
                raise Crash

        return either

    def until_it_lives(action) -> None:
        for _ in range(200):
            try:
                with monkeypatch.context() as patch:
                    patch.setattr(Path, "replace", crashing(real_replace))
                    patch.setattr(os, "rename", crashing(real_rename))
                    action(Workspace(workspace.files.parent))
                return
            except Crash:
                continue
        raise AssertionError("it never came through")

    until_it_lives(lambda again: again.take(2))
    after = tree(workspace)
    until_it_lives(lambda again: again.restore(1, at_step=3))
    assert tree(workspace) == {"notes": "one", "data/table": "1"}
    until_it_lives(lambda again: again.restore(2, at_step=4))
    assert tree(workspace) == after
    workspace.take(5)
    assert not list(workspace.files.parent.rglob("new-*"))


def test_contents_that_were_lost_are_told_before_anything_is_changed(workspace):
    write(workspace, notes="one", other="two")
    kept = workspace.take(1).files["notes"]
    write(workspace, notes="three")
    (workspace.files.parent / "objects" / kept.digest[:2] / kept.digest).unlink()
    with pytest.raises(SnapshotLost, match="notes"):
        workspace.restore(1, at_step=2)
    assert tree(workspace) == {"notes": "three", "other": "two"}


# ---- together with the rollback of the turn


async def test_a_wrong_result_of_step_40_found_at_45_leaves_the_files_of_step_39(workspace):
    story = Story()
    for number in range(1, 46):
        story.step("right" if number < 40 else "wrong")
        write(workspace, table=f"up to {number}", **{f"part{number % 4}": str(number)})
        workspace.take(number)
        if number == 39:
            before = tree(workspace)
    arguments = {"to_call": "functions.search:38", "lesson": "The result of step 40 was wrong."}
    rollback = Rollback(InMemoryNotebook(story.transcript), workspace)
    result = await rollback.run(arguments, ToolContext(key="turn.46.0", step=46))
    assert tree(workspace) == before
    [note] = result.notes
    snapshot = workspace.snapshot(39)
    assert snapshot is not None
    assert note.data["to_step"] == 39
    assert note.data["snapshot"] == snapshot.name
