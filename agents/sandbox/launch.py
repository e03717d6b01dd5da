"""Starts a program in bubblewrap: a system it can only read, a private /tmp, no network unless asked for.

Where bubblewrap cannot do that the program is not started at all. The kernel is shared with the program: this
is a strong fence, not another machine.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agents.sandbox import seccomp

SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
INSIDE_PATH = "/usr/local/bin:/usr/bin:/bin"
SCRATCH = "/tmp"
NOBODY = 65_534  # who the program believes to be
OWN_UID = 64_900  # who it is outside when we are root, unless it has a uid of its own
LINE_BYTES = 8 * 1024 * 1024
MAX_ENVIRONMENT_BYTES = 60_000  # what a pipe takes before anybody reads it
KILL_WAIT_S = 5.0
NETLINK = 16  # by which programs with a network learn of its addresses
TRIAL_S = 10.0

# Files of /etc that programs need; no accounts, no host name, no secrets.
_ETC = ("ld.so.cache", "alternatives", "localtime", "ssl", "ca-certificates", "pki", "fonts")
_ETC_OF_NETWORK = ("resolv.conf", "hosts", "nsswitch.conf", "gai.conf", "services")


class SandboxMissing(Exception):
    """Programs cannot be fenced in on this machine, so none is started; the text says what to install."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a program may use. `cpu_s` None: a server that lives for long. Processes are counted only where
    the program has a uid of its own."""

    num_processes: int = 128
    num_files: int = 512
    file_bytes: int = 256 * 1024 * 1024
    memory_bytes: int | None = (
        4 * 1024**3
    )  # address space of one process; None for runtimes that reserve more
    scratch_bytes: int = 64 * 1024 * 1024
    cpu_s: int | None = None


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to start, and what of this machine it may touch besides the system's read-only /usr.

    `environment` is all it gets beyond PATH, HOME and LANG. `uid` is who it is outside when we are root.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    has_network: bool = False
    bounds: Bounds = Bounds()
    uid: int = OWN_UID
    calls: tuple[str, ...] = ()  # of those that the filter refuses, which this program needs


@dataclass(frozen=True, kw_only=True)
class Fence:
    """The system's programs that build a sandbox. `setpriv` is None when we are not root and need none."""

    bwrap: str
    prlimit: str
    setpriv: str | None


def fence() -> Fence:
    """Raises SandboxMissing."""
    paths = {name: shutil.which(name, path=SYSTEM_PATH) for name in ("bwrap", "prlimit", "setpriv")}
    is_root = os.geteuid() == 0
    needed = ["bwrap", "prlimit", *(["setpriv"] if is_root else [])]
    if missing := [name for name in needed if paths[name] is None]:
        raise SandboxMissing(
            f"Programs cannot be run in a sandbox here: {', '.join(missing)} not found in {SYSTEM_PATH}. "
            "Install the packages bubblewrap and util-linux."
        )
    return Fence(
        bwrap=paths["bwrap"] or "",
        prlimit=paths["prlimit"] or "",
        setpriv=paths["setpriv"] if is_root else None,
    )


def fault() -> str:
    """Why no program can be run in a sandbox here; empty when one can. Tries it."""
    try:
        command = arguments(Program(command=("true",)), fence=fence(), environment_fd=0)
    except SandboxMissing as missing:
        return str(missing)
    tried = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={},
        timeout=TRIAL_S,
        check=False,
    )
    return "" if tried.returncode == 0 else tried.stderr.strip() or f"it ended with status {tried.returncode}"


def filter_of(program: Program) -> bytes:
    """Of system calls. Empty for a machine whose calls are not known: the rest of the fence stands."""
    families = (*seccomp.SOCKET_FAMILIES, *((NETLINK,) if program.has_network else ()))
    try:
        return seccomp.program(families=families, allowed=program.calls)
    except seccomp.UnknownMachine:
        return b""


def arguments(
    program: Program, *, fence: Fence, environment_fd: int, filter_fd: int | None = None
) -> list[str]:
    """The whole command line. The environment comes over a pipe: a command line can be read by anybody."""
    return [
        *_limits(program.bounds, fence),
        *_person(program.uid, fence),
        fence.bwrap,
        *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"),
        *(("--share-net",) if program.has_network else ()),
        *("--clearenv", "--args", str(environment_fd)),
        *_files(program),
        *("--hostname", "sandbox", "--uid", str(NOBODY), "--gid", str(NOBODY), "--cap-drop", "ALL"),
        *(("--seccomp", str(filter_fd)) if filter_fd is not None else ()),
        *("--remount-ro", "/", "--chdir", SCRATCH, "--"),
        *program.command,
    ]


async def start(program: Program) -> Process:
    """The running program, its three streams as pipes. Raises SandboxMissing, OSError, or ValueError for an
    environment that cannot be given.

    Keep the thread that calls this alive: the kernel ends the program with it. End it with `end`.
    """
    found, variables = fence(), environment(program)
    calls = filter_of(program)
    read_fd, filter_fd = _pipe_with(variables), _pipe_with(calls)
    try:
        command = arguments(
            program, fence=found, environment_fd=read_fd, filter_fd=filter_fd if calls else None
        )
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            # Inside, /proc/1/environ shows the environment of bwrap itself, --clearenv or not.
            env={},
            cwd="/",
            pass_fds=(read_fd, filter_fd),
            start_new_session=True,
            limit=LINE_BYTES,
        )
    finally:
        os.close(read_fd)
        os.close(filter_fd)


def _pipe_with(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)  # below what a pipe takes before anybody reads it
    os.close(writing)
    return reading


async def end(process: Process) -> None:
    """Kill the program and everything it has started, at once. Nobody may be reading its streams any more.
    Again is harmless."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    # Its namespace dies with its first process. A full pipe that nobody reads would hide that from asyncio.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(
            asyncio.gather(_drain(process.stdout), _drain(process.stderr), process.wait()), KILL_WAIT_S
        )


async def _drain(stream: asyncio.StreamReader | None) -> None:
    with contextlib.suppress(ValueError):
        while stream is not None and await stream.read(65_536):
            pass


def _limits(bounds: Bounds, fence: Fence) -> list[str]:
    limits = ["--core=0", "--memlock=0", f"--nofile={bounds.num_files}", f"--fsize={bounds.file_bytes}"]
    if bounds.memory_bytes is not None:
        limits.append(f"--as={bounds.memory_bytes}")
    if bounds.cpu_s is not None:
        limits.append(f"--cpu={bounds.cpu_s}:{bounds.cpu_s + 1}")
    if fence.setpriv is not None:
        limits.append(f"--nproc={bounds.num_processes}")
    return [fence.prlimit, *limits, "--"]


def _person(uid: int, fence: Fence) -> list[str]:
    # A sandbox started by root is root to the kernel: what it writes is root's, and its processes uncounted.
    if fence.setpriv is None:
        return []
    return [fence.setpriv, f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs", "--"]


def _files(program: Program) -> list[str]:
    etc = (*_ETC, *(_ETC_OF_NETWORK if program.has_network else ()))
    words = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib64"):
        words += ["--symlink", f"usr/{name}", f"/{name}"]
    for name in etc:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    words += ["--proc", "/proc", "--dev", "/dev"]
    words += ["--size", str(program.bounds.scratch_bytes), "--tmpfs", SCRATCH]
    for path in program.readable:
        words += ["--ro-bind", str(path), str(path)]
    for path in program.writable:
        words += ["--bind", str(path), str(path)]
    return words


def environment(program: Program) -> bytes:
    """What `arguments` reads from its descriptor. Raises ValueError for an environment that cannot be
    given."""
    variables = {"PATH": INSIDE_PATH, "HOME": SCRATCH, "LANG": "C.UTF-8", **program.environment}
    words = [word for name, value in variables.items() for word in ("--setenv", name, value)]
    if any("\0" in word for word in words):
        raise ValueError("a NUL in the environment would be an option of the sandbox")
    content = b"".join(word.encode() + b"\0" for word in words)
    if len(content) > MAX_ENVIRONMENT_BYTES:
        raise ValueError(f"the environment has more than {MAX_ENVIRONMENT_BYTES} bytes")
    return content
