"""What every bench prints and writes: figures, and the machine they were measured on."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import psutil


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number. `least` or `most` is the goal it should reach; without either it is only
    recorded."""

    name: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def goal(self) -> str | None:
        if self.most is not None:
            return f"<= {self.most:g} {self.unit}".rstrip()
        return None if self.least is None else f">= {self.least:g} {self.unit}".rstrip()

    @property
    def met(self) -> bool | None:
        if self.most is not None:
            return self.value <= self.most
        return None if self.least is None else self.value >= self.least

    def named(self, name: str) -> Self:
        """The same figure under another name."""
        return replace(self, name=name)

    def as_dict(self) -> dict[str, Any]:
        value = round(self.value, 3)
        return {"name": self.name, "value": value, "unit": self.unit, "goal": self.goal, "met": self.met}


def machine() -> dict[str, Any]:
    """The processor, its cores and memory, the system, and how busy it is."""
    return {
        "cpu": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": round(load_average(), 2),
    }


def machine_line() -> str:
    """The machine in a few words, for the line above a table."""
    facts = machine()
    return f"{facts['cpu']}, {facts['cores']} cores, load average {facts['load_average']}"


def conditions(command: str) -> dict[str, Any]:
    """What a reader needs to measure the same again: command, commit, torch, the process's priority."""
    return {
        "command": command,
        "commit": _commit(),
        "torch": metadata.version("torch"),
        "nice": os.nice(0),
    }


def load_average() -> float:
    """Processes that ran or waited over the last minute; figures taken while others ran are too low."""
    return os.getloadavg()[0]


def table(figures: Sequence[Figure]) -> str:
    """The figures as lines of text, one each."""
    width = max(len(figure.name) for figure in figures)
    return "\n".join(_line(figure, width) for figure in figures)


def write(path: Path, *, figures: Sequence[Figure], conditions: dict[str, Any]) -> None:
    """Store machine, conditions and figures as JSON."""
    described = [figure.as_dict() for figure in figures]
    write_content(path, {"machine": machine(), "conditions": conditions, "figures": described})


def write_content(path: Path, content: dict[str, Any]) -> None:
    """Store as JSON, the folder made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _line(figure: Figure, width: int) -> str:
    line = f"{figure.name:<{width}}  {figure.value:>10.2f} {figure.unit:<9}"
    if figure.goal is None:
        return line.rstrip()
    return f"{line} goal {figure.goal}: {'met' if figure.met else 'missed'}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    """The checkout's commit, marked where files differ from it; "" outside a checkout."""
    asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
