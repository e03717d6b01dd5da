"""Pages read in a process of their own: a file made to break its reader breaks that process, within a bounded
memory and time, and nothing else.

The process has no secrets in its environment, and is kept between pages: its libraries take half a second.
"""

import asyncio
import os
import resource
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from agents.corpus.documents import Section
from agents.pages.page import Link, Page, Unreadable

MEMORY_BYTES = 1_500 * 1024 * 1024
TIME_S = 20.0
PAGES_OF_A_PROCESS = 200  # then another one: libraries keep memory
ROOT = Path(__file__).resolve().parents[2]


class Asked(msgspec.Struct):
    body: bytes
    content_type: str
    url: str


class Told(msgspec.Struct):
    fault: str = ""
    title: str = ""
    sections: list[tuple[str, str]] = []
    links: list[tuple[str, str]] = []
    dated: str = ""
    note: str = ""


class Reader:
    """One process, one page at a time; started with the first page. For any thread and event loop."""

    def __init__(self, *, memory_bytes: int = MEMORY_BYTES, time_s: float = TIME_S) -> None:
        self._memory_bytes = memory_bytes
        self._time_s = time_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._num_read = 0

    async def read(self, body: bytes, *, content_type: str, url: str = "") -> Page:
        """Raises Unreadable, also for what takes too much time or memory."""
        asked = Asked(body=body, content_type=content_type, url=url)
        return await asyncio.to_thread(self._read, asked)

    def close(self) -> None:
        with self._lock:
            self._stop()

    def _read(self, asked: Asked) -> Page:
        with self._lock:
            process = self._running()
            is_late = threading.Event()
            timer = threading.Timer(self._time_s, _end, (process, is_late))
            timer.start()
            try:
                told = self._ask(process, asked)
            finally:
                timer.cancel()
            if told is None:
                self._stop()
                why = "takes too long" if is_late.is_set() else "takes too much memory"
                raise Unreadable(f"The file {why} to be read; it may be made so.")
            self._num_read += 1
        if told.fault:
            raise Unreadable(told.fault)
        return Page(
            title=told.title,
            sections=tuple(Section(heading=heading, text=text) for heading, text in told.sections),
            links=tuple(Link(url=url, text=text) for url, text in told.links),
            dated=told.dated,
            note=told.note,
        )

    def _ask(self, process: "subprocess.Popen[bytes]", asked: Asked) -> Told | None:
        """None when the process died over it."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            write(process.stdin, msgspec.msgpack.encode(asked))
            answer = read(process.stdout)
        except OSError:
            return None
        return msgspec.msgpack.decode(answer, type=Told) if answer is not None else None

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and (
            self._process.poll() is not None or self._num_read >= PAGES_OF_A_PROCESS
        ):
            self._stop()
        if self._process is None:
            self._num_read = 0
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agents.pages.reading", str(self._memory_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=ROOT,
                env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "HOME": "/nonexistent"},
            )
        return self._process

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process = None


def _end(process: "subprocess.Popen[bytes]", is_late: threading.Event) -> None:
    is_late.set()
    process.kill()


# ---- the wire: a length of eight bytes, then so many


def write(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(len(message).to_bytes(8, "big"))
    pipe.write(message)
    pipe.flush()


def read(pipe: IO[bytes]) -> bytes | None:
    """The next message; None at the end."""
    head = pipe.read(8)
    if len(head) < 8:
        return None
    length = int.from_bytes(head, "big")
    message = pipe.read(length)
    return message if len(message) == length else None


# ---- in the process


def serve(asked: IO[bytes], told: IO[bytes], *, memory_bytes: int) -> None:
    """Answers until the other end closes. It writes no file and cannot have more memory."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (message := read(asked)) is not None:
        answer = msgspec.msgpack.encode(_told(msgspec.msgpack.decode(message, type=Asked)))
        write(told, answer)


def _told(asked: Asked) -> Told:
    from agents.pages import extraction

    try:
        page = extraction.read(asked.body, content_type=asked.content_type, url=asked.url)
    except Unreadable as fault:
        return Told(fault=str(fault))
    except MemoryError:
        return Told(fault="The file takes too much memory to be read; it may be made so.")
    except Exception as fault:
        # The libraries' bugs meet hostile files here: what they raise says nothing to a model.
        return Told(fault=f"The file cannot be read ({type(fault).__name__}).")
    return Told(
        title=page.title,
        sections=[(section.heading, section.text) for section in page.sections],
        links=[(link.url, link.text) for link in page.links],
        dated=page.dated,
        note=page.note,
    )


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer, memory_bytes=int(sys.argv[1]))
