"""What a sandbox may use as a whole, counted by the kernel: control groups of either version, or none.

Without them each process is still bounded, and whoever runs the sandbox adds up what they all use.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PREFIX = "sandbox-"
CONTROLLERS = ("memory", "pids")
REMOVAL_S = 2.0


class Version(StrEnum):
    V2 = "v2"
    V1 = "v1"
    NONE = "none"


@dataclass(frozen=True)
class Group:
    """Folders of one group: one, or one for each controller. Empty where there are no control groups."""

    version: Version
    folders: tuple[Path, ...]

    def join(self) -> None:
        """Put the calling process in. It may neither have threads nor allocate much: it runs between fork and
        exec."""
        for folder in self.folders:
            descriptor = os.open(folder / "cgroup.procs", os.O_WRONLY)
            os.write(descriptor, b"0")
            os.close(descriptor)

    def pids(self) -> set[int]:
        return {pid for folder in self.folders for pid in _pids(folder)}

    def has_run_out_of_memory(self) -> bool:
        """Whether the kernel has killed a process of it for its memory."""
        for folder in self.folders:
            for name in ("memory.events", "memory.oom_control"):
                with contextlib.suppress(OSError):
                    counts = dict(line.split() for line in (folder / name).read_text().splitlines())
                    return int(counts.get("oom_kill", 0)) > 0
        return False

    def remove(self) -> None:
        """End what is left in it, then take it away."""
        until = time.monotonic() + REMOVAL_S
        for folder in self.folders:
            while folder.exists() and time.monotonic() < until:
                for pid in _pids(folder):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                try:
                    folder.rmdir()
                except OSError:
                    time.sleep(0.002)


def create(name: str, *, memory_bytes: int, num_processes: int) -> Group:
    """A new group with these limits; one without folders where the machine offers none."""
    for version, parents in ((Version.V2, _parents_v2()), (Version.V1, _parents_v1())):
        folders = tuple(parent / f"{PREFIX}{name}" for parent in parents)
        if folders and _is_made(folders, version, memory_bytes, num_processes):
            return Group(version, folders)
    return Group(Version.NONE, ())


def sweep() -> None:
    """Take away the groups of launchers that died without doing so, and what is left in them."""
    for parent in {*_parents_v1(), *_parents_v2()}:
        for folder in parent.glob(f"{PREFIX}*"):
            owner = folder.name.removeprefix(PREFIX).partition("-")[0]
            if not Path("/proc", owner).exists():
                Group(Version.NONE, (folder,)).remove()


def _is_made(folders: tuple[Path, ...], version: Version, memory_bytes: int, num_processes: int) -> bool:
    limits = {"pids.max": num_processes}
    if version is Version.V2:
        limits |= {"memory.max": memory_bytes, "memory.swap.max": 0}
    else:
        limits |= {"memory.limit_in_bytes": memory_bytes, "memory.memsw.limit_in_bytes": memory_bytes}
    written = set()
    try:
        for folder in folders:
            folder.mkdir()
            for name, value in limits.items():
                if (folder / name).exists():
                    (folder / name).write_text(str(value))
                    written.add(name)
    except OSError:
        written.clear()
    needed = {"pids.max", "memory.max" if version is Version.V2 else "memory.limit_in_bytes"}
    if needed <= written:
        return True
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
    return False


def _parents_v1() -> tuple[Path, ...]:
    """Our own groups of both controllers, or nothing."""
    ours: dict[str, Path] = {}
    for controllers, path in _memberships():
        for controller in controllers:
            ours[controller] = ROOT / controller / path.lstrip("/")
    if not all(name in ours and os.access(ours[name], os.W_OK) for name in CONTROLLERS):
        return ()
    return tuple(ours[name] for name in CONTROLLERS)


def _parents_v2() -> tuple[Path, ...]:
    """Our own group or the one above it, whichever hands both controllers down."""
    for mount in (ROOT, ROOT / "unified"):
        for controllers, path in _memberships():
            if controllers or not (mount / "cgroup.controllers").exists():
                continue
            ours = mount / path.lstrip("/")
            for group in (ours, ours.parent):
                if _hands_down(group):
                    return (group,)
    return ()


def _hands_down(group: Path) -> bool:
    control = group / "cgroup.subtree_control"
    if not os.access(control, os.W_OK):
        return False
    with contextlib.suppress(OSError):
        if not set(CONTROLLERS) <= set(control.read_text().split()):
            control.write_text(" ".join(f"+{name}" for name in CONTROLLERS))
        return set(CONTROLLERS) <= set(control.read_text().split())
    return False


def _memberships() -> Iterator[tuple[tuple[str, ...], str]]:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            yield tuple(filter(None, controllers.split(","))), path


def _pids(folder: Path) -> list[int]:
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []
