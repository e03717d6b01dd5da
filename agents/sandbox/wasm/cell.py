"""One Deno with Python in it, for machines that give no namespaces: no permission of Deno's but to read its
own bundle; below that a filter of system calls without any socket, Landlock where the kernel has it, limits,
and a user of its own where the launcher may choose one.
"""

import os
import resource
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from agents.sandbox import cell, landlock, seccomp, system
from agents.sandbox.cell import Cell, Limits
from agents.sandbox.cgroups import Group

OWN_BYTES = 288 * 2**20  # what Deno and an idle Python use
OWN_TASKS = 64  # its threads
_PERMISSIONS = (
    *("--no-prompt", "--no-remote", "--no-npm", "--no-config", "--no-lock", "--cached-only"),
    *("--no-code-cache", "--deny-net", "--deny-env", "--deny-sys", "--deny-run", "--deny-ffi"),
    *("--deny-write", "--deny-import", "--v8-flags=--liftoff-only,--single-threaded"),
)
_ENVIRONMENT = {"DENO_DIR": "/nonexistent", "NO_COLOR": "1", "DENO_NO_UPDATE_CHECK": "1"}
# What a program needs to start at all; no accounts, nothing of people's.
_SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache")
_DEVICES = ("/dev/null", "/dev/urandom", "/dev/random", "/dev/zero")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a cell lives: as `cell.Place`. `host` is our program, `bundle` all that it may read."""

    name: str
    uid: int | None
    deno: Path
    bundle: Path
    host: Path


class WasmCell(Cell):
    def __init__(self, place: Place, limits: Limits) -> None:
        super().__init__(place.name, counted(limits), partial(_start, place, counted(limits)))

    def pids(self) -> list[int]:
        return [self._process.pid]

    def num_tasks(self) -> int:
        try:
            return len(os.listdir(f"/proc/{self._process.pid}/task"))
        except OSError:
            return 0

    def pause(self) -> bool:
        """It can start no other process, so that there is none to end."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGSTOP)
        return True

    def resume(self) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)


def counted(limits: Limits) -> Limits:
    """With what Deno uses itself."""
    return replace(
        limits,
        memory_bytes=limits.memory_bytes + OWN_BYTES,
        num_processes=limits.num_processes + OWN_TASKS,
    )


def _start(
    place: Place, limits: Limits, theirs: socket.socket, output: int, group: Group
) -> "subprocess.Popen[bytes]":
    fence = landlock.rules(
        [place.bundle, place.host, *map(Path, _DEVICES)], [place.deno, *map(Path, _SYSTEM)]
    )
    calls = seccomp.program(families=())
    reading = f"--allow-read={place.bundle}"
    try:
        return subprocess.Popen(
            [*map(str, (place.deno, "run", *_PERMISSIONS, reading, place.host, place.bundle))],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=output,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
            preexec_fn=partial(_confined, place.uid, group, limits, fence, calls, parent=os.getpid()),
        )
    finally:
        if fence is not None:
            os.close(fence)


def _confined(
    uid: int | None, group: Group, limits: Limits, fence: int | None, calls: bytes, *, parent: int
) -> None:
    """Between fork and exec."""
    resources = {
        resource.RLIMIT_CPU: (limits.cpu_s, limits.cpu_s + 1),
        resource.RLIMIT_FSIZE: (0, 0),
        resource.RLIMIT_NOFILE: (limits.num_files, limits.num_files),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_MEMLOCK: (0, 0),
        # Not of addresses, of which its engine reserves far more than it uses.
        resource.RLIMIT_DATA: (2 * limits.memory_bytes, 2 * limits.memory_bytes),
        resource.RLIMIT_NPROC: (limits.num_processes, limits.num_processes),
    }
    cell.become(uid, group, resources, parent=parent)
    if fence is not None:
        landlock.confine(fence)
    system.filter_calls(calls)
