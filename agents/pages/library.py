"""Opening what a source's name says: a document of the local index without network, or a page of the web."""

import asyncio
import hashlib
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import unquote

from agents.corpus.index import Index, NoIndex
from agents.pages.faults import Kind, PageFault
from agents.pages.fetching import Fetcher
from agents.pages.kept_pages import InMemory, Kept, KeptPages, Opened, Store
from agents.pages.opening import Opener
from agents.pages.page import Page
from agents.pages.reading import Reader
from agents.pages.rendering import Renderer

__all__ = ["Library", "Opened"]


class Library:
    """`fetcher` None: nothing but the local index is opened. `renderer` None: no page is shown in a
    browser."""

    def __init__(
        self,
        index: Index,
        *,
        fetcher: Fetcher | None,
        reader: Reader,
        renderer: Renderer | None = None,
        store: Store | None = None,
    ) -> None:
        self._index = index
        self._opener = Opener(fetcher, reader, renderer) if fetcher is not None else None
        self._kept = KeptPages(store or InMemory())

    @property
    def version(self) -> str:
        return self._index.version

    async def open(self, source: str, *, tenant: str = "", turn: str = "", is_fresh: bool = False) -> Opened:
        """For a turn and its agents the same within an hour; for others of the tenant as long as the site
        lets it be kept, and for other tenants only what the site calls public. Without a turn or a tenant
        nobody's is shared. `is_fresh`: what others have read is asked for again. Raises PageFault."""
        source = source.strip()
        local = await asyncio.to_thread(self._local, source)
        if local is not None:
            return local
        if "://" not in source:
            why = f"No document is called {source!r}. Name a source as web_search shows it, or an address."
            raise PageFault(Kind.NOT_FOUND, why)
        if self._opener is None:
            raise PageFault(
                Kind.REFUSED, "The operator lets no pages of the web be opened: use web_search alone."
            )
        pinned = await asyncio.to_thread(self._kept.of_turn, source, turn=turn)
        if pinned is not None:
            return _free(pinned)
        known = await asyncio.to_thread(self._kept.of_tenant, source, tenant=tenant)
        if known is not None and not is_fresh and datetime.now(UTC) < known.freshness.fresh_until:
            await asyncio.to_thread(self._kept.pin, source, known, turn=turn)
            return _free(known)
        kept = await self._opener.open(source, known=known)
        now = datetime.now(UTC)
        await asyncio.to_thread(self._kept.keep, source, kept, tenant=tenant, turn=turn, now=now)
        return kept.opened

    def _local(self, source: str) -> Opened | None:
        try:
            found = self._index.document(source) or self._index.document(unquote(source))
        except (NoIndex, sqlite3.Error):
            return None
        if found is None:
            return None
        document, installed_at = found
        page = Page(title=document.title, sections=document.sections, dated=document.dated)
        digest = hashlib.sha256(document.text.encode()).hexdigest()
        return Opened(source=document.id, page=page, fetched_at=installed_at, sha256=digest, is_local=True)


def _free(kept: Kept) -> Opened:
    """What was fetched before is not fetched, nor counted, again."""
    return replace(kept.opened, num_bytes=0)
