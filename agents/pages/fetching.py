"""A page over HTTP: through the URL guard at every hop, within limits, as robots.txt allows. Bytes only; what
they say is agents.pages.reading's."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx2

from agents import url_guard
from agents.pages import extraction, freshness, politeness, refusals
from agents.pages.browser.wire import Shown
from agents.pages.domains import Domains
from agents.pages.faults import ELSEWHERE, Kind, PageFault
from agents.pages.freshness import Freshness
from agents.pages.politeness import Politeness
from agents.pages.reach import Reach
from agents.pages.rendering import Renderer
from agents.url_guard import UrlRefused

CONNECT_S = 10.0
TOTAL_S = 30.0
MAX_REDIRECTS = 5
MAX_BYTES = 10 * 1024 * 1024
SHORT_PAUSE_S = 3.0  # that a page is waited for


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """`url` is where the page was in the end."""

    url: str
    content_type: str
    body: bytes
    fetched_at: datetime
    freshness: Freshness


@dataclass(frozen=True, kw_only=True)
class Unchanged:
    """The page that is known already is still what the site shows."""

    freshness: Freshness


@dataclass(frozen=True, kw_only=True)
class Known:
    """What was read at `url` before: if it has not changed it need not be sent again."""

    url: str
    freshness: Freshness


@dataclass(frozen=True, kw_only=True)
class Bounds:
    connect_s: float = CONNECT_S
    total_s: float = TOTAL_S
    max_redirects: int = MAX_REDIRECTS
    max_bytes: int = MAX_BYTES


@dataclass(kw_only=True)
class _Errand:
    """One page on its way."""

    client: httpx2.AsyncClient
    known: Known | None
    is_waited_for: bool = False

    def conditions(self, url: httpx2.URL) -> Mapping[str, str]:
        is_it = self.known is not None and self.known.url == str(url)
        return self.known.freshness.conditions if self.known is not None and is_it else {}


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
        self._bounds = bounds = bounds or Bounds()
        self._manners = manners or Politeness()
        self.reach = Reach(domains=domains, own_sites=own_sites, max_bytes=bounds.max_bytes, resolve=resolve)

    async def fetch(self, url: str) -> Fetched:
        """Raises PageFault."""
        fetched = await self.fetch_if_changed(url, known=None)
        assert isinstance(fetched, Fetched)
        return fetched

    async def fetch_if_changed(self, url: str, *, known: Known | None) -> Fetched | Unchanged:
        """Unchanged only where something is known. Raises PageFault."""
        try:
            async with asyncio.timeout(self._bounds.total_s), self._client() as client:
                return await self._followed(_Errand(client=client, known=known), url)
        except TimeoutError:
            why = f"The page did not arrive within {self._bounds.total_s:.0f} seconds. {ELSEWHERE}"
            raise PageFault(Kind.TIMEOUT, why) from None

    async def show(self, url: str, renderer: Renderer) -> Shown:
        """The page as a browser shows it, or where its scripts lead on: as polite as fetching it. Raises
        PageFault."""
        try:
            async with asyncio.timeout(self._bounds.total_s), self._client() as client:
                checked = self._checked(url)
                await self._ask_robots(client, checked)
        except TimeoutError:
            why = f"The site did not answer within {self._bounds.total_s:.0f} seconds. {ELSEWHERE}"
            raise PageFault(Kind.TIMEOUT, why) from None
        async with self._turn(checked):
            shown = await renderer.show(url)
        if shown.fault == "status":
            raise refusals.of_status(shown.status, {})
        if refusals.is_captcha(shown.html.encode()):
            raise refusals.captcha()
        return shown

    def _client(self) -> httpx2.AsyncClient:
        accepted = ", ".join(sorted(extraction.READABLE))
        return self.reach.client(
            headers={"user-agent": politeness.USER_AGENT, "accept": f"{accepted}, */*;q=0.1"},
            timeout=httpx2.Timeout(self._bounds.total_s, connect=self._bounds.connect_s),
        )

    async def _followed(self, errand: _Errand, url: str) -> Fetched | Unchanged:
        for _ in range(self._bounds.max_redirects + 1):
            checked = self._checked(url)
            await self._ask_robots(errand.client, checked)
            found = await self._hop(errand, checked)
            if not isinstance(found, str):
                return found
            url = found
        why = f"The page leads on more than {self._bounds.max_redirects} times. {ELSEWHERE}"
        raise PageFault(Kind.REDIRECTS, why)

    def _checked(self, url: str) -> httpx2.URL:
        try:
            checked = self.reach.checked(url)
        except UrlRefused as fault:
            raise PageFault(Kind.REFUSED, f"{fault} {ELSEWHERE}") from fault
        left_s = self._manners.paused_s(self._origin(checked))
        if left_s > SHORT_PAUSE_S:
            raise refusals.asked_to_wait(left_s)
        return checked

    async def _ask_robots(self, client: httpx2.AsyncClient, url: httpx2.URL) -> None:
        origin = self._origin(url)
        rules = self._manners.rules(origin)
        if rules is None:
            rules = await self._robots(client, url.copy_with(raw_path=b"/robots.txt"))
            self._manners.learn(origin, rules)
        if not rules.permit(str(url)):
            raise PageFault(
                Kind.BLOCKED, f"The site's robots.txt asks programs not to read this page. {ELSEWHERE}"
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

    async def _hop(self, errand: _Errand, url: httpx2.URL) -> Fetched | Unchanged | str:
        """The page, or where it leads on."""
        try:
            async with (
                self._turn(url),
                errand.client.stream("GET", url, headers=errand.conditions(url)) as response,
            ):
                if response.is_redirect and "location" in response.headers:
                    return str(url.join(response.headers["location"]))
                if response.status_code == 304 and errand.known is not None:
                    now = datetime.now(UTC)
                    return Unchanged(
                        freshness=freshness.renewed(errand.known.freshness, response.headers, now=now)
                    )
                if (pause_s := self._pause(response, url)) and not errand.is_waited_for:
                    errand.is_waited_for = True
                    wait_s = pause_s
                else:
                    return await self._taken(response, str(url))
        except UrlRefused as fault:
            raise _refused(fault) from fault
        except httpx2.InvalidURL as fault:
            raise PageFault(Kind.FAILED, "The page leads on to something that is no address.") from fault
        except httpx2.HTTPError as fault:
            raise _unreachable(fault) from fault
        await asyncio.sleep(wait_s)
        return str(url)

    def _turn(self, url: httpx2.URL) -> AbstractAsyncContextManager[None]:
        origin = self._origin(url)
        rules = self._manners.rules(origin)
        delay_s = 0.0 if self.reach.is_own(url) or rules is None else rules.delay_s
        return self._manners.turn(origin, delay_s=delay_s)

    def _pause(self, response: httpx2.Response, url: httpx2.URL) -> float:
        """How long to wait before the same is asked again; 0 when that is too long to be waited for, and the
        site is left alone meanwhile."""
        pause_s = refusals.pause_of(response.status_code, response.headers)
        if pause_s:
            self._manners.pause(self._origin(url), for_s=pause_s)
        return pause_s if pause_s <= SHORT_PAUSE_S else 0.0

    async def _taken(self, response: httpx2.Response, url: str) -> Fetched:
        if not refusals.is_page(response.status_code, response.headers):
            raise refusals.of_status(response.status_code, response.headers)
        content_type = response.headers.get("content-type", "text/html")
        if fault := refusals.of_type(content_type):
            raise fault
        body = await self._body(response)
        if "html" in content_type and refusals.is_captcha(body):
            raise refusals.captcha()
        now = datetime.now(UTC)
        return Fetched(
            url=url,
            content_type=content_type,
            body=body,
            fetched_at=now,
            freshness=freshness.of(response.headers, now=now),
        )

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


def _refused(fault: UrlRefused) -> PageFault:
    return PageFault(Kind.TOO_LARGE if "longer than" in str(fault) else Kind.REFUSED, str(fault))


def _too_large(most: int) -> PageFault:
    return PageFault(Kind.TOO_LARGE, f"The page is longer than {most // 2**20} MB. {ELSEWHERE}")


def _unreachable(fault: httpx2.HTTPError) -> PageFault:
    if isinstance(fault, httpx2.TimeoutException):
        return PageFault(Kind.TIMEOUT, f"The site did not answer in time. {ELSEWHERE}")
    return PageFault(Kind.UNREACHABLE, f"The site cannot be reached ({type(fault).__name__}). {ELSEWHERE}")
