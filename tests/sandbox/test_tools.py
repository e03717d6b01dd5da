"""What a model gets from run_python and shell: state, values, faults, files, and the truth about limits."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.sandbox import tiers
from agents.sandbox.sessions import Launcher
from agents.sandbox.turn_sandbox import Pool, TurnSandbox
from agents.tool import Fault, ToolContext, ToolResult
from agents.tools.run_python import LOST, RunPython
from agents.tools.shell import Shell
from agents.workspace import TurnFiles, Workspace, at_hand
from tests.services import wait_until

pytestmark = pytest.mark.skipif(not tiers.active().is_offered, reason="no sandbox on this machine")


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    launcher = Launcher()
    yield launcher
    launcher.close()


class Desk:
    """The tools of one turn."""

    def __init__(self, pool: Pool, root: Path) -> None:
        self.sandbox = TurnSandbox(pool, "turn", at_hand(Workspace(root)))
        self.workspace = self.sandbox.files.at_hand
        self.files = self.workspace.files
        self._python = RunPython(self.sandbox, packages="")
        self._shell = Shell(self.sandbox)

    async def python(self, code: str, *, timeout_s: int = 20, step: int = 1) -> ToolResult:
        arguments = {"code": textwrap.dedent(code), "timeout_s": timeout_s}
        return await self._python.run(arguments, ToolContext(key="k", step=step))

    async def shell(self, command: str, *, timeout_s: int = 20) -> ToolResult:
        return await self._shell.run(
            {"command": command, "timeout_s": timeout_s}, ToolContext(key="k", step=1)
        )


@pytest.fixture
def pool(launcher: Launcher) -> Iterator[Pool]:
    pool = Pool(launcher, max_sessions=2)
    yield pool
    pool.end("turn")


@pytest.fixture
def desk(pool: Pool, tmp_path: Path) -> Desk:
    return Desk(pool, tmp_path)


async def test_variables_stay_and_the_last_value_is_shown(desk: Desk) -> None:
    assert (await desk.python("import math\nx = 20")).for_model == "(no output)"
    result = await desk.python("print('so')\nx + math.floor(1.5)")
    assert (result.for_model, result.is_error) == ("so\n21", False)
    assert result.usage.sandbox_ms >= 0


async def test_a_fault_is_told_by_the_lines_of_the_code_alone(desk: Desk) -> None:
    result = await desk.python("def share(n):\n    return 1 / n\nshare(0)")
    assert result.is_error
    assert "    return 1 / n" in result.for_model
    assert result.for_model.endswith("ZeroDivisionError: division by zero")
    assert "inside.py" not in result.for_model
    assert "SyntaxError" in (await desk.python("x = = 1")).for_model
    assert (await desk.python("exit()\n")).is_error
    assert (await desk.python("share(2)")).for_model == "0.5"


async def test_time_that_runs_out_costs_the_variables_and_is_said(desk: Desk) -> None:
    await desk.python("x = 1\nopen('kept.txt', 'w').write('kept')")
    cut = await desk.python("while True: pass", timeout_s=1)
    assert cut.fault is Fault.TIMEOUT
    assert "stopped after 1 seconds" in cut.for_model
    assert "variables and imports are gone" in cut.for_model
    after = await desk.python("print(open('kept.txt').read())\nx")
    assert after.for_model.startswith("kept\nTraceback")
    assert LOST not in after.for_model  # it was said already


async def test_output_without_end_and_a_crash_are_named(desk: Desk) -> None:
    assert "wrote without end" in (await desk.python("while True: print('x' * 10_000)")).for_model
    assert "ended with status 139" in (await desk.python("import ctypes\nctypes.string_at(0)")).for_model
    long = await desk.python("print('x' * 300_000)")
    assert "bytes of output more are left out" in long.for_model


async def test_variables_that_others_have_lost_are_said_to_be_gone(desk: Desk, pool: Pool) -> None:
    await desk.python("x = 1")
    pool.end("turn")  # as when the worker dies, or another one takes over
    assert (await desk.python("1 + 1")).for_model == f"{LOST}\n2"
    assert (await desk.python("1 + 1")).for_model == "2"


async def test_what_code_leaves_running_ends_with_its_call(desk: Desk) -> None:
    await desk.python(
        """
        import subprocess, threading, time
        beating = subprocess.Popen(["sh", "-c", "while :; do date +%s%N > beat; done"])
        time.sleep(0.2)
        """
    )
    first = await desk.python("open('beat').read()")
    await asyncio.sleep(0.1)
    assert (await desk.python("open('beat').read()")).for_model == first.for_model


async def test_files_go_in_and_out_and_are_kept_step_by_step(desk: Desk) -> None:
    (desk.files / "in").mkdir()
    (desk.files / "in" / "data.csv").write_text("a,b\n1,2\n")
    result = await desk.python("open('out.txt', 'w').write(open('in/data.csv').read().upper())", step=3)
    assert "[Files written: out.txt (8 bytes)]" in result.for_model
    assert [(one.name, one.text) for one in result.artifacts] == [("out.txt", "A,B\n1,2\n")]
    assert (desk.files / "out.txt").read_text() == "A,B\n1,2\n"
    (desk.files / "in" / "data.csv").unlink()
    assert "FileNotFoundError" in (await desk.python("open('in/data.csv')")).for_model
    removed = await desk.shell("rm out.txt; printf '\\001\\377' > raw.bin")
    assert "[Files removed: out.txt]" in removed.for_model
    assert removed.artifacts[0].media_type == "application/octet-stream;base64"
    kept = desk.workspace.snapshot(3)
    assert kept is not None
    assert set(kept.files) == {"in/data.csv", "out.txt"}


async def test_going_back_brings_files_back_and_ends_the_variables(desk: Desk) -> None:
    await desk.python("x = open('a.txt', 'w').write('first')", step=1)
    await desk.python("open('a.txt', 'w').write('second'); open('b.txt', 'w')", step=2)
    assert await desk.sandbox.go_back(1, at_step=3)
    after = await desk.python("import os\nprint(open('a.txt').read(), os.listdir())\nx", step=4)
    assert after.for_model.startswith(f"{LOST}\nfirst ['a.txt']\nTraceback")


async def test_going_back_of_a_turn_without_files_makes_none(pool: Pool, tmp_path: Path) -> None:
    async def take_up() -> Workspace:
        return Workspace(tmp_path / "none")

    files = TurnFiles(take_up, has_begun=(tmp_path / "none").exists)
    assert await TurnSandbox(pool, "none", files).go_back(1, at_step=2) == ""
    assert not (tmp_path / "none").exists()


async def test_a_shell_says_how_it_ended_and_sees_the_files_of_python(desk: Desk) -> None:
    await desk.python("open('a.txt', 'w').write('of Python')")
    result = await desk.shell("cat a.txt; exit 3")
    assert (result.for_model, result.is_error) == ("of Python\n[It ended with status 3]", True)
    assert (await desk.shell("sleep 60 & echo gone")).for_model == "gone"
    assert (await desk.shell("sleep 60", timeout_s=1)).fault is Fault.TIMEOUT


async def test_a_cancelled_call_ends_at_once_and_the_next_one_works(desk: Desk) -> None:
    await desk.python("1")
    task = asyncio.create_task(desk.python("while True: pass"))
    await asyncio.sleep(0.1)
    begun_at = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun_at < 10
    assert (await desk.python("2")).for_model.endswith("2")


async def test_eight_turns_at_once_do_not_see_one_another(launcher: Launcher, tmp_path: Path) -> None:
    pool = Pool(launcher)
    desks = [
        TurnSandbox(pool, f"turn-{number}", at_hand(Workspace(tmp_path / str(number)))) for number in range(8)
    ]

    async def work(number: int) -> str:
        await desks[number].python(f"open('mine', 'w').write('{number}')", wall_s=30, step=1)
        code = "import os\nopen('mine').read() + str(os.listdir())"
        return (await desks[number].python(code, wall_s=30, step=2))[0].value

    try:
        assert await asyncio.gather(*map(work, range(8))) == [f"\"{n}['mine']\"" for n in range(8)]
    finally:
        for number in range(8):
            pool.end(f"turn-{number}")


async def test_the_turn_used_longest_ago_makes_room(pool: Pool, tmp_path: Path) -> None:
    sandboxes = [TurnSandbox(pool, name, at_hand(Workspace(tmp_path / name))) for name in ("a", "b", "c")]
    for sandbox in sandboxes:
        await sandbox.python("x = 1", wall_s=10, step=1)
    assert (await sandboxes[2].python("x", wall_s=10, step=2))[0].value == "1"
    assert (await sandboxes[0].python("1", wall_s=10, step=2))[1]


def test_nothing_outlives_a_killed_worker(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from agents.sandbox.sessions import Launcher
        launcher = Launcher()
        session = launcher.session(Path(sys.argv[1]))
        print("ready", flush=True)
        session.shell("while :; do sleep 0.0137; done", wall_s=60)
    """
    words = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        wait_until(lambda: looping() > 0, within_s=30, what="the loop")
        worker.send_signal(signal.SIGKILL)
    wait_until(lambda: looping() == 0, within_s=30, what="the end of the loop")


def looping() -> int:
    """How many of the shells above are alive."""
    found = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        found += words[0] == b"/bin/sh" and any(b"0.0137" in word for word in words)
    return found


async def test_a_launcher_that_dies_is_started_again(pool: Pool, tmp_path: Path) -> None:
    launcher = Launcher()
    lost = Pool(launcher)
    desk = Desk(lost, tmp_path)
    try:
        await desk.python("x = 1")
        assert launcher.pid is not None
        os.kill(launcher.pid, signal.SIGKILL)
        until = time.monotonic() + 5
        while not (await desk.python("x")).is_error:
            assert time.monotonic() < until, "a sandbox outlived its launcher"
        assert (await desk.python("1 + 1")).for_model == f"{LOST}\n2"
    finally:
        lost.close()
