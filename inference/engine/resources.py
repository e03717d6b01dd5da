"""The cores and memory this process may really use: a container's limits count, not the machine's size."""

import os
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def num_cores(cgroup: Path = CGROUP) -> int:
    """Whole cores, a core's second thread not counted; one at least."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cpu_quota(cgroup)
    physical = psutil.cpu_count(logical=False) or usable
    return max(1, min(usable, physical, usable if quota is None else int(quota)))


def available_bytes(cgroup: Path = CGROUP) -> int:
    """Memory that can be taken now without pushing anything else out."""
    available = psutil.virtual_memory().available
    limit, used = _number(cgroup / "memory.max"), _number(cgroup / "memory.current")
    if limit is None or used is None:
        return available
    # Cached file pages count as used but give way.
    return max(0, min(available, limit - used + _file_pages(cgroup)))


def _cpu_quota(cgroup: Path) -> float | None:
    """Cores that the control group grants; None without a limit."""
    fields = _text(cgroup / "cpu.max").split()
    return int(fields[0]) / int(fields[1]) if len(fields) == 2 and fields[0].isdigit() else None


def _file_pages(cgroup: Path) -> int:
    entries = (line.split() for line in _text(cgroup / "memory.stat").splitlines())
    return sum(int(entry[1]) for entry in entries if entry[0] in ("inactive_file", "active_file"))


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
