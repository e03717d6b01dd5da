"""A page of the web, from its address to its text: fetched, read, and shown in a browser where its text comes
by scripts."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

from agents.pages.faults import ELSEWHERE, Kind, PageFault
from agents.pages.fetching import Fetched, Fetcher, Known, Unchanged
from agents.pages.freshness import Freshness
from agents.pages.kept_pages import Kept, Opened
from agents.pages.page import Page, Paywalled, Unreadable
from agents.pages.reading import Reader
from agents.pages.rendering import Renderer

MAX_LEADS = 3  # by scripts, on top of what the fetcher follows
HTML = "text/html; charset=utf-8"
_NEEDS_BROWSER = "The page needs a browser that runs scripts: some of its text may be missing."


class Opener:
    """`renderer` None: no page is shown in a browser."""

    def __init__(self, fetcher: Fetcher, reader: Reader, renderer: Renderer | None = None) -> None:
        self._fetcher = fetcher
        self._reader = reader
        self._renderer = renderer

    async def open(self, url: str, *, known: Kept | None = None) -> Kept:
        """`known` is what was read there before: it is read again only if it has changed. Raises
        PageFault."""
        for _ in range(MAX_LEADS):
            asked = Known(url=known.opened.source, freshness=known.freshness) if known is not None else None
            fetched = await self._fetcher.fetch_if_changed(url, known=asked)
            if isinstance(fetched, Unchanged):
                assert known is not None
                return Kept(opened=replace(known.opened, num_bytes=0), freshness=fetched.freshness)
            found = await self._read(fetched)
            if isinstance(found, Kept):
                return found
            url = found
        raise PageFault(Kind.REDIRECTS, "The page's scripts lead on and on. Look for the same elsewhere.")

    async def _read(self, fetched: Fetched) -> Kept | str:
        """The page, or where its scripts lead on."""
        page, unreadable = None, None
        try:
            page = await self._reader.read(fetched.body, content_type=fetched.content_type, url=fetched.url)
        except Paywalled as fault:
            raise PageFault(Kind.BLOCKED, f"{fault} {ELSEWHERE}") from fault
        except Unreadable as fault:
            unreadable = fault
        if (page or unreadable).needs_scripts:  # type: ignore[union-attr]
            return await self._shown(fetched, page, unreadable)
        if page is None:
            raise PageFault(Kind.UNREADABLE, str(unreadable)) from unreadable
        return _kept(fetched, page, body=fetched.body)

    async def _shown(self, fetched: Fetched, page: Page | None, unreadable: Unreadable | None) -> Kept | str:
        """What little there is without a browser is better than nothing."""
        if self._renderer is None:
            if page is None:
                raise PageFault(Kind.UNREADABLE, str(unreadable)) from unreadable
            return _kept(fetched, _noted(page, _NEEDS_BROWSER), body=fetched.body)
        try:
            shown = await self._fetcher.show(fetched.url, self._renderer)
        except PageFault as fault:
            if page is None or fault.kind is Kind.BLOCKED:
                raise
            return _kept(fetched, _noted(page, f"{_NEEDS_BROWSER} {fault}"), body=fetched.body)
        if shown.leads_on:
            return shown.leads_on
        body = shown.html.encode()
        try:
            seen = await self._reader.read(body, content_type=HTML, url=shown.url)
        except Unreadable as fault:
            if page is None:
                raise PageFault(Kind.UNREADABLE, "The page shows no text, even in a browser.") from fault
            return _kept(fetched, page, body=fetched.body)
        # Its scripts may bring something else each time, whatever is said of the page around them.
        now = datetime.now(UTC)
        rendered = replace(fetched, freshness=Freshness(fresh_until=now, may_keep=False), fetched_at=now)
        kept = _kept(rendered, _noted(seen, shown.note), body=body)
        num_bytes = len(fetched.body) + shown.num_bytes
        return replace(kept, opened=replace(kept.opened, is_rendered=True, num_bytes=num_bytes))


def _kept(fetched: Fetched, page: Page, *, body: bytes) -> Kept:
    opened = Opened(
        source=fetched.url,
        page=page,
        fetched_at=fetched.fetched_at,
        sha256=hashlib.sha256(body).hexdigest(),
        num_bytes=len(body),
    )
    return Kept(opened=opened, freshness=fetched.freshness)


def _noted(page: Page, note: str) -> Page:
    return replace(page, note=" ".join(filter(None, (page.note, note))))
