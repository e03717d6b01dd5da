"""Which addresses on the network the platform may be led to by a model, a page or a tool server.

A URL is parsed once; its name is resolved once, right before connecting, and the connection goes to the very
address that was checked. Every redirect passes through here again. Proxies of the environment are not used.
"""

import asyncio
import functools
import ipaddress
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network

import httpcore2
import httpx2

Resolve = Callable[[str, int], Awaitable[list[str]]]

PORTS = frozenset({80, 443, 8000, 8080, 8443})
DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_URL_CHARS = 4_096
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
MAX_REDIRECTS = 5
MAX_ADDRESSES = 4  # of a name that are tried
TIMEOUT_S = 10.0

# Names that mean this machine or this network, whoever answers for them.
_LOCAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home.arpa")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\\u200b-\u200f\u2028-\u202f\u2060\ufeff]")

_GLOBAL_V6 = ip_network("2000::/3")
_BLOCKED = tuple(
    ip_network(block)
    for block in (
        "168.63.129.16/32",  # a cloud's metadata, at a public address
        "192.88.99.0/24",  # relays of 6to4
        "2001::/23",  # Teredo, ORCHID and other protocols
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3fff::/20",
    )
)


class UrlRefused(httpx2.TransportError):
    """The URL leads where the platform does not go; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """`private_hosts`: hosts, as `name:port`, that may be private: an operator's own servers."""

    ports: frozenset[int] = PORTS
    private_hosts: frozenset[str] = frozenset()
    max_response_bytes: int = MAX_RESPONSE_BYTES

    def may_be_private(self, host: str, port: int) -> bool:
        return f"{host}:{port}" in self.private_hosts


def check(url: str | httpx2.URL, *, rules: Rules | None = None) -> httpx2.URL:
    """The URL as it will be asked for, its name in punycode. Raises UrlRefused. Resolves nothing."""
    rules = rules or Rules()
    if isinstance(url, str):
        url = _parsed(url)
    if url.scheme not in DEFAULT_PORTS:
        raise UrlRefused("Only http and https addresses can be opened.")
    if url.userinfo:
        raise UrlRefused("An address with a user name or password in it is not opened.")
    host = host_of(url)
    port = url.port or DEFAULT_PORTS[url.scheme]
    if rules.may_be_private(host, port):
        return url
    if port not in rules.ports:
        raise UrlRefused(f"Port {port} is not opened.")
    _check_host(host)
    return url


def check_address(address: str) -> None:
    """Raises UrlRefused unless the address is one that anybody on the internet may reach."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise UrlRefused("The name leads to no plain address.") from None
    if not _is_public(ip):
        raise UrlRefused("The address belongs to a private or special network.")


async def addresses(
    host: str, port: int, *, rules: Rules, resolve: Resolve | None = None, timeout_s: float | None = TIMEOUT_S
) -> list[str]:
    """Where the name leads, as it was checked: connect to one of these and to nothing else. One that is not
    public refuses them all, since it may be the next answer. Raises UrlRefused, TimeoutError, or OSError when
    there are none."""
    host = host.strip("[]")
    found = [host]
    if not _is_address(host):
        found = await asyncio.wait_for((resolve or _resolve)(host, port), timeout_s)
    if not found:
        raise OSError(f"the name {host} has no address")
    if not rules.may_be_private(host, port):
        for address in found:
            check_address(address)
    return found[:MAX_ADDRESSES]


def host_of(url: httpx2.URL) -> str:
    """The host in ASCII and lower case, an IPv6 address without brackets."""
    return url.raw_host.decode("ascii").lower()


def origin_of(url: str) -> str:
    """The host and port of the URL, as `private_hosts` names them. Raises UrlRefused."""
    parsed = _parsed(url)
    if parsed.scheme not in DEFAULT_PORTS or not parsed.raw_host:
        raise UrlRefused("Only http and https addresses can be opened.")
    return f"{host_of(parsed)}:{parsed.port or DEFAULT_PORTS[parsed.scheme]}"


def client(
    rules: Rules | None = None,
    *,
    resolve: Resolve | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: httpx2.Timeout | float = TIMEOUT_S,
    follow_redirects: bool = True,
) -> httpx2.AsyncClient:
    """A client that goes to public addresses only, with no cookies or proxies of the environment."""
    return httpx2.AsyncClient(
        transport=GuardedTransport(rules, resolve=resolve),
        headers={"accept-encoding": "identity", **(headers or {})},
        timeout=timeout,
        follow_redirects=follow_redirects,
        max_redirects=MAX_REDIRECTS,
        trust_env=False,
    )


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """Speaks HTTP with public addresses only; HTTP/2 with whoever offers it."""

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        resolve: Resolve | None = None,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        verify = verify or _trusted()
        super().__init__(verify=verify, trust_env=False)
        self._rules = rules or Rules()
        # The pool keys connections by the name, so that a connection whose certificate was checked for one
        # name never serves another; only where it connects is ours. httpx2 has no public way to say that.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=verify,
            http2=True,
            network_backend=_GuardedNetwork(self._rules, resolve),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        check(request.url, rules=self._rules)
        response = await super().handle_async_request(request)
        if _is_packed_unasked(request, response):
            await response.aclose()
            raise UrlRefused("The answer is compressed though that was not asked for.")
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(stream, limit=self._rules.max_response_bytes)
        return response


class _GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Resolves a name once and connects to what was checked; the certificate is still that of the name."""

    def __init__(self, rules: Rules, resolve: Resolve | None) -> None:
        self._rules = rules
        self._resolve = resolve
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        found = await self._addresses(host, port, timeout)
        for address in found[:-1]:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._network.connect_tcp(found[-1], port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise UrlRefused("Sockets of this machine are not opened.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int, timeout: float | None) -> list[str]:
        try:
            return await addresses(host, port, rules=self._rules, resolve=self._resolve, timeout_s=timeout)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"The name {host} was not resolved in time.") from None
        except OSError as fault:
            raise httpcore2.ConnectError(f"The name {host} cannot be resolved: {fault}") from fault


@functools.cache
def _trusted() -> ssl.SSLContext:
    """The certificates that are trusted: one for the process, since reading them takes 20 ms."""
    return httpx2.create_ssl_context(trust_env=False)


def _is_packed_unasked(request: httpx2.Request, response: httpx2.Response) -> bool:
    """A few compressed bytes can unpack to more than memory holds, and the limit counts bytes as sent."""
    coding = response.headers.get("content-encoding", "identity")
    return request.headers.get("accept-encoding") == "identity" and coding != "identity"


class _Bounded(httpx2.AsyncByteStream):
    """A body that breaks off once it is longer than the limit."""

    def __init__(self, stream: httpx2.AsyncByteStream, *, limit: int) -> None:
        self._stream = stream
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        num_bytes = 0
        async for piece in self._stream:
            num_bytes += len(piece)
            if num_bytes > self._limit:
                raise UrlRefused(f"The answer is longer than {self._limit} bytes.")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _parsed(url: str) -> httpx2.URL:
    if len(url) > MAX_URL_CHARS:
        raise UrlRefused(f"An address of more than {MAX_URL_CHARS} characters is not opened.")
    # Where parsers differ, a later one may see another host than this one did.
    if _FORBIDDEN.search(url):
        raise UrlRefused("The address holds spaces, backslashes or invisible characters.")
    try:
        return httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError, UnicodeError):
        raise UrlRefused("This is no address that can be opened.") from None


def _check_host(host: str) -> None:
    if not host:
        raise UrlRefused("The address names no host.")
    if _is_address(host):
        return check_address(host)
    name = host.removesuffix(".")
    labels = name.split(".")
    # "2130706433", "0x7f.1" and "127.1" are addresses to a resolver: written so only to hide where they lead.
    if _NUMBER.fullmatch(labels[-1]):
        raise UrlRefused("The host is a number that is not written as a plain address.")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlRefused("The host is no valid name.")
    if len(labels) == 1 or any(name == local or name.endswith(f".{local}") for local in _LOCAL_NAMES):
        raise UrlRefused("The name belongs to a private network.")
    return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    if any(ip in block for block in _BLOCKED if block.version == ip.version):
        return False
    if isinstance(ip, IPv6Address):
        # Outside 2000::/3 lie mapped and translated IPv4 (::ffff:0:0/96, 64:ff9b::/96), loopback, link-local.
        return ip in _GLOBAL_V6 and ip.scope_id is None and ip.is_global
    return ip.is_global and not ip.is_multicast
