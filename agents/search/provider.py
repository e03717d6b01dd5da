"""The port that a search engine implements, and several of them taken as one."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Protocol

logger = logging.getLogger(__name__)


class SearchFailed(Exception):
    """The engine gave no answer; the text says why, without its key."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """`site` is a host, or how the sources that are wanted begin."""

    text: str
    site: str = ""
    limit: int = 6


@dataclass(frozen=True, kw_only=True)
class Found:
    """A piece of a source as the engine shows it. `dated` is the source's own date, as it came."""

    source: str
    title: str
    text: str
    fetched_at: datetime
    dated: str = ""


class SearchProvider(Protocol):
    """`price_nano` is what a search costs the operator, in nano-units of the accounts' currency."""

    @property
    def name(self) -> str: ...

    @property
    def price_nano(self) -> int: ...

    @property
    def version(self) -> str:
        """Another one once the same query may find something else: cached results are then void."""
        ...

    async def search(self, query: Query) -> Sequence[Found]:
        """The best first; nothing where nothing was found. Raises SearchFailed."""
        ...


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What several engines have found, and what those that answered cost."""

    found: Sequence[Found]
    cost_nano: int = 0


class Together:
    """Several engines, asked at once. Their results are shuffled like cards, each source once, so that a weak
    engine does not push a strong one out of the first places."""

    def __init__(self, providers: Sequence[SearchProvider]) -> None:
        self._providers = tuple(providers)

    @property
    def name(self) -> str:
        return ", ".join(provider.name for provider in self._providers)

    @property
    def version(self) -> str:
        return " ".join(f"{provider.name}:{provider.version}" for provider in self._providers)

    @property
    def price_nano(self) -> int:
        """The most that a search costs."""
        return sum(provider.price_nano for provider in self._providers)

    async def search(self, query: Query) -> Answer:
        """Raises SearchFailed only when every engine failed."""
        answers = await asyncio.gather(*(_asked(provider, query) for provider in self._providers))
        asked = list(zip(self._providers, answers, strict=True))
        worked = [(provider, answer) for provider, answer in asked if not isinstance(answer, SearchFailed)]
        if not worked:
            raise SearchFailed(" ".join(str(answer) for answer in answers) or "No search engine is set up.")
        return Answer(
            found=list(_each_once([answer for _, answer in worked]))[: query.limit],
            cost_nano=sum(provider.price_nano for provider, _ in worked),
        )


async def _asked(provider: SearchProvider, query: Query) -> Sequence[Found] | SearchFailed:
    try:
        return await provider.search(query)
    except SearchFailed as fault:
        logger.warning("search provider %s failed", provider.name)
        return fault


def _each_once(answers: Sequence[Sequence[Found]]) -> Sequence[Found]:
    shuffled = [found for row in zip_longest(*answers) for found in row if found is not None]
    return list({(found.source.rstrip("/"), found.text): found for found in shuffled}.values())
