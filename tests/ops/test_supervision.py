"""Supervisord over small programs: it restarts what dies; nothing outlives the command that started it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.services import wait_until
from webapp.management.supervision import Program, SupervisionError, Supervisor

ROOT = Path(__file__).resolve().parent.parent.parent
# Writes its process id, then waits; "stubborn" does not hear a polite request to end.
SLEEPER = "import os, signal, sys; {}open(sys.argv[1], 'w').write(str(os.getpid())); signal.pause()"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN); "


def sleeper(name: str, folder: Path, *, is_stubborn: bool = False, is_foundation: bool = False) -> Program:
    code = SLEEPER.format(DEAF if is_stubborn else "")
    command = [sys.executable, "-c", code, str(folder / name)]
    return Program(name, command, stop_wait_s=1, is_foundation=is_foundation)


def pid_of(name: str, folder: Path) -> int:
    path = folder / name
    wait_until(lambda: path.exists() and path.read_text() != "", within_s=15, what=f"the start of {name}")
    return int(path.read_text())


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Supervisor]:
    programs = [
        sleeper("first", tmp_path, is_foundation=True),
        sleeper("stubborn", tmp_path, is_stubborn=True),
    ]
    supervisor = Supervisor(programs, root=ROOT, var=tmp_path)
    supervisor.start({})
    yield supervisor
    supervisor.stop()


def test_a_part_that_is_killed_comes_back(pair: Supervisor, tmp_path: Path) -> None:
    first = pid_of("first", tmp_path)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: pid_of("first", tmp_path) != first, within_s=15, what="the restart")
    wait_until(lambda: pair.states().get("first") == "RUNNING", within_s=15, what="the running state")


def test_stop_ends_every_part_even_one_that_does_not_listen(pair: Supervisor, tmp_path: Path) -> None:
    pids = [pid_of("first", tmp_path), pid_of("stubborn", tmp_path)]
    pair.stop()
    assert not pair.is_alive()
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []


def test_a_part_that_cannot_stay_up_is_reported_with_its_last_words(tmp_path: Path) -> None:
    broken = Program("broken", [sys.executable, "-c", "print('no such model'); raise SystemExit(3)"])
    supervisor = Supervisor([broken], root=ROOT, var=tmp_path)
    supervisor.start({})
    wait_until(lambda: "BACKOFF" in supervisor.states().values(), within_s=15, what="the first failure")
    assert "no such model" in supervisor.last_lines("broken")
    supervisor.stop()


def test_a_part_that_gives_up_is_not_started_again(tmp_path: Path) -> None:
    code = "import sys, time; open(sys.argv[1], 'a').write('.'); time.sleep(1.1); raise SystemExit(2)"
    starts = tmp_path / "starts"
    command = [sys.executable, "-c", code, str(starts)]
    supervisor = Supervisor([Program("broken", command, gives_up_with=2)], root=ROOT, var=tmp_path)
    supervisor.start({})
    wait_until(lambda: supervisor.failed() == ["broken"], within_s=15, what="the end")
    with pytest.raises(TimeoutError):
        wait_until(lambda: len(starts.read_text()) > 1, within_s=2, what="another start")
    supervisor.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_no_part_outlives_a_command_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests.ops.test_supervision import *\n"
        "folder = Path(sys.argv[1])\n"
        "supervisor = Supervisor([sleeper('first', folder)], root=ROOT, var=folder)\n"
        "supervisor.start({}); supervisor.wait()\n"
    )
    command = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    pid = pid_of("first", tmp_path)
    command.kill()
    command.wait()
    wait_until(lambda: not psutil.pid_exists(pid), within_s=15, what="the end of the part")


def test_a_folder_too_deep_for_a_socket_is_refused_with_what_to_do(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    with pytest.raises(SupervisionError, match="set VAR_DIR to a shorter one"):
        Supervisor([sleeper("first", tmp_path)], root=ROOT, var=deep).start({})
