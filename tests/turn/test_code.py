"""A model computes with code: a whole turn, from its call to what people see."""

import base64
import io
import json
import zipfile
from pathlib import Path

import pytest
from django.conf import settings

from agents.sandbox import tiers
from chat import conversations, workspaces
from chat.models import Artifact, Conversation, Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.turn.browser import Frames, Tab
from tests.turn.test_crash import Doom, ask, doom, drive_to_the_end
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

__all__ = ["doom"]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not tiers.active().is_offered, reason="no sandbox on this machine"),
]

COUNT = 'call: run_python {"code": "numbers = list(range(10))"}'
SUM = """call: run_python {"code": "open('sum.bin', 'wb').write(b'\\\\xff\\\\x00')\\nsum(numbers)"}"""
LOOK = 'call: shell {"command": "wc -c < sum.bin"}'


def test_code_of_one_call_goes_on_with_the_variables_and_files_of_the_one_before(
    alice_tab: Tab, script: WriteScript
) -> None:
    script(
        Reply(step=1, lines=(COUNT,)),
        Reply(step=2, lines=(SUM,)),
        Reply(step=3, lines=(LOOK,)),
        Reply(step=4, lines=("text: 45",)),
    )
    frames = alice_tab.ask("Sum of 0 to 9?", long_thinking=True)
    results = [frame["result"] for frame in frames.of("tool_call.finished")]
    assert results == ["(no output)", "45\n[Files written: sum.bin (2 bytes)]", "2"]
    turn = Turn.objects.get()
    artifact = Artifact.objects.get(turn=turn)
    assert (artifact.name, artifact.media_type) == ("sum.bin", "application/octet-stream;base64")
    assert base64.b64decode(artifact.text) == b"\xff\x00"
    assert turn.tool_runs.filter(sandbox_ms__gt=0).exists()
    folder = Path(settings.VAR_DIR) / "workspaces" / str(turn.conversation_id)
    assert (folder / "files" / "sum.bin").exists()
    conversations.delete(turn.conversation)
    assert not folder.exists()


# ---- a program written over two turns

SPEC = "median(values): the middle one when sorted; of two middle ones the lower. Empty: ValueError."
DRAFT = "def median(values):\n    return values[len(values) // 2]\n"
TESTS = """\
import pytest

from stats import median


def test_odd():
    assert median([3, 1, 2]) == 2


def test_even():
    assert median([4, 1, 3, 2]) == 2


def test_empty():
    with pytest.raises(ValueError):
        median([])
"""
REPAIR = """\
--- a/stats.py
+++ b/stats.py
@@ -1,2 +1,4 @@
 def median(values):
-    return sorted(values)[len(values) // 2]
+    if not values:
+        raise ValueError("no values")
+    return sorted(values)[(len(values) - 1) // 2]
"""


def call(tool: str, **arguments: object) -> str:
    return f"call: {tool} {json.dumps(arguments)}"


WRITING = (
    (call("read_file", path="uploads/SPEC.md"),),
    (
        call("write_file", path="stats.py", content=DRAFT),
        call("write_file", path="test_stats.py", content=TESTS),
    ),
    (call("run_tests"),),
    (call("edit_file", path="stats.py", old="values[", new="sorted(values)["),),
    (call("run_tests"),),
    (call("apply_patch", patch=REPAIR),),
    (call("run_tests"),),
    ("text: It works.",),
)
RENAMING = (
    (call("rename_symbol", path="stats.py", name="median", new_name="lower_median"),),
    (call("run_tests"),),
    ("text: Renamed.",),
)
LOOKING = ((call("read_file", path="stats.py"),), ("text: ok",))
MORE = """\
--- a/a.txt
+++ b/a.txt
@@ -2 +2,2 @@
 one
+two
--- /dev/null
+++ b/b.txt
@@ -0,0 +1 @@
+b
"""


def replies(*asked: tuple[str, tuple[tuple[str, ...], ...]]) -> list[Reply]:
    return [
        Reply(when=when, step=step, lines=lines)
        for when, steps in asked
        for step, lines in enumerate(steps, start=1)
    ]


def results_of(frames: Frames) -> list[str]:
    return [frame["result"] for frame in frames.of("tool_call.finished")]


def test_a_program_is_written_run_read_and_repaired_and_the_next_turn_goes_on_with_it(
    alice_tab: Tab, alice: User, script: WriteScript
) -> None:
    script(*replies(("Write", WRITING), ("Rename", RENAMING), ("Look", LOOKING)))
    conversation = Conversation.objects.create(user=alice, title="Statistics")
    workspaces.put(conversation, "uploads/SPEC.md", SPEC.encode())

    first = results_of(alice_tab.ask("Write it.", conversation=str(conversation.id), long_thinking=True))
    assert SPEC in first[0]
    runs = [result.partition("\n")[0] for result in first if "passed" in result or "failed" in result]
    assert runs == ["3 failed", "2 failed, 1 passed", "3 passed"]
    assert "First: test_stats.py::test_odd (test_stats.py:7)" in "".join(first)

    second = results_of(alice_tab.ask("Rename it.", conversation=str(conversation.id), long_thinking=True))
    assert "in 2 files: stats.py, test_stats.py" in second[0]
    assert second[1] == "3 passed"
    conversation.refresh_from_db()
    packed = zipfile.ZipFile(io.BytesIO(b"".join(workspaces.zipped(conversation))))
    assert packed.testzip() is None
    assert sorted(packed.namelist()) == ["stats.py", "test_stats.py", "uploads/SPEC.md"]
    assert b"def lower_median" in packed.read("stats.py")

    # Beside the second turn, its files are as the first one left them.
    written = Turn.objects.get(conversation=conversation, parent=None)
    beside = alice_tab.ask(
        "Look.", conversation=str(conversation.id), parent=str(written.id), is_branch=True, long_thinking=True
    )
    assert "def median(values):" in results_of(beside)[0]
    conversation.refresh_from_db()
    assert b"def median" in workspaces.read(conversation, "stats.py", max_bytes=1_000)
    renamed = Turn.objects.get(parent=written, messages__parts__text="Rename it.")
    conversations.show_branch(conversation, turn=renamed)
    assert b"def lower_median" in workspaces.read(conversation, "stats.py", max_bytes=1_000)


EDITS = (
    (call("write_file", path="a.txt", content="one\n"),),
    (call("edit_file", path="a.txt", old="one\n", new="one\none\n"),),
    (call("apply_patch", patch=MORE),),
    ("text: Done.",),
)


def test_what_an_agent_made_comes_to_its_turn(alice_tab: Tab, script: WriteScript) -> None:
    tasks = [{"task": "Part one."}, {"task": "Part two."}]
    script(
        *replies(
            ("Part one", ((call("edit_file", path="plan.txt", old="all", new="one"),), ("text: done",))),
            ("Part two", ((call("write_file", path="two.txt", content="2"),), ("text: done",))),
            (
                "Share it",
                (
                    (call("write_file", path="plan.txt", content="all"),),
                    (call("spawn", tasks=tasks),),
                    (call("search_files"),),
                    (call("search_files", pattern="^one$"),),
                    ("text: done",),
                ),
            ),
        )
    )
    results = results_of(alice_tab.ask("Share it out.", long_thinking=True))
    assert results[-2] == "agents/1/plan.txt (3 bytes)\nagents/2/two.txt (1 bytes)\nplan.txt (3 bytes)"
    assert results[-1] == "agents/1/plan.txt:1: one"


def test_files_are_the_same_wherever_the_worker_dies(
    alice: User, scripted_model: ServedModel, script: WriteScript, doom: Doom
) -> None:
    script(*replies(("", EDITS)))
    for dies_at in range(1, 100):
        for keeps_last in (False, True):
            doom.num_commits, doom.dies_at, doom.keeps_last = 0, dies_at, keeps_last
            turn = ask(alice)
            num_deaths = drive_to_the_end(turn)
            listed = {
                file.path: workspaces.read(turn.conversation, file.path, max_bytes=100)
                for file in workspaces.listing(turn.conversation)
            }
            assert listed == {"a.txt": b"one\none\ntwo\n", "b.txt": b"b\n"}, (dies_at, keeps_last)
            assert not turn.messages.filter(parts__is_error=True).exists()
        if not num_deaths:
            break
    assert dies_at > 8
