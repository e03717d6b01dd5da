"""Who is measured: the engine, its peers, the machine's memory; and the process that most of them need."""

import importlib
import multiprocessing
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from inference.bench.workload import Measure

_LOAD_LIMIT_S = 900.0
_SAMPLE_LIMIT_S = 600.0
_END_LIMIT_S = 5.0


class ContenderFailed(Exception):
    """A contender did not start, died, answered nonsense or took too long; the text says which and why."""


class Contender(Protocol):
    """`sample` measures once, in the measure's unit. Between samples a contender leaves the cores alone.

    `sample` and the constructors raise ContenderFailed. `facts` are what a reader should know of it: kernel,
    version, options.
    """

    name: str
    load_s: float
    measures: frozenset[Measure]
    facts: dict[str, str]

    def sample(self, measure: Measure) -> float: ...

    def peak_memory_bytes(self) -> int: ...

    def close(self) -> None: ...


class Subject(Protocol):
    """What a ContenderProcess makes and measures inside."""

    measures: frozenset[Measure]
    facts: dict[str, str]

    def sample(self, measure: Measure) -> float: ...


class ContenderProcess:
    """A contender whose subject lives in its own process: its threads, memory and settings touch no other.

    `factory` is "module:name" of what makes the Subject from `arguments`; only that process imports it, and
    finds packages in `packages` too.
    """

    def __init__(
        self, name: str, factory: str, arguments: Mapping[str, Any], *, packages: Path | None = None
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = name
        self._connection, theirs = context.Pipe()
        started_at = time.perf_counter()
        self._process = context.Process(
            target=_serve, args=(theirs, factory, packages, arguments), daemon=True
        )
        self._process.start()
        theirs.close()
        self.measures, self.facts = self._answer(_LOAD_LIMIT_S)
        self.load_s = time.perf_counter() - started_at

    def sample(self, measure: Measure) -> float:
        self._connection.send(measure)
        return float(self._answer(_SAMPLE_LIMIT_S))

    def peak_memory_bytes(self) -> int:
        assert self._process.pid is not None
        return peak_memory_bytes(self._process.pid)

    def close(self) -> None:
        """The process ends by itself when nobody asks any more, unless it is busy."""
        self._connection.close()
        self._process.join(_END_LIMIT_S)
        self._process.terminate()
        self._process.join()

    def _answer(self, limit_s: float) -> Any:
        try:
            if not self._connection.poll(limit_s):
                raise ContenderFailed(f"{self.name}: no answer for {limit_s:.0f} s")
            answer = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join(10)
            raise ContenderFailed(f"{self.name}: ended with code {self._process.exitcode}") from error
        if isinstance(answer, Exception):
            raise ContenderFailed(f"{self.name}: {type(answer).__name__}: {answer}") from answer
        return answer


def peak_memory_bytes(pid: int) -> int:
    """The most memory that a running process ever had, pages of mapped files included; 0 where unknown."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peaks[0]) * 1024 if peaks else 0


def _serve(connection: Connection, factory: str, packages: Path | None, arguments: Mapping[str, Any]) -> None:
    """Answer one sample for each measure that comes, until the other end closes."""
    if packages is not None:
        sys.path.append(str(packages))
    try:
        module, name = factory.split(":")
        subject: Subject = getattr(importlib.import_module(module), name)(**arguments)
        connection.send((subject.measures, subject.facts))
        while True:
            connection.send(subject.sample(connection.recv()))
    except EOFError:
        return
    except Exception as error:  # the process's outermost loop: the one who asked hears what happened
        connection.send(error)
