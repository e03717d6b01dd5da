"""One work folder for a tree of turns: each turn finds what its parent left, whatever lies there now."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agents.workspace import Caps, ConversationFiles, NoSuchFile, Workspace, WorkspaceFull
from agents.workspace.snapshots import Store


class Tree:
    """Turns by name, each with its parent."""

    def __init__(self, root: Path, **caps: int) -> None:
        self.root = root
        self._caps = Caps(**caps)
        self._parents: dict[str, str] = {}

    @property
    def files(self) -> ConversationFiles:
        """As another process sees it."""
        return ConversationFiles(self.root, caps=self._caps)

    def turn(self, name: str, *, parent: str = "") -> Workspace:
        self._parents[name] = parent
        return self.again(name)

    def again(self, name: str) -> Workspace:
        return self.files.of_turn(name, ancestors=lambda: self.line(name)[1:])

    def agent(self, name: str, *, turn: str) -> Workspace:
        return self.files.of_agent(name, turn=turn, ancestors=lambda: self.line(turn)[1:])

    def line(self, name: str) -> list[str]:
        way = []
        while name:
            way.append(name)
            name = self._parents[name]
        return way

    def shown(self, name: str) -> dict[str, bytes]:
        seen = self.files.shown(self.line(name))
        return {file.path: self._content(name, file.path) for file in seen.files()}

    def _content(self, name: str, path: str) -> bytes:
        with self.files.shown(self.line(name)).open(path) as (file, about):
            content = file.read()
        assert about.num_bytes == len(content)
        return content


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "conversation")


def held(workspace: Workspace) -> dict[str, bytes]:
    folder = workspace.folder
    return {file.path: folder.read(file.path, max_bytes=1_000) for file in folder.files()}


def test_the_next_turn_finds_the_files_of_the_one_before(tree: Tree) -> None:
    tree.turn("one").put("a.py", b"1")
    tree.turn("two", parent="one").put("b.py", b"2")
    assert held(tree.turn("three", parent="two")) == {"a.py": b"1", "b.py": b"2"}


def test_a_branch_begins_with_the_files_as_its_parent_left_them(tree: Tree) -> None:
    tree.turn("one").put("a.py", b"1")
    two = tree.turn("two", parent="one")
    two.put("a.py", b"2")
    two.put("more/b.py", b"2")
    beside = tree.turn("beside", parent="one")
    assert held(beside) == {"a.py": b"1"}
    beside.put("a.py", b"other")
    assert held(tree.turn("three", parent="two")) == {"a.py": b"2", "more/b.py": b"2"}
    assert held(tree.turn("four", parent="beside")) == {"a.py": b"other"}
    assert held(tree.turn("anew")) == {}


def test_a_turn_that_used_no_files_passes_on_those_of_its_parent(tree: Tree) -> None:
    tree.turn("one").put("a.py", b"1")
    tree._parents["silent"] = "one"
    tree.turn("beside", parent="one").put("a.py", b"2")
    assert held(tree.turn("three", parent="silent")) == {"a.py": b"1"}


def test_uploads_stay_on_every_branch_and_come_before_the_first_turn(tree: Tree) -> None:
    tree.files.put("uploads/data.csv", b"1,2")
    one = tree.turn("one")
    one.put("a.py", b"1")
    tree.files.put("uploads/late.csv", b"3")
    both = {"uploads/data.csv": b"1,2", "uploads/late.csv": b"3"}
    assert held(tree.turn("beside")) == both
    assert tree.shown("one") == {"a.py": b"1", **both}
    assert tree.files.remove("uploads/late.csv")
    assert held(tree.turn("two", parent="one")) == {"a.py": b"1", **both}, "its parent had it when it ended"


def test_a_rollback_takes_no_upload_away(tree: Tree) -> None:
    one = tree.turn("one")
    one.put("a.py", b"1")
    one.take(1)
    tree.files.put("uploads/data.csv", b"1,2")
    one.put("a.py", b"2")
    one.take(2)
    one.restore(1, at_step=3)
    assert held(one) == {"a.py": b"1", "uploads/data.csv": b"1,2"}
    one.restore(0, at_step=4)
    assert held(one) == {"uploads/data.csv": b"1,2"}


def test_people_see_the_files_of_the_branch_they_look_at(tree: Tree) -> None:
    tree.turn("one").put("a.py", b"1")
    tree.turn("two", parent="one").put("a.py", b"2")
    tree.turn("beside", parent="one").put("a.py", b"3")
    assert [tree.shown(name) for name in ("one", "two", "beside")] == [
        {"a.py": b"1"},
        {"a.py": b"2"},
        {"a.py": b"3"},
    ]
    with pytest.raises(NoSuchFile), tree.files.shown(tree.line("two")).open("b.py"):
        pass


def test_steps_of_two_turns_do_not_collide(tree: Tree) -> None:
    one = tree.turn("one")
    one.put("a.py", b"1")
    one.take(5)
    two = tree.turn("two", parent="one")
    two.put("a.py", b"2")
    two.take(3)
    two.restore(2, at_step=4)
    assert held(two) == {"a.py": b"1"}, "as it began"


# ---- agents


def test_an_agent_has_a_copy_which_changes_nothing_of_its_turns(tree: Tree) -> None:
    one = tree.turn("one")
    one.put("a.py", b"1")
    first, second = tree.agent("x", turn="one"), tree.agent("y", turn="one")
    first.put("a.py", b"agent's")
    first.take(1)
    assert (held(one), held(second), held(first)) == ({"a.py": b"1"}, {"a.py": b"1"}, {"a.py": b"agent's"})
    one.put("a.py", b"later")
    assert held(tree.agent("x", turn="one")) == {"a.py": b"agent's"}
    first.restore(0, at_step=2)
    assert held(first) == {"a.py": b"1"}


def test_what_an_agent_made_or_changed_is_handed_in_beside_its_turns_own(tree: Tree) -> None:
    one = tree.turn("one")
    one.put("a.py", b"1")
    one.put("same.py", b"1")
    agent = tree.agent("x", turn="one")
    agent.put("a.py", b"2")
    agent.put("new/b.py", b"3")
    for _ in range(2):
        tree.files.hand_in("x", under="agents/1")
    assert held(one) == {
        "a.py": b"1",
        "agents/1/a.py": b"2",
        "agents/1/new/b.py": b"3",
        "same.py": b"1",
    }
    tree.files.hand_in("unheard-of", under="agents/2")


def test_what_agents_had_goes_with_their_turn(tree: Tree) -> None:
    tree.turn("one").put("a.py", b"1")
    tree.agent("x", turn="one").put("big.bin", b"agent's own")
    tree.agent("x", turn="one").take(1)
    tree.turn("two", parent="one")
    assert not any((tree.root / "agents").iterdir())
    assert not any(path.read_bytes() == b"agent's own" for path in tree.root.rglob("*") if path.is_file())


# ---- crashes


class Crash(BaseException):
    """The process dies here."""


@contextmanager
def dying(patch: pytest.MonkeyPatch, at: int) -> Iterator[Callable[[], bool]]:
    """The process dies right before the `at`-th rename or removal of a file."""
    count = 0

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def either(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            if count == at:
                raise Crash
            return function(*args, **kwargs)

        return either

    with patch.context() as inner:
        inner.setattr(Path, "replace", counted(Path.replace))
        for name in ("rename", "unlink", "rmdir", "mkdir"):
            inner.setattr(os, name, counted(getattr(os, name)))
        yield lambda: count < at


def test_a_crash_anywhere_in_a_change_of_branch_loses_nothing(tmp_path: Path, monkeypatch) -> None:
    num_deaths = 0
    for at in range(1, 200):
        tree = Tree(tmp_path / str(at))
        tree.turn("one").put("a/b.py", b"1")
        tree.turn("two", parent="one").put("a/b.py", b"2")
        tree.again("two").put("c.py", b"2")
        with dying(monkeypatch, at) as has_lived:
            try:
                tree.turn("beside", parent="one")
            except Crash:
                num_deaths += 1
            is_over = has_lived()
        if not is_over:
            assert held(tree.again("beside")) == {"a/b.py": b"1"}
        assert tree.shown("two") == {"a/b.py": b"2", "c.py": b"2"}
        assert held(tree.turn("three", parent="two")) == {"a/b.py": b"2", "c.py": b"2"}
        if is_over:
            break
    assert num_deaths >= 8
    assert is_over


def test_a_crash_while_an_agent_gets_its_copy_leaves_it_to_be_made(tmp_path: Path, monkeypatch) -> None:
    for at in range(1, 60):
        tree = Tree(tmp_path / str(at))
        for number in range(3):
            tree.turn("one").put(f"{number}.py", b"1")
        with dying(monkeypatch, at) as has_lived:
            with suppress(Crash):
                tree.agent("x", turn="one")
            is_over = has_lived()
        assert sorted(held(tree.agent("x", turn="one"))) == ["0.py", "1.py", "2.py"]
        if is_over:
            return
    raise AssertionError("it never came through")


def test_a_turn_stopped_before_its_files_were_ready_leaves_no_end_of_its_own(tree: Tree, monkeypatch) -> None:
    tree.turn("one").put("a.py", b"1")
    tree.turn("two", parent="one").put("a.py", b"2")
    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "become", lambda *_: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            tree.turn("beside", parent="one")
    assert held(tree.turn("after", parent="beside")) == {"a.py": b"1"}
    assert held(tree.turn("three", parent="two")) == {"a.py": b"2"}


# ---- limits


def test_a_full_folder_says_so_and_stays_as_it_was(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "c", max_files=3, max_bytes=100)
    one = tree.turn("one")
    for name in ("a", "b", "c"):
        one.put(name, b"x" * 30)
    with pytest.raises(WorkspaceFull, match="at most 3 files"):
        one.put("d", b"")
    with pytest.raises(WorkspaceFull, match="remove or shorten"):
        one.put("c", b"x" * 41)
    one.put("c", b"x" * 40)
    assert sorted(held(one)) == ["a", "b", "c"]


def test_old_states_make_room_for_new_ones_on_the_disk(tmp_path: Path) -> None:
    store = Store(tmp_path, max_bytes=10_000)
    workspace = Workspace(tmp_path, name="turn", store=store)
    for step in range(1, 41):
        workspace.put("data.bin", os.urandom(1_000))
        workspace.take(step)
    stored = sum(path.stat().st_size for path in (tmp_path / "objects").rglob("*") if path.is_file())
    assert stored <= 11_000
    newest = workspace.folder.read("data.bin", max_bytes=1_000)
    workspace.restore(40, at_step=41)
    assert workspace.folder.read("data.bin", max_bytes=1_000) == newest


def test_forgetting_a_conversation_leaves_nothing_of_it(tree: Tree) -> None:
    tree.turn("one").put("a/b.py", b"1")
    tree.agent("x", turn="one")
    tree.files.forget()
    assert not any(tree.root.parent.iterdir())
    tree.files.forget()
