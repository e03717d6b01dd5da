"""A page over HTTP: through the URL guard at every hop, within limits, as robots.txt allows. Bytes only; what
they say is agents.pages.reading's."""

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx2

from agents import url_guard
from agents.pages import extraction, politeness
from agents.pages.domains import Domains
from agents.pages.faults import Kind, PageFault
from agents.pages.politeness import Politeness
from agents.url_guard import UrlRefused

CONNECT_S = 10.0
TOTAL_S = 30.0
MAX_REDIRECTS = 5
MAX_BYTES = 10 * 1024 * 1024

_CAPTCHA = re.compile(
    rb"g-recaptcha|h-captcha|cf-turnstile|cf-challenge|challenge-platform|"
    rb"verify (?:that )?you are (?:a )?human|"
    rb"are you a robot|unusual traffic from your",
    re.IGNORECASE,
)
_SMALL_PAGE = 60_000  # bytes; a long page that speaks of captchas is no captcha
_BLOCKED = {
    401: "wants people to sign in",
    402: "wants to be paid",
    403: "does not let programs read this page",
    407: "wants people to sign in",
    429: "wants fewer requests",
    451: "does not show this page for legal reasons",
}
_ELSEWHERE = "Look for the same in another source."


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """`url` is where the page was in the end."""

    url: str
    content_type: str
    body: bytes
    fetched_at: datetime


@dataclass(frozen=True, kw_only=True)
class Bounds:
    connect_s: float = CONNECT_S
    total_s: float = TOTAL_S
    max_redirects: int = MAX_REDIRECTS
    max_bytes: int = MAX_BYTES


class Fetcher:
    """`own_sites` are web sites of the operator, such as that of the local index: they may be on a private
    network."""

    def __init__(
        self,
        *,
        domains: Domains | None = None,
        own_sites: tuple[str, ...] = (),
        bounds: Bounds | None = None,
        manners: Politeness | None = None,
        resolve: url_guard.Resolve | None = None,
    ) -> None:
        self._domains = domains or Domains()
        self._own = frozenset(url_guard.origin_of(site) for site in own_sites)
        self._bounds = bounds = bounds or Bounds()
        self._manners = manners or Politeness()
        self._rules = url_guard.Rules(private_hosts=self._own, max_response_bytes=bounds.max_bytes)
        self._resolve = resolve

    async def fetch(self, url: str) -> Fetched:
        """Raises PageFault."""
        try:
            async with asyncio.timeout(self._bounds.total_s), self._client() as client:
                return await self._followed(client, url)
        except TimeoutError:
            why = f"The page did not arrive within {self._bounds.total_s:.0f} seconds. {_ELSEWHERE}"
            raise PageFault(Kind.TIMEOUT, why) from None

    def _client(self) -> httpx2.AsyncClient:
        accepted = ", ".join(sorted(extraction.READABLE))
        return url_guard.client(
            self._rules,
            resolve=self._resolve,
            headers={"user-agent": politeness.USER_AGENT, "accept": f"{accepted}, */*;q=0.1"},
            timeout=httpx2.Timeout(self._bounds.total_s, connect=self._bounds.connect_s),
            follow_redirects=False,
        )

    async def _followed(self, client: httpx2.AsyncClient, url: str) -> Fetched:
        for _ in range(self._bounds.max_redirects + 1):
            checked = self._checked(url)
            await self._ask_robots(client, checked)
            found = await self._hop(client, checked)
            if isinstance(found, Fetched):
                return found
            url = found
        why = f"The page leads on more than {self._bounds.max_redirects} times. {_ELSEWHERE}"
        raise PageFault(Kind.REDIRECTS, why)

    def _checked(self, url: str) -> httpx2.URL:
        try:
            checked = url_guard.check(url, rules=self._rules)
        except UrlRefused as fault:
            raise PageFault(Kind.REFUSED, str(fault)) from fault
        if self._origin(checked) not in self._own and not self._domains.permits(url_guard.host_of(checked)):
            raise PageFault(
                Kind.REFUSED, f"The operator does not let pages of this domain be opened. {_ELSEWHERE}"
            )
        return checked

    async def _ask_robots(self, client: httpx2.AsyncClient, url: httpx2.URL) -> None:
        origin = self._origin(url)
        rules = self._manners.rules(origin)
        if rules is None:
            rules = await self._robots(client, url.copy_with(raw_path=b"/robots.txt"))
            self._manners.learn(origin, rules)
        if not rules.permit(str(url)):
            raise PageFault(
                Kind.BLOCKED, f"The site's robots.txt asks programs not to read this page. {_ELSEWHERE}"
            )

    async def _robots(self, client: httpx2.AsyncClient, url: httpx2.URL) -> politeness.Rules:
        """As RFC 9309 has it: none where there is none, all forbidden where the server is broken."""
        try:
            async with client.stream("GET", url) as response:
                if response.status_code >= 500:
                    return politeness.Rules(None)
                if response.status_code != 200:
                    return politeness.Rules("")
                body = b""
                async for piece in response.aiter_raw():
                    body += piece
                    if len(body) > politeness.MAX_ROBOTS_BYTES:
                        break
                return politeness.Rules(body.decode("utf-8", errors="replace"))
        except UrlRefused as fault:
            raise PageFault(Kind.REFUSED, str(fault)) from fault
        except httpx2.HTTPError as fault:
            raise _unreachable(fault) from fault

    async def _hop(self, client: httpx2.AsyncClient, url: httpx2.URL) -> Fetched | str:
        """The page, or where it leads on."""
        origin = self._origin(url)
        rules = self._manners.rules(origin)
        delay_s = 0.0 if origin in self._own or rules is None else rules.delay_s
        try:
            async with (
                self._manners.turn(origin, delay_s=delay_s),
                client.stream("GET", url) as response,
            ):
                if response.is_redirect and "location" in response.headers:
                    return str(url.join(response.headers["location"]))
                return await self._taken(response, str(url))
        except UrlRefused as fault:
            raise _refused(fault) from fault
        except httpx2.InvalidURL as fault:
            raise PageFault(Kind.FAILED, "The page leads on to something that is no address.") from fault
        except httpx2.HTTPError as fault:
            raise _unreachable(fault) from fault

    async def _taken(self, response: httpx2.Response, url: str) -> Fetched:
        content_type = response.headers.get("content-type", "text/html")
        _check_status(response)
        _check_type(content_type)
        body = await self._body(response)
        if _is_captcha(response, body):
            raise PageFault(
                Kind.BLOCKED, f"The site wants proof that a person reads it (a captcha). {_ELSEWHERE}"
            )
        return Fetched(url=url, content_type=content_type, body=body, fetched_at=datetime.now(UTC))

    async def _body(self, response: httpx2.Response) -> bytes:
        most = self._bounds.max_bytes
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > most:
            raise _too_large(most)
        pieces, num_bytes = [], 0
        async for piece in response.aiter_raw():
            num_bytes += len(piece)
            if num_bytes > most:
                raise _too_large(most)
            pieces.append(piece)
        return b"".join(pieces)

    def _origin(self, url: httpx2.URL) -> str:
        return url_guard.origin_of(str(url))


def _check_status(response: httpx2.Response) -> None:
    status = response.status_code
    if status in _BLOCKED or response.headers.get("cf-mitigated") == "challenge":
        why = _BLOCKED.get(status, "wants proof that a person reads it")
        later = response.headers.get("retry-after", "")
        wait = f" It may be asked again in {later} seconds." if later.isdecimal() else ""
        raise PageFault(Kind.BLOCKED, f"The site {why} (status {status}).{wait} {_ELSEWHERE}")
    if status in (404, 410):
        raise PageFault(Kind.NOT_FOUND, f"There is no such page (status {status}). Search for it.")
    if status >= 400 or status < 200:
        raise PageFault(Kind.FAILED, f"The site answered with status {status}. Try later, or another source.")


def _check_type(content_type: str) -> None:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in extraction.READABLE and not media_type.startswith("text/"):
        raise PageFault(Kind.UNREADABLE, f"A file of the type {media_type[:80]} cannot be read. {_ELSEWHERE}")


def _is_captcha(response: httpx2.Response, body: bytes) -> bool:
    is_html = "html" in response.headers.get("content-type", "html")
    return (
        is_html and len(body) < _SMALL_PAGE and _CAPTCHA.search(body) is not None and b"<article" not in body
    )


def _refused(fault: UrlRefused) -> PageFault:
    return PageFault(Kind.TOO_LARGE if "longer than" in str(fault) else Kind.REFUSED, str(fault))


def _too_large(most: int) -> PageFault:
    return PageFault(Kind.TOO_LARGE, f"The page is longer than {most // 2**20} MB. {_ELSEWHERE}")


def _unreachable(fault: httpx2.HTTPError) -> PageFault:
    if isinstance(fault, httpx2.TimeoutException):
        return PageFault(Kind.TIMEOUT, f"The site did not answer in time. {_ELSEWHERE}")
    return PageFault(Kind.UNREACHABLE, f"The site cannot be reached ({type(fault).__name__}). {_ELSEWHERE}")
