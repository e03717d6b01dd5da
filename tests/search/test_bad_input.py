"""Files and servers made to break a reader: each ends in a clear result, soon, within a bounded memory."""

import asyncio
import gzip
import resource
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress

import pytest

from agents.pages.faults import Kind, PageFault
from agents.pages.fetching import Bounds, Fetcher
from agents.pages.page import Unreadable
from agents.pages.reading import Reader
from tests.search import sites
from tests.search.sites import Answer, Pages

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader(memory_bytes=700 * MEGABYTE, time_s=8.0)
    yield reader
    reader.close()


def own_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def pdf_bomb() -> bytes:
    """A page whose content unpacks to a gigabyte."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(b"\0" * MEGABYTE) for _ in range(1024)) + packer.flush()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed),
    ]
    body = b"%PDF-1.7\n"
    for number, content in enumerate(objects, 1):
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    return body + b"trailer << /Root 1 0 R /Size 5 >>\n"


def looped_pdf() -> bytes:
    catalog = b"1 0 obj\n<< /Type /Catalog /Pages 1 0 R /Kids [1 0 R] /Count 1 >>\nendobj\n"
    return b"%PDF-1.7\n" + catalog + b"trailer << /Root 1 0 R >>\n"


async def test_damaged_pdfs_are_said_to_be_damaged(reader: Reader) -> None:
    for body in (
        b"%PDF-1.7",
        b"%PDF-1.7\n" + bytes(range(256)) * 400,
        looped_pdf(),
        b"%PDF-1.4\nxref\n0 99999999\n",
    ):
        with pytest.raises(Unreadable, match=r"PDF|damaged|takes too"):
            await reader.read(body, content_type="application/pdf")


async def test_a_pdf_that_unpacks_to_a_gigabyte_costs_this_process_nothing(reader: Reader) -> None:
    bomb, before = pdf_bomb(), own_memory()
    assert len(bomb) < 2 * MEGABYTE
    with pytest.raises(Unreadable, match=r"damaged|memory|too long|pictures|cannot be read"):
        await reader.read(bomb, content_type="application/pdf")
    assert own_memory() - before < 100 * MEGABYTE
    page = await reader.read(b"still here", content_type="text/plain")
    assert page.sections[0].text == "still here"


@pytest.mark.parametrize(
    "body",
    [b"<p>" * 1_000_000, b"<div>" * 1_000_000 + b"x", b"<p>x</p>" * 1_000_000, b"<table><tr><td>" * 350_000],
)
async def test_a_page_of_a_million_elements_is_refused_soon(reader: Reader, body: bytes) -> None:
    begun = time.monotonic()
    with pytest.raises(Unreadable, match=r"elements|too long|memory"):
        await reader.read(body, content_type="text/html")
    assert time.monotonic() - begun < 10


async def test_a_page_of_deep_elements_does_not_stop_the_next_one() -> None:
    brief = Reader(time_s=3.0)
    try:
        with suppress(Unreadable):
            page = await brief.read(b"<div>" * 60_000 + b"<p>The bottom.</p>", content_type="text/html")
            assert "The bottom." in page.sections[0].text
        assert (await brief.read(b"fine", content_type="text/plain")).sections[0].text == "fine"
    finally:
        brief.close()


async def test_a_reader_that_is_too_slow_is_ended_and_the_next_page_read() -> None:
    hasty = Reader(time_s=0.05)
    try:
        with pytest.raises(Unreadable, match="too long"):
            await hasty.read(b"<p>x</p>" * 100_000, content_type="text/html")
        hasty._time_s = 20.0
        assert (await hasty.read(b"fine", content_type="text/plain")).sections[0].text == "fine"
    finally:
        hasty.close()


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        ("Füße kosten 5 €".encode("cp1252"), "text/plain; charset=iso-8859-1", "Füße kosten 5 €"),
        ("长江很长".encode("gb18030"), "text/plain; charset=utf-8", "长江很长"),
        ("长江很长".encode("gbk"), "text/html; charset=gb2312", "长江很长"),
        ("Grüße".encode("utf-16"), "text/plain", "Grüße"),
        ("Grüße".encode(), "text/plain; charset=no-such-thing", "Grüße"),
        (b'<meta charset="big5"><p>' + "繁體中文".encode("big5"), "text/html", "繁體中文"),
        (b"caf\xe9 \xff\x81", "text/plain; charset=utf-8", "caf"),
    ],
)
async def test_a_wrong_encoding_is_seen_through(
    reader: Reader, body: bytes, content_type: str, words: str
) -> None:
    page = await reader.read(body, content_type=content_type)
    assert words in page.sections[0].text


async def test_bytes_that_are_no_text_are_said_to_be_none(reader: Reader) -> None:
    with pytest.raises(Unreadable, match="bytes"):
        await reader.read(b"\x7fELF\x00\x00\x01", content_type="text/html")
    with pytest.raises(Unreadable, match="empty"):
        await reader.read(b"", content_type="text/plain")


# ---- servers


async def fault_of(url: str, site: str, **bounds: float) -> PageFault:
    with pytest.raises(PageFault) as fault:
        await Fetcher(own_sites=(site,), bounds=Bounds(**bounds)).fetch(url)  # type: ignore[arg-type]
    return fault.value


async def test_a_circle_of_redirects_ends() -> None:
    circle = Pages(
        {
            "/a": Answer(status=302, headers={"location": "/b"}),
            "/b": Answer(status=301, headers={"location": "/a"}),
        }
    )
    with sites.serve(circle) as site:
        fault = await fault_of(f"{site}/a", site)
    assert fault.kind is Kind.REDIRECTS
    assert len(circle.paths) == 6


async def test_a_page_of_fifty_megabytes_is_left_after_ten() -> None:
    before = own_memory()

    def pour(connection: socket.socket, path: str) -> None:
        length = b"Content-Length: 52428800\r\n" if path == "/told" else b""
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n" + length + b"\r\n"
        )
        for _ in range(50):
            connection.sendall(b"x" * MEGABYTE)

    with sites.speaking(pour) as site:
        for path in ("/told", "/untold"):
            fault = await fault_of(f"{site}{path}", site)
            assert fault.kind is Kind.TOO_LARGE
    assert own_memory() - before < 60 * MEGABYTE


async def test_a_server_that_drips_is_left_in_time() -> None:
    def drip(connection: socket.socket, path: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
        for _ in range(200):
            connection.sendall(b"x")
            time.sleep(0.05)

    def mute(connection: socket.socket, path: str) -> None:
        connection.recv(1)

    begun = time.monotonic()
    for talk in (drip, mute):
        with sites.speaking(talk) as site:
            fault = await fault_of(f"{site}/x", site, total_s=0.7)
            assert fault.kind is Kind.TIMEOUT
    assert time.monotonic() - begun < 6


async def test_a_packed_answer_that_nobody_asked_for_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * (200 * MEGABYTE))
    before = own_memory()
    with sites.serve(Pages({"/x": Answer(body=bomb, headers={"content-encoding": "gzip"})})) as site:
        fault = await fault_of(f"{site}/x", site)
    assert fault.kind is Kind.REFUSED
    assert "compressed" in str(fault)
    assert own_memory() - before < 60 * MEGABYTE


async def test_a_server_that_speaks_no_http_or_none_at_all_is_unreachable() -> None:
    def babble(connection: socket.socket, path: str) -> None:
        connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")

    with sites.speaking(babble) as site:
        assert (await fault_of(f"{site}/x", site)).kind is Kind.UNREACHABLE
    assert (await fault_of(f"{site}/x", site)).kind is Kind.UNREACHABLE


async def test_eight_pages_at_once_are_all_read(reader: Reader) -> None:
    texts = await asyncio.gather(
        *(reader.read(f"Page {number}".encode(), content_type="text/plain") for number in range(8))
    )
    assert [page.sections[0].text for page in texts] == [f"Page {number}" for number in range(8)]
