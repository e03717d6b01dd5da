"""Charts, PDF and Word files made in a process of their own: a text made to break its printer breaks that
process, within a bounded memory and time, and nothing else.

The process writes no file and opens no address.
"""

import asyncio
import os
import resource
import sys
from typing import IO, Literal

import msgspec

from agents.pages import side_process
from agents.pages.side_process import Busy, Died, SideProcess
from agents.writing.plots import Plot
from agents.writing.work import Work

MEMORY_BYTES = 2 * 1024**3
TIME_S = 240.0
ORDERS_OF_A_PROCESS = 50  # then another one: libraries keep memory


class PressFailed(Exception):
    """It cannot be printed; the text says why and what to do."""


class Order(msgspec.Struct):
    kind: Literal["chart", "pdf", "docx"]
    work: Work | None = None
    plot: Plot | None = None


class Made(msgspec.Struct):
    content: bytes = b""
    fault: str = ""


class Press:
    """One process, one order at a time; started with the first one. For any thread and event loop."""

    def __init__(self, *, memory_bytes: int = MEMORY_BYTES, time_s: float = TIME_S) -> None:
        self._time_s = time_s
        self._process = SideProcess(
            "agents.writing.press", str(memory_bytes), str(time_s), num_answers=ORDERS_OF_A_PROCESS
        )

    async def chart(self, plot: Plot) -> bytes:
        """A PNG. Raises PressFailed."""
        return await asyncio.to_thread(self._make, Order(kind="chart", plot=plot))

    async def file(self, work: Work, *, kind: Literal["pdf", "docx"]) -> bytes:
        """Raises PressFailed."""
        return await asyncio.to_thread(self._make, Order(kind=kind, work=work))

    def close(self) -> None:
        self._process.close()

    def _make(self, order: Order) -> bytes:
        try:
            answer = self._process.ask(
                msgspec.msgpack.encode(order), time_s=self._time_s, wait_s=2 * self._time_s
            )
        except Busy:
            raise PressFailed("Too much is being printed already: try again in some minutes.") from None
        except Died as died:
            why = f"more than {self._time_s:.0f} seconds" if died.is_late else "too much memory"
            raise PressFailed(f"It takes {why}: make it smaller, or export Markdown.") from None
        made = msgspec.msgpack.decode(answer, type=Made)
        if made.fault:
            raise PressFailed(made.fault)
        return made.content


# ---- in the process


def serve(orders: IO[bytes], made: IO[bytes], *, memory_bytes: int, time_s: float) -> None:
    """Answers until the other end closes."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (message := side_process.read(orders)) is not None:
        with side_process.own_end(time_s):
            answer = msgspec.msgpack.encode(_made(msgspec.msgpack.decode(message, type=Order)))
        side_process.write(made, answer)


def _made(order: Order) -> Made:
    from agents.writing import docx_file, pdf, pictures, plots

    try:
        if order.plot is not None:
            return Made(content=plots.draw(order.plot))
        assert order.work is not None
        writer = pdf.write if order.kind == "pdf" else docx_file.write
        return Made(content=writer(order.work))
    except (pdf.NoPdf, pictures.NoPicture) as fault:
        return Made(fault=str(fault))
    except MemoryError:
        return Made(fault="It takes too much memory: make it smaller, or export Markdown.")
    except Exception as fault:
        # The libraries' bugs meet hostile text here: what they raise says nothing to a model.
        return Made(fault=f"It cannot be printed ({type(fault).__name__}): export Markdown instead.")


if __name__ == "__main__":
    os.environ["SOURCE_DATE_EPOCH"] = "1577836800"  # the same text makes the same file
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # threads for numbers would each take of the memory
    # Libraries that print would speak between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, answers, memory_bytes=int(sys.argv[1]), time_s=float(sys.argv[2]))
