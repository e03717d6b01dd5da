"""The index of this machine as a search engine."""

import asyncio
import sqlite3
from collections.abc import Sequence

from agents.corpus import web_site
from agents.corpus.index import Hit, Index, NoIndex
from agents.search.provider import Found, Query, SearchFailed


class LocalSearch:
    """`site`, where it is given, is the web site that serves the index: sources are addresses of it, else
    the documents' ids."""

    name = "local index"
    price_nano = 0

    def __init__(self, index: Index, *, site: str = "") -> None:
        self._index = index
        self._site = site.rstrip("/")

    @property
    def version(self) -> str:
        return f"{self._index.version} {self._site}"

    async def search(self, query: Query) -> Sequence[Found]:
        try:
            hits = await asyncio.to_thread(
                self._index.search, query.text, within=self._within(query.site), limit=query.limit
            )
        except (NoIndex, sqlite3.Error) as fault:
            raise SearchFailed(str(fault)) from fault
        return [self._found(hit) for hit in hits]

    def _within(self, site: str) -> str:
        """A place on the web site is meant as the documents that lie there."""
        host = self._site.partition("://")[2]
        place = site.removeprefix(self._site) if self._site else site
        return (place.removeprefix(host) if host else place).strip("/")

    def _found(self, hit: Hit) -> Found:
        return Found(
            source=web_site.address(self._site, hit.document) if self._site else hit.document,
            title=hit.title,
            text=f"{hit.heading}\n{hit.text}" if hit.heading else hit.text,
            fetched_at=hit.installed_at,
            dated=hit.dated,
        )
