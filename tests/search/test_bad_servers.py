"""Servers that answer with too much, too little or something else than they say: each ends in a clear result,
within a bounded memory of the process that fetches and of the one that reads."""

import gzip
import io
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
from pypdf import PdfWriter

from agents.pages.faults import Kind, PageFault
from agents.pages.fetching import Bounds, Fetcher
from agents.pages.page import Unreadable
from agents.pages.reading import Reader
from tests.search import sites
from tests.search.sites import Answer, Pages
from tests.search.test_pages import pdf

MEGABYTE = 1024 * 1024
# The first bytes of a stream that unpacks to gigabytes; it is not to be looked at at all.
BROTLI = b"\x5b\xff\xff\xff\x03" + b"\x00" * 4_000
ZSTD = b"\x28\xb5\x2f\xfd\xa4\x00\x00\x00\x80" + b"\x02\x00\x00" * 4_000


class Watched:
    """The most memory that the processes hold at any time."""

    def __init__(self, *pids: int) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.begun_with = self.most = self._sum()

    def __enter__(self) -> "Watched":
        self._thread.start()
        return self

    def __exit__(self, *_fault: object) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def grown(self) -> int:
        return self.most - self.begun_with

    def _watch(self) -> None:
        while not self._is_over.wait(0.01):
            self.most = max(self.most, self._sum())

    def _sum(self) -> int:
        total = 0
        for process in self._processes:
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total


@pytest.fixture
def this_process() -> Watched:
    return Watched(psutil.Process().pid)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader(time_s=6.0)
    yield reader
    reader.close()


async def fault_of(site: str, path: str = "/x", *, total_s: float = 20.0) -> PageFault:
    with pytest.raises(PageFault) as fault:
        await Fetcher(own_sites=(site,), bounds=Bounds(total_s=total_s)).fetch(f"{site}{path}")
    return fault.value


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b"\0" * (100 * MEGABYTE))),
        ("deflate", zlib.compress(b"\0" * (100 * MEGABYTE))),
        ("br", BROTLI),
        ("zstd", ZSTD),
        ("gzip, gzip, gzip", gzip.compress(gzip.compress(b"\0" * MEGABYTE))),
    ],
    ids=["gzip", "deflate", "br", "zstd", "thrice"],
)
async def test_no_packed_answer_is_unpacked(coding: str, body: bytes, this_process: Watched) -> None:
    answers = Pages({"/x": Answer(body=body, headers={"content-encoding": coding})})
    with sites.serve(answers) as site, this_process:
        fault = await fault_of(site)
    assert fault.kind is Kind.REFUSED
    assert "compressed" in str(fault)
    assert answers.asked[-1].headers["accept-encoding"] == "identity"
    assert this_process.grown < 50 * MEGABYTE


async def test_two_gigabytes_are_refused_unread(this_process: Watched) -> None:
    sent: list[int] = []

    def pour(connection: socket.socket, path: str) -> None:
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2147483648\r\n\r\n"
        )
        for _ in range(2_048):
            connection.sendall(b"x" * MEGABYTE)
            sent.append(MEGABYTE)

    with sites.speaking(pour) as site, this_process:
        fault = await fault_of(site)
    assert fault.kind is Kind.TOO_LARGE
    assert "10 MB" in str(fault)
    assert sum(sent) < 64 * MEGABYTE  # what the kernel took before the connection was closed
    assert this_process.grown < 50 * MEGABYTE


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n<p>Half of",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n<p>No length</p>\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<p>Half of it",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 9\r\n\r\n<p>",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(60_000)) + b"\r\n<p>x",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000,
    ],
    ids=["cut", "no-length", "short", "two-lengths", "long-header", "many-headers", "continue"],
)
async def test_an_answer_that_is_broken_off_or_floods_is_unreachable(
    answer: bytes, this_process: Watched
) -> None:
    with sites.speaking(lambda connection, _: connection.sendall(answer)) as site, this_process:
        fault = await fault_of(site, total_s=10.0)
    assert fault.kind in (Kind.UNREACHABLE, Kind.TIMEOUT)
    assert "another source" in str(fault)
    assert this_process.grown < 50 * MEGABYTE


async def test_a_redirect_to_itself_with_ever_longer_addresses_ends() -> None:
    def longer(connection: socket.socket, path: str) -> None:
        line = f"Location: {path}{'a' * 1_500}\r\n"
        connection.sendall(f"HTTP/1.1 302 Found\r\n{line}Content-Length: 0\r\n\r\n".encode())

    with sites.speaking(longer) as site:
        fault = await fault_of(site)
    assert fault.kind in (Kind.REDIRECTS, Kind.REFUSED)


async def test_a_pdf_with_a_password_is_said_to_be_locked(reader: Reader) -> None:
    writer = PdfWriter()
    writer.append(io.BytesIO(pdf("Nobody reads this")))
    for words, algorithm in (("locked", "AES-256"), ("locked", "RC4-128")):
        writer.encrypt("a password", algorithm=algorithm)
        file = io.BytesIO()
        writer.write(file)
        with pytest.raises(Unreadable, match=words):
            await reader.read(file.getvalue(), content_type="application/pdf")


@pytest.mark.parametrize(
    "body",
    [
        b"<p>" * 1_000_000,
        b"<div>" * 199_000 + b"<p>x",
        b"<table><tr><td>" * 100_000,
        b"<ul><li>" * 150_000,
        b"<a href=x>" * 190_000,
        b"<p>" + b"a" * (9 * MEGABYTE),
        b"<p style='" + b"color:red;" * 900_000 + b"'>x",
        b"<style>" + b".a{" * 3_000_000 + b"</style><p>x",
        b"<!--" * 2_000_000,
        b"&amp;" * 1_900_000,
        b"<svg>" * 100_000 + b"<math>" * 90_000,
    ],
    ids=["p", "div", "table", "ul", "a", "long", "style", "rules", "comments", "entities", "foreign"],
)
async def test_a_page_made_of_one_thing_is_read_or_refused_within_bounds(reader: Reader, body: bytes) -> None:
    await reader.read(b"awake", content_type="text/plain")
    assert reader.pid is not None
    with Watched(reader.pid) as reading, suppress(Unreadable):
        page = await reader.read(body, content_type="text/html")
        assert page.num_chars <= 9 * MEGABYTE
    assert reading.most < 1_500 * MEGABYTE
    assert (await reader.read(b"fine", content_type="text/plain")).sections[0].text == "fine"


async def test_a_page_that_says_it_is_something_else_is_read_as_what_it_is(reader: Reader) -> None:
    assert (await reader.read(pdf("A report"), content_type="text/html")).sections[0].text == "A report"
    with pytest.raises(Unreadable, match=r"damaged|bytes"):
        await reader.read(b"\x00" * 100, content_type="application/pdf")
    with pytest.raises(Unreadable, match="bytes"):
        await reader.read(b"PK\x03\x04\x00\x00", content_type="text/html")
    utf16 = "<p>Grüße an alle, die das lesen.</p>".encode("utf-16-le")
    page = await reader.read(b"\xff\xfe" + utf16, content_type="text/html; charset=utf-8")
    assert "Grüße" in page.sections[0].text
