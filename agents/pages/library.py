"""Opening what a source's name says: a document of the local index without network, or a page of the web."""

import asyncio
import hashlib
import sqlite3
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import unquote

from agents.corpus.index import Index, NoIndex
from agents.pages.faults import Kind, PageFault
from agents.pages.fetching import Fetcher
from agents.pages.page import Page, Unreadable
from agents.pages.reading import Reader

KEPT_S = 3_600.0  # a turn that opens a page again reads the same
MAX_KEPT = 32
MAX_KEPT_CHARS = 8_000_000


@dataclass(frozen=True, kw_only=True)
class Opened:
    """`sha256` is of the bytes as they came, of a document of the index of its text."""

    source: str
    page: Page
    fetched_at: datetime
    sha256: str
    num_bytes: int = 0
    is_local: bool = False


class Library:
    """`fetcher` None: nothing but the local index is opened."""

    def __init__(self, index: Index, *, fetcher: Fetcher | None, reader: Reader) -> None:
        self._index = index
        self._fetcher = fetcher
        self._reader = reader
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Opened]] = OrderedDict()

    @property
    def version(self) -> str:
        return self._index.version

    async def open(self, source: str) -> Opened:
        """Raises PageFault."""
        source = source.strip()
        local = await asyncio.to_thread(self._local, source)
        if local is not None:
            return local
        if "://" not in source:
            why = f"No document is called {source!r}. Name a source as web_search shows it, or an address."
            raise PageFault(Kind.NOT_FOUND, why)
        if (kept := self._kept_of(source)) is not None:
            return kept
        opened = await self._fetched(source)
        self._keep(source, opened)
        return opened

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

    async def _fetched(self, url: str) -> Opened:
        if self._fetcher is None:
            raise PageFault(
                Kind.REFUSED, "The operator lets no pages of the web be opened: use web_search alone."
            )
        fetched = await self._fetcher.fetch(url)
        try:
            page = await self._reader.read(fetched.body, content_type=fetched.content_type, url=fetched.url)
        except Unreadable as fault:
            raise PageFault(Kind.UNREADABLE, str(fault)) from fault
        digest = hashlib.sha256(fetched.body).hexdigest()
        return Opened(
            source=fetched.url,
            page=page,
            fetched_at=fetched.fetched_at,
            sha256=digest,
            num_bytes=len(fetched.body),
        )

    def _kept_of(self, source: str) -> Opened | None:
        with self._lock:
            made_at, opened = self._kept.get(source, (0.0, None))
            is_fresh = opened is not None and time.monotonic() - made_at < KEPT_S
            # What was fetched before is not fetched, nor counted, again.
            return replace(opened, num_bytes=0) if opened is not None and is_fresh else None

    def _keep(self, source: str, opened: Opened) -> None:
        with self._lock:
            self._kept[source] = (time.monotonic(), opened)
            self._kept.move_to_end(source)
            while len(self._kept) > MAX_KEPT or self._num_chars() > MAX_KEPT_CHARS:
                self._kept.popitem(last=False)

    def _num_chars(self) -> int:
        return sum(opened.page.num_chars for _, opened in self._kept.values())
