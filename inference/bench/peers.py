"""Starts contenders by name and stops them together; says which cannot be had here."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from importlib import util
from pathlib import Path
from types import TracebackType
from typing import Self

from inference.bench import llama_cpp
from inference.bench.contender import Contender, ContenderFailed, ContenderProcess

OURS = "ours"
TRANSFORMERS = "transformers"
MEMORY = "memory"
ALL = (llama_cpp.NAME, TRANSFORMERS)
_OURS_FACTORY = "inference.bench.ours:OurEngine"
_TRANSFORMERS_FACTORY = "inference.bench.in_transformers:TransformersModel"
_MEMORY_FACTORY = "inference.bench.bandwidth:MemoryRead"


def folder() -> Path:
    """Where `make bench-peers` puts what it brings: llama.cpp's programs and Python packages."""
    return Path(os.environ.get("PEERS_DIR", Path(os.environ.get("VAR_DIR", "var")) / "peers"))


class Field:
    """The contenders of one comparison, running until the `with` ends. `missing` tells of those not had."""

    def __init__(self, *, num_threads: int, on_stage: Callable[[str], None]) -> None:
        self.contenders: list[Contender] = []
        self.missing: list[str] = []
        self._num_threads = num_threads
        self._on_stage = on_stage
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def names(self) -> list[str]:
        return [contender.name for contender in self.contenders]

    def add_ours(self, path: Path, *, name: str = OURS, precision: str | None = None) -> None:
        """Our engine. Raises ContenderFailed: without it nothing is worth measuring."""
        self._on_stage(f"starting {name}")
        arguments = {"path": path, "num_threads": self._num_threads, "precision": precision}
        self._add(ContenderProcess(name, _OURS_FACTORY, arguments))

    def add_memory(self) -> None:
        """The machine's memory, read with as many threads."""
        self._add(ContenderProcess(MEMORY, _MEMORY_FACTORY, {"num_threads": self._num_threads}))

    def add_transformers(self, path: Path) -> None:
        packages = folder() / "python"
        if util.find_spec("transformers") is None or not packages.exists():
            self.missing.append("transformers or its reader of GGUF is missing: run `make setup bench-peers`")
            return
        arguments = {"path": path, "num_threads": self._num_threads}
        start = partial(ContenderProcess, TRANSFORMERS, _TRANSFORMERS_FACTORY, arguments, packages=packages)
        self._try(TRANSFORMERS, start)

    def add_llama_cpp(self, path: Path, *, as_kinds: Sequence[str] = ()) -> None:
        """llama.cpp on the file, and on the file requantised to each of `as_kinds` ("llama.cpp Q4_0")."""
        programs = folder() / "bin"
        problem = llama_cpp.missing(programs)
        if problem is not None:
            self.missing.append(problem)
            return
        self._try(llama_cpp.NAME, partial(self._llama_cpp, path, programs, None))
        for kind in as_kinds:
            self._try(f"{llama_cpp.NAME} {kind}", partial(self._llama_cpp, path, programs, kind))

    def _llama_cpp(self, path: Path, programs: Path, kind: str | None) -> Contender:
        name = llama_cpp.NAME if kind is None else f"{llama_cpp.NAME} {kind}"
        file = path if kind is None else llama_cpp.requantized(path, kind, programs)
        return llama_cpp.LlamaCpp(file, programs=programs, num_threads=self._num_threads, name=name)

    def _try(self, name: str, start: Callable[[], Contender]) -> None:
        """A peer that does not start is missing; the reason is told."""
        self._on_stage(f"starting {name}")
        try:
            self._add(start())
        except ContenderFailed as error:
            self.missing.append(f"{name} could not be started: {error}")

    def _add(self, contender: Contender) -> None:
        self._stack.callback(contender.close)
        self.contenders.append(contender)
