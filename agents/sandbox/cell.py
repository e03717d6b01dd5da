"""One program in the sandbox: its group, its channel, how it is stopped and ended. `bubble` starts it with
the whole profile: a user of its own, its own namespaces, no network, a filter of system calls, and
nothing of this machine but its programs.

Used by the launcher alone, in a process with one thread.
"""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agents.sandbox import cgroups, seccomp, system
from agents.sandbox.cgroups import Group, Version

PYTHON = "/usr/bin/python3"
WORK = "/workspace"
NOBODY = 65_534  # who the program believes to be
TEMPORARY_BYTES = 64 * 2**20
END_S = 5.0
PAUSE_S = 2.0
CHANNEL_S = 5.0

# What of the system is shown: programs and what they load. No accounts, no keys, no names of other machines.
_SHOWN = ("/usr/lib", "/usr/bin")
_SHOWN_IF_THERE = ("/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/alternatives")
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": WORK,
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",
    "MPLBACKEND": "Agg",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": "/packages:/libraries",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one cell. Memory and processes are of all its processes together."""

    memory_bytes: int = 1024**3
    num_processes: int = 64
    num_files: int = 256
    file_bytes: int = 64 * 2**20
    cpu_s: int = 120


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a cell lives. `uid` is who it is to the kernel; None: whoever runs the launcher. `inside`,
    `packages` and `libraries` are shown in it read-only."""

    name: str
    bwrap: str
    uid: int | None
    files: Path
    inside: Path
    packages: Path | None
    libraries: Path | None = None


# Starts the program: its end of the channel, where its output goes, the group that it joins.
Start = Callable[[socket.socket, int, Group], "subprocess.Popen[bytes]"]


class Cell:
    """A running program. `output` is what it writes to its standard streams, `channel` a socket to it."""

    def __init__(self, name: str, limits: Limits, start: Start) -> None:
        self.group = cgroups.create(
            name, memory_bytes=limits.memory_bytes, num_processes=limits.num_processes
        )
        self.channel, theirs = socket.socketpair()
        self.output, output = os.pipe()
        try:
            self._process = start(theirs, output, self.group)
        except BaseException:
            self.group.remove()
            raise
        finally:
            theirs.close()
            os.close(output)
        os.set_blocking(self.output, False)
        # A program that does not read must not hold up whoever writes to it.
        self.channel.settimeout(CHANNEL_S)

    def pids(self) -> list[int]:
        """Every process inside, the namespace's first two in front: its init, then the program."""
        first = _children(self._process.pid)
        return [pid for child in first for pid in (child, *_descendants(child))]

    def uses_more_than(self, num_bytes: int) -> bool:
        """Of memory, all its processes together; what they share is counted once."""
        pids = self.pids()
        # The exact count takes the kernel long, and the rough one is never below it.
        return sum(map(_resident_bytes, pids)) > num_bytes and sum(map(_own_bytes, pids)) > num_bytes

    def num_tasks(self) -> int:
        """What counts against the limit of processes."""
        return len(self.pids())

    def is_counted(self) -> bool:
        return self.group.version is not Version.NONE

    def pause(self) -> bool:
        """Nothing runs between calls: the program stands still, and what it has started ends. False when that
        breeds faster than it can be ended."""
        for pid in self.pids()[1:2]:
            _signal(pid, signal.SIGSTOP)
        until = time.monotonic() + PAUSE_S
        while others := [pid for pid in self.pids()[2:] if _is_alive(pid)]:
            for pid in others:
                _signal(pid, signal.SIGKILL)
            if time.monotonic() > until:
                return False
            time.sleep(0.001)
        return True

    def resume(self) -> None:
        for pid in self.pids()[1:2]:
            _signal(pid, signal.SIGCONT)

    def ended_with(self, within_s: float) -> int | None:
        """The exit status, once it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(within_s)
        return None

    def kill(self) -> None:
        """End everything inside, at once. Again is harmless."""
        for pid in [*self.pids()[:1], self._process.pid]:
            if self._process.returncode is None:
                _signal(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        self.group.remove()
        self.channel.close()
        with contextlib.suppress(OSError):
            os.close(self.output)


def bubble(place: Place, command: tuple[str, ...], limits: Limits) -> Cell:
    """Run the command in bubblewrap; the number of its socket stands for {channel} in it."""

    def start(theirs: socket.socket, output: int, group: Group) -> "subprocess.Popen[bytes]":
        filter_fd = _pipe_with(seccomp.program())
        try:
            words = [*_words(place, filter_fd), *_counted(place, limits), *command]
            return subprocess.Popen(
                [word.replace("{channel}", str(theirs.fileno())) for word in words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Inside, /proc/1/environ shows the environment of bubblewrap itself, --clearenv or not.
                env={},
                cwd="/",
                pass_fds=(filter_fd, *((theirs.fileno(),) if "{channel}" in command else ())),
                start_new_session=True,
                preexec_fn=partial(become, place.uid, group, _resources(limits), parent=os.getpid()),
            )
        finally:
            os.close(filter_fd)

    return Cell(place.name, limits, start)


def _words(place: Place, filter_fd: int) -> list[str]:
    words = [
        place.bwrap,
        *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"),
        "--clearenv",
    ]
    for name, value in _ENVIRONMENT.items():
        words += ["--setenv", name, value]
    for path in _SHOWN:
        words += ["--ro-bind", path, path]
    for path in _SHOWN_IF_THERE:
        words += ["--ro-bind-try", path, path]
    for name in ("bin", "lib", "lib64"):
        words += ["--symlink", f"usr/{name}", f"/{name}"]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for path in ("/tmp", "/dev/shm"):
        words += ["--size", str(TEMPORARY_BYTES), "--tmpfs", path]
    words += ["--remount-ro", "/dev"]
    words += ["--ro-bind", str(place.inside), "/inside.py"]
    if place.packages is not None:
        words += ["--ro-bind", str(place.packages), "/packages"]
    if place.libraries is not None:
        words += ["--ro-bind", str(place.libraries), "/libraries"]
    words += ["--bind", str(place.files), WORK, "--chdir", WORK]
    words += ["--hostname", "sandbox", "--uid", str(NOBODY), "--gid", str(NOBODY), "--cap-drop", "ALL"]
    return [*words, "--remount-ro", "/", "--seccomp", str(filter_fd), "--"]


def _counted(place: Place, limits: Limits) -> tuple[str, ...]:
    # Who shares a uid with other programs is counted only within the sandbox's own namespace of users.
    return () if place.uid is not None else ("/usr/bin/prlimit", f"--nproc={limits.num_processes}", "--")


def _resources(limits: Limits) -> dict[int, tuple[int, int]]:
    return {
        resource.RLIMIT_CPU: (limits.cpu_s, limits.cpu_s + 1),
        resource.RLIMIT_FSIZE: (limits.file_bytes, limits.file_bytes),
        resource.RLIMIT_NOFILE: (limits.num_files, limits.num_files),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_MEMLOCK: (0, 0),
        resource.RLIMIT_AS: (4 * limits.memory_bytes, 4 * limits.memory_bytes),
        resource.RLIMIT_NPROC: (limits.num_processes, limits.num_processes),
    }


def become(uid: int | None, group: Group, resources: dict[int, tuple[int, int]], *, parent: int) -> None:
    """Between fork and exec: join the group, take the limits on, and stop being root."""
    group.join()
    for which, (soft, hard) in resources.items():
        # Of a user with nothing else running, and only then: it counts all that a user has.
        if which != resource.RLIMIT_NPROC or uid is not None:
            resource.setrlimit(which, (soft, hard))
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    system.gain_no_privileges()
    # bubblewrap asks for the same once it runs: a parent that died before that would leave it behind.
    system.die_with_parent()
    if os.getppid() != parent:
        os._exit(1)


def _pipe_with(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)  # far below what a pipe takes before anybody reads it
    os.close(writing)
    return reading


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            for word in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                yield int(word)
                yield from _descendants(int(word))


def _resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * resource.getpagesize()


def _own_bytes(pid: int) -> int:
    """With its part of what it shares."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    except (OSError, IndexError, ValueError):
        return _resident_bytes(pid)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
