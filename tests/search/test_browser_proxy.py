"""The browser's way out, spoken to byte by byte: it goes where pages may be fetched from and nowhere else."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from agents.pages.browser.proxy import Allowance, Proxy
from agents.pages.domains import Domains
from agents.pages.reach import Reach
from tests.agents.test_url_guard import HOSTILE, PUBLIC, answering

OWN = "tools.example.com"


class Site:
    """A web server on the loopback that counts who comes."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        body = b"x" * (5_000_000 if b"/big" in head else 2)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nx-a: b\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    server.close()


async def said(site: Site, words: bytes, *, answer: list[str] | None = None) -> bytes:
    """What the proxy answers to these bytes; the operator's own site is the one that may be private."""
    reach = Reach(
        own_sites=(f"http://{OWN}:{site.port}",),
        domains=Domains.of(denied=["denied.example"]),
        resolve=answering(answer or ["127.0.0.1"]),
    )
    allowance = Allowance(reach=reach, max_bytes=1_000_000, max_connections=5)
    proxy, listener = Proxy(), socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    await proxy.listen(listener)
    try:
        async with proxy.open_for(allowance):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(words)
            answered = await asyncio.wait_for(reader.read(-1), 20)
            writer.close()
            return answered
    finally:
        await proxy.close()


def connect(target: str, then: str = "GET / HTTP/1.1\r\n\r\n") -> bytes:
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n{then}".encode()


def get(url: str) -> bytes:
    lines = (f"GET {url} HTTP/1.1", "Host: elsewhere", "Cookie: a=b", "Proxy-Connection: keep-alive", "", "")
    return "\r\n".join(lines).encode()


async def test_the_operators_own_site_is_reached_both_ways(site: Site) -> None:
    plain = await said(site, get(f"http://{OWN}:{site.port}/a"))
    assert plain.startswith(b"HTTP/1.1 200")
    assert plain.endswith(b"\r\nx-a: b\r\nconnection: close\r\n\r\nxx")
    through = await said(site, connect(f"{OWN}:{site.port}"))
    assert through.startswith(b"HTTP/1.1 200 Connection established")
    assert through.endswith(b"xx")
    assert b"Proxy-Connection" not in site.heads[0]
    assert f"host: {OWN}:{site.port}".encode() in site.heads[0].lower()


@pytest.mark.parametrize("template", HOSTILE)
async def test_no_hostile_target_is_connected_to(site: Site, template: str) -> None:
    url = template.replace("{port}", str(site.port))
    target = url.partition("://")[2].partition("/")[0] or url
    for words in (connect(target), get(url)):
        answer = await said(site, words.replace(b"\n:", b":"), answer=["127.0.0.1"])
        assert b"200" not in answer
    assert site.heads == []


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("inside.example.com:80", ["127.0.0.1"]),
        ("inside.example.com:443", [PUBLIC, "10.0.0.1"]),
        ("inside.example.com:443", ["169.254.169.254"]),
        ("denied.example:443", [PUBLIC]),
        ("example.com:22", [PUBLIC]),
        ("example.com:6379", [PUBLIC]),
    ],
)
async def test_a_name_that_leads_inside_is_refused(site: Site, target: str, answer: list[str]) -> None:
    assert b"403" in await said(site, connect(target), answer=answer)
    assert await said(site, get(f"http://{target}/"), answer=answer) == b""


async def test_a_page_gets_no_more_than_its_allowance(site: Site) -> None:
    for words in (get(f"http://{OWN}:{site.port}/big"), connect(f"{OWN}:{site.port}", "GET /big\r\n\r\n")):
        assert len(await said(site, words)) < 1_300_000


@pytest.mark.parametrize(
    "words",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\xff\xfe\x00\r\n\r\n",
        b"GET http://x.example/ HTTP/1.1\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
        b"POST http://tools.example.com:%d/ HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST http://tools.example.com:%d/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST http://tools.example.com:%d/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"DELETE http://tools.example.com:%d/ HTTP/1.1\r\n\r\n",
        b"TRACE http://tools.example.com:%d/ HTTP/1.1\r\n\r\n",
    ],
)
async def test_words_that_are_no_request_of_a_page_end_the_connection(site: Site, words: bytes) -> None:
    words = words % site.port if b"%d" in words else words
    assert await said(site, words) == b""
    assert site.heads == []


async def test_between_pages_it_goes_nowhere(site: Site) -> None:
    proxy, listener = Proxy(), socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    await proxy.listen(listener)
    reader, writer = await asyncio.open_connection(*address)
    writer.write(connect(f"127.0.0.1:{site.port}"))
    assert await asyncio.wait_for(reader.read(-1), 20) == b""
    writer.close()
    await proxy.close()
    assert site.heads == []
