"""Where the platform lets itself be led, and where not: hostile addresses against listeners that count."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpcore2
import httpx2
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from agents import url_guard
from agents.url_guard import GuardedTransport, Rules, UrlRefused

PUBLIC = "93.184.215.14"
# {port} is that of a listener on 127.0.0.1 and ::1; the guard's port list holds it, so that only where an
# address leads can refuse it.
HOSTILE = [
    # this machine, plainly and in every notation that resolvers accept
    *("http://127.0.0.1:{port}/", "http://127.1:{port}/", "http://127.0.1:{port}/"),
    *("http://2130706433:{port}/", "http://017700000001:{port}/", "http://0x7f000001:{port}/"),
    *("http://0x7f.1:{port}/", "http://0177.0.0.1:{port}/", "http://0x7f.0x0.0x0.0x1:{port}/"),
    *("http://127.0.0.1.:{port}/", "http://00127.0.0.1:{port}/", "http://127.000.000.001:{port}/"),
    *("http://0:{port}/", "http://0.0.0.0:{port}/", "http://127.255.255.254:{port}/"),
    *("http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://localhost.:{port}/"),
    *("http://foo.localhost:{port}/", "http://ip6-localhost:{port}/", "http://127.0.0.1%00.example.com:{port}/"),
    # the same in IPv6, and IPv4 inside IPv6
    *("http://[::1]:{port}/", "http://[0:0:0:0:0:0:0:1]:{port}/", "http://[::]:{port}/"),
    *("http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/", "http://[::127.0.0.1]:{port}/"),
    *("http://[64:ff9b::127.0.0.1]:{port}/", "http://[64:ff9b:1::7f00:1]:{port}/"),
    *("http://[2002:7f00:1::]:{port}/", "http://[2001:0:7f00:1::]:{port}/", "http://[::1%25lo]:{port}/"),
    # private, shared, special networks
    *("http://10.0.0.1:{port}/", "http://172.16.0.1:{port}/", "http://192.168.1.1:{port}/"),
    *("http://100.64.0.1:{port}/", "http://198.18.0.1:{port}/", "http://192.0.2.1:{port}/"),
    *("http://224.0.0.1:{port}/", "http://255.255.255.255:{port}/", "http://240.0.0.1:{port}/"),
    *("http://[fe80::1]:{port}/", "http://[fe80::1%25eth0]:{port}/", "http://[fc00::1]:{port}/"),
    *("http://[ff02::1]:{port}/", "http://[2001:db8::1]:{port}/", "http://[fec0::1]:{port}/"),
    # what clouds tell their machines
    *("http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://100.100.100.200/"),
    *("http://metadata.google.internal/", "http://168.63.129.16/", "http://2852039166/"),
    # one host for a reader, another for a parser
    *("http://example.com@127.0.0.1:{port}/", "http://user:pass@127.0.0.1:{port}/"),
    *("http://example.com\\@127.0.0.1:{port}/", "http://127.0.0.1:{port}\\@example.com/"),
    *("http://example.com%40127.0.0.1:{port}/", "http://127.0.0.1\t:{port}/", "http://127.0.0.1\n:{port}/"),
    *("http:\\\\127.0.0.1:{port}\\", " http://127.0.0.1:{port}/", "http://127.0.0\u200b.1:{port}/"),
    # dots and digits of other scripts
    *("http://127\u30020\u30020\u30021:{port}/", "http://127\uff0e0\uff0e0\uff0e1:{port}/"),
    *("http://\uff11\uff12\uff17.0.0.1:{port}/", "http://\u2460\u2461\u2466.0.0.1:{port}/", "http://loc\u00adalhost:{port}/"),
    # no web at all
    *("file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "data:text/plain,x", "ftp://127.0.0.1:{port}/"),
    *("ws://127.0.0.1:{port}/", "unix:///run/x.sock", "//127.0.0.1:{port}/", "127.0.0.1:{port}", "http:///"),
]  # fmt: skip


@dataclass
class Listener:
    """A web server on the loopback, over IPv4 and IPv6, that counts who comes."""

    port: int = 0
    num_connections: int = 0
    hosts: list[str] = field(default_factory=list)
    answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        head = await reader.readuntil(b"\r\n\r\n")
        self.hosts += [line[6:] for line in head.decode().splitlines() if line.lower().startswith("host: ")]
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    counting = Listener()
    server = await asyncio.start_server(counting.serve, ["127.0.0.1", "::1"])
    first = server.sockets[0].getsockname()[1]
    counting.port = first
    second = server.sockets[1].getsockname()[1]
    if second != first:  # both families on one port, so that no URL escapes for want of a listener
        server.close()
        server = await asyncio.start_server(counting.serve, "127.0.0.1", first)
        extra = await asyncio.start_server(counting.serve, "::1", first)
    else:
        extra = server
    yield counting
    server.close()
    extra.close()


def answering(*answers: list[str]) -> Callable[[str, int], "asyncio.Future[list[str]]"]:
    """A resolver that gives each answer once, the last one for ever."""
    left = list(answers)

    def resolve(host: str, port: int) -> "asyncio.Future[list[str]]":
        future: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        future.set_result(left.pop(0) if len(left) > 1 else left[0])
        return future

    return resolve


def rules(listener: Listener, *private: str) -> Rules:
    return Rules(ports=url_guard.PORTS | {listener.port}, private_hosts=frozenset(private))


async def test_the_listener_is_there_to_be_found(listener: Listener) -> None:
    """Else no connection would prove nothing."""
    async with httpx2.AsyncClient(trust_env=False) as unguarded:
        for url in ("http://127.0.0.1:{port}/", "http://2130706433:{port}/", "http://[::1]:{port}/"):
            assert (await unguarded.get(url.format(port=listener.port))).text == "ok"
    assert listener.num_connections == 3


@pytest.mark.parametrize("template", HOSTILE)
async def test_no_hostile_address_reaches_this_machine(listener: Listener, template: str) -> None:
    url = template.replace("{port}", str(listener.port))
    with pytest.raises(UrlRefused):
        url_guard.check(url, rules=rules(listener))
    async with url_guard.client(rules(listener), timeout=2.0) as client:
        with pytest.raises((httpx2.TransportError, httpx2.InvalidURL, UnicodeError)):
            await client.get(url)
    assert listener.num_connections == 0


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.com/a?b=c#d", "http://example.com:8080/", "https://93.184.215.14/"),
        *("https://[2606:4700:4700::1111]/", "https://b\u00fccher.example/", "https://a.b-c.example.co.uk./"),
        "https://example.com/a@b/http://127.0.0.1/",
    ],
)
def test_plain_public_addresses_pass(url: str) -> None:
    checked = url_guard.check(url)
    assert url_guard.host_of(checked).isascii()


@pytest.mark.parametrize("port", [22, 25, 6379, 5432, 11211])
def test_ports_of_other_services_are_refused(port: int) -> None:
    with pytest.raises(UrlRefused, match="Port"):
        url_guard.check(f"http://example.com:{port}/")


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["::1"],
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["fe80::1%eth0"],
        ["0.0.0.0"],
    ],
)
async def test_a_name_that_leads_home_is_refused(listener: Listener, answer: list[str]) -> None:
    """All answers count: the one that is not asked now may be the next connection's."""
    async with url_guard.client(rules(listener), resolve=answering(answer)) as client:
        with pytest.raises(UrlRefused):
            await client.get(f"http://innocent.example.com:{listener.port}/")
    assert listener.num_connections == 0


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate of tools.example.com, signed by itself."""
    path = tmp_path / "certificate.pem"
    name = ["-subj", "/CN=tools.example.com", "-addext", "subjectAltName=DNS:tools.example.com"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    subprocess.run(
        [*command, *name, "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True
    )
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


async def test_the_certificate_is_that_of_the_name_not_of_the_address(certificate: Path) -> None:
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(certificate)
    names: list[str] = []
    served.sni_callback = lambda _socket, name, _context: names.append(name)
    listening = Listener()
    server = await asyncio.start_server(listening.serve, "127.0.0.1", ssl=served)
    port = server.sockets[0].getsockname()[1]
    hosts = frozenset({f"tools.example.com:{port}", f"other.example.com:{port}"})
    transport = GuardedTransport(
        Rules(private_hosts=hosts),
        resolve=answering(["127.0.0.1"]),
        verify=ssl.create_default_context(cafile=str(certificate)),
    )
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
        assert (await client.get(f"https://tools.example.com:{port}/")).text == "ok"
        with pytest.raises(httpx2.ConnectError, match="certificate"):
            await client.get(f"https://other.example.com:{port}/")
    server.close()
    assert names == ["tools.example.com", "other.example.com"]
    assert listening.hosts == [f"tools.example.com:{port}"]


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The internet, where nobody answers: the addresses that were tried."""
    tried: list[str] = []

    async def connect_tcp(network: object, host: str, *arguments: object, **options: object) -> None:
        tried.append(host)
        raise httpcore2.ConnectError("nobody answers")

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect_tcp)
    return tried


async def test_a_connection_goes_to_the_very_address_that_was_checked(
    listener: Listener, outside: list[str]
) -> None:
    """The name is public when it is asked for and private a moment later."""
    resolve = answering([PUBLIC], ["127.0.0.1"])
    async with url_guard.client(rules(listener), resolve=resolve) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"http://rebinding.example.com:{listener.port}/")
        with pytest.raises(UrlRefused):
            await client.get(f"http://rebinding.example.com:{listener.port}/")
    assert outside == [PUBLIC]


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/in", "http://[::1]:{port}/", "file:///etc/passwd"]
)
async def test_a_redirect_is_checked_like_the_first_address(listener: Listener, target: str) -> None:
    """The first hop is an allowed private server, the second the same machine under another name."""
    location = target.format(port=listener.port)
    listener.answer = f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()
    allowed = rules(listener, f"tools.example.com:{listener.port}")
    async with url_guard.client(allowed, resolve=answering(["127.0.0.1"])) as client:
        with pytest.raises((UrlRefused, httpx2.UnsupportedProtocol)):
            await client.get(f"http://tools.example.com:{listener.port}/out")
    assert listener.num_connections == 1


async def test_redirects_come_to_an_end(listener: Listener) -> None:
    listener.answer = (
        b"HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    async with url_guard.client(rules(listener, f"127.0.0.1:{listener.port}")) as client:
        with pytest.raises(httpx2.TooManyRedirects):
            await client.get(f"http://127.0.0.1:{listener.port}/")
    assert listener.num_connections == url_guard.MAX_REDIRECTS + 1


async def test_an_operators_own_host_is_reached_under_its_own_name(listener: Listener) -> None:
    allowed = rules(listener, f"tools.internal:{listener.port}")
    async with url_guard.client(allowed, resolve=answering(["127.0.0.1"])) as client:
        assert (await client.get(f"http://tools.internal:{listener.port}/")).text == "ok"
        with pytest.raises(UrlRefused):  # the permission is for that name and port alone
            await client.get(f"http://127.0.0.1:{listener.port}/")
    assert listener.hosts == [f"tools.internal:{listener.port}"]


async def test_a_proxy_of_the_environment_is_not_used(
    listener: Listener, outside: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
    async with url_guard.client(rules(listener), resolve=answering([PUBLIC])) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"http://example.com:{listener.port}/")
    assert outside == [PUBLIC]


async def test_an_answer_without_end_is_broken_off(listener: Listener) -> None:
    listener.answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"x" * 100_000
    bounded = Rules(private_hosts=frozenset({f"127.0.0.1:{listener.port}"}), max_response_bytes=10_000)
    async with url_guard.client(bounded) as client:
        with pytest.raises(UrlRefused, match="longer"):
            await client.get(f"http://127.0.0.1:{listener.port}/")


async def test_a_packed_answer_is_refused_before_it_unpacks(listener: Listener) -> None:
    listener.answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n" + b"\x1f\x8b"
    async with url_guard.client(rules(listener, f"127.0.0.1:{listener.port}")) as client:
        with pytest.raises(UrlRefused, match="compressed"):
            await client.get(f"http://127.0.0.1:{listener.port}/")


def test_the_list_of_hostile_addresses_is_long_enough() -> None:
    assert len(set(HOSTILE)) >= 60


async def test_a_server_that_offers_http_2_is_spoken_to_in_it(certificate: Path) -> None:
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(certificate)
    served.set_alpn_protocols(["h2", "http/1.1"])
    streams: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        while data := await reader.read(65_536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    streams.append(event.stream_id)
                    connection.send_headers(event.stream_id, [(":status", "200")])
                    connection.send_data(event.stream_id, b"ok", end_stream=True)
            writer.write(connection.data_to_send())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", ssl=served)
    port = server.sockets[0].getsockname()[1]
    transport = GuardedTransport(
        Rules(private_hosts=frozenset({f"tools.example.com:{port}"})),
        resolve=answering(["127.0.0.1"]),
        verify=ssl.create_default_context(cafile=str(certificate)),
    )
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
        answers = await asyncio.gather(*(client.get(f"https://tools.example.com:{port}/{at}") for at in "ab"))
    server.close()
    assert [(answer.text, answer.http_version) for answer in answers] == [("ok", "HTTP/2")] * 2
    assert sorted(streams) == [1, 3]
