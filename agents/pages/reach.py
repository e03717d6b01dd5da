"""Where pages may be fetched from: public addresses, of domains that the operator lets be opened; and the
operator's own sites, wherever they are. One answer for the fetcher and for the browser's proxy."""

from collections.abc import Iterable, Mapping

import httpx2

from agents import url_guard
from agents.pages.domains import Domains
from agents.url_guard import UrlRefused


class Reach:
    """`own_sites` are web sites of the operator, such as that of the local index: they may be on a private
    network."""

    def __init__(
        self,
        *,
        domains: Domains | None = None,
        own_sites: Iterable[str] = (),
        max_bytes: int = url_guard.MAX_RESPONSE_BYTES,
        resolve: url_guard.Resolve | None = None,
    ) -> None:
        self.domains = domains or Domains()
        self.own_sites = tuple(own_sites)
        self._own = frozenset(url_guard.origin_of(site) for site in self.own_sites)
        self._rules = url_guard.Rules(private_hosts=self._own, max_response_bytes=max_bytes)
        self._resolve = resolve

    def checked(self, url: str | httpx2.URL) -> httpx2.URL:
        """Raises UrlRefused. Resolves nothing."""
        checked = url_guard.check(url, rules=self._rules)
        if not self.is_own(checked) and not self.domains.permits(url_guard.host_of(checked)):
            raise UrlRefused("The operator does not let pages of this domain be opened.")
        return checked

    def is_own(self, url: httpx2.URL) -> bool:
        return url_guard.origin_of(str(url)) in self._own

    async def addresses(self, url: httpx2.URL) -> list[str]:
        """Of a URL that `checked` has returned. Raises UrlRefused, TimeoutError or OSError."""
        port = url.port or url_guard.DEFAULT_PORTS[url.scheme]
        return await url_guard.addresses(
            url_guard.host_of(url), port, rules=self._rules, resolve=self._resolve
        )

    def client(self, *, headers: Mapping[str, str], timeout: httpx2.Timeout) -> httpx2.AsyncClient:
        """It follows no redirects: each hop is checked by who asks."""
        return url_guard.client(
            self._rules, resolve=self._resolve, headers=headers, timeout=timeout, follow_redirects=False
        )
