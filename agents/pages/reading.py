"""Pages read in a process of their own: a file made to break its reader breaks that process, within a bounded
memory and time, and nothing else."""

import asyncio
import resource
import sys
from typing import IO

import msgspec

from agents.corpus.documents import Section
from agents.pages import side_process
from agents.pages.page import Link, Page, Paywalled, Unreadable
from agents.pages.side_process import Died, SideProcess

MEMORY_BYTES = 1_500 * 1024 * 1024
TIME_S = 20.0
PAGES_OF_A_PROCESS = 200


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
    needs_scripts: bool = False
    is_paywalled: bool = False


class Reader:
    """One process, one page at a time. For any thread and event loop."""

    def __init__(self, *, memory_bytes: int = MEMORY_BYTES, time_s: float = TIME_S) -> None:
        self._time_s = time_s
        self._process = SideProcess(
            "agents.pages.reading", str(memory_bytes), str(time_s), num_answers=PAGES_OF_A_PROCESS
        )

    async def read(self, body: bytes, *, content_type: str, url: str = "") -> Page:
        """Raises Unreadable, also for what takes too much time or memory."""
        asked = Asked(body=body, content_type=content_type, url=url)
        return await asyncio.to_thread(self._read, asked)

    def close(self) -> None:
        self._process.close()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def _read(self, asked: Asked) -> Page:
        try:
            answer = self._process.ask(msgspec.msgpack.encode(asked), time_s=self._time_s)
        except Died as died:
            why = "takes too long" if died.is_late else "takes too much memory"
            raise Unreadable(f"The file {why} to be read; it may be made so.") from None
        told = msgspec.msgpack.decode(answer, type=Told)
        if told.is_paywalled:
            raise Paywalled(told.fault)
        if told.fault:
            raise Unreadable(told.fault, needs_scripts=told.needs_scripts)
        return Page(
            title=told.title,
            sections=tuple(Section(heading=heading, text=text) for heading, text in told.sections),
            links=tuple(Link(url=url, text=text) for url, text in told.links),
            dated=told.dated,
            note=told.note,
            needs_scripts=told.needs_scripts,
        )


# ---- in the process


def serve(asked: IO[bytes], told: IO[bytes], *, memory_bytes: int, time_s: float) -> None:
    """Answers until the other end closes. It writes no file and cannot have more memory."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (message := side_process.read(asked)) is not None:
        with side_process.own_end(time_s):
            answer = msgspec.msgpack.encode(_told(msgspec.msgpack.decode(message, type=Asked)))
        side_process.write(told, answer)


def _told(asked: Asked) -> Told:
    from agents.pages import extraction

    try:
        page = extraction.read(asked.body, content_type=asked.content_type, url=asked.url)
    except Unreadable as fault:
        is_paywalled = isinstance(fault, Paywalled)
        return Told(fault=str(fault), needs_scripts=fault.needs_scripts, is_paywalled=is_paywalled)
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
        needs_scripts=page.needs_scripts,
    )


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer, memory_bytes=int(sys.argv[1]), time_s=float(sys.argv[2]))
