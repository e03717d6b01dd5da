"""A process beside this one that answers messages, one at a time: what is hostile breaks it and nothing else.

It has no secrets in its environment, is started with the first message and kept for the next ones, since what
it loads takes long. What it starts itself is ended with it.
"""

import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from agents.round_robin import RoundRobin

ROOT = Path(__file__).resolve().parents[2]
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
SPARE_S = 5.0


class Died(Exception):
    """It ended over the message; `is_late`: because its time was up."""

    def __init__(self, *, is_late: bool) -> None:
        super().__init__("late" if is_late else "died")
        self.is_late = is_late


class Busy(Exception):
    """Others wait for it already."""


class SideProcess:
    """`python -m MODULE ARGUMENTS`, with a folder for what it writes that is removed with it. After
    `num_answers` another one is started: libraries keep memory. For any thread; tenants take turns."""

    def __init__(self, module: str, *arguments: str, num_answers: int) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._num_answers = num_answers
        self._lock = RoundRobin()
        self._process: subprocess.Popen[bytes] | None = None
        self._clear_away: Callable[[], object] = lambda: None
        self._num_given = 0

    def ask(self, message: bytes, *, time_s: float, wait_s: float = -1) -> bytes:
        """The answer. Raises Died; Busy after `wait_s` of waiting for the others."""
        if not self._lock.acquire(timeout=wait_s):
            raise Busy
        try:
            process, is_late = self._running(), threading.Event()
            timer = threading.Timer(time_s, _end, (process, is_late))
            timer.start()
            try:
                answer = _exchanged(process, message)
            finally:
                timer.cancel()
            if answer is None:
                self._stop()
                raise Died(is_late=is_late.is_set())
            self._num_given += 1
            return answer
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._stop()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def _running(self) -> "subprocess.Popen[bytes]":
        process = self._process
        if process is not None and (process.poll() is not None or self._num_given >= self._num_answers):
            self._stop()
        if self._process is None:
            self._num_given = 0
            scratch = Path(tempfile.mkdtemp(prefix="side-"))
            scratch.chmod(0o711)  # what it starts may be somebody else
            # At the latest when this process ends.
            self._clear_away = weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=ROOT,
                env={
                    "PATH": os.environ.get("PATH", ""),
                    "LANG": "C.UTF-8",
                    "HOME": "/nonexistent",
                    "TMPDIR": str(scratch),
                },
                start_new_session=True,
            )
        return self._process

    def _stop(self) -> None:
        if self._process is None:
            return
        _kill(self._process)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process = None
        self._clear_away()


def _exchanged(process: "subprocess.Popen[bytes]", message: bytes) -> bytes | None:
    """None when the process died over it."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        write(process.stdin, message)
        return read(process.stdout)
    except OSError:
        return None


def _end(process: "subprocess.Popen[bytes]", is_late: threading.Event) -> None:
    is_late.set()
    _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """With what it has started, which leads no session of its own."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def own_end(time_s: float) -> Iterator[None]:
    """In the process: what takes longer ends it, also when nobody is left who would. Only whole seconds."""
    signal.alarm(math.ceil(time_s + SPARE_S))
    try:
        yield
    finally:
        signal.alarm(0)


# ---- the wire: a length of eight bytes, then so many


def write(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(len(message).to_bytes(8, "big"))
    pipe.write(message)
    pipe.flush()


def read(pipe: IO[bytes]) -> bytes | None:
    """The next message; None at the end, and for one that is longer than any should be."""
    head = pipe.read(8)
    length = int.from_bytes(head, "big")
    if len(head) < 8 or length > MAX_MESSAGE_BYTES:
        return None
    message = pipe.read(length)
    return message if len(message) == length else None
