"""The tools that search, read pages and look up facts, as the operator has set them up."""

from functools import cache
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from agents.corpus.index import Index, NoIndex
from agents.pages.domains import Domains
from agents.pages.fetching import Fetcher
from agents.pages.library import Library
from agents.pages.reading import Reader
from agents.search.engines import ENGINES, WebSearch
from agents.search.local import LocalSearch
from agents.search.provider import SearchProvider, Together
from agents.tool import Tool
from agents.tools.facts_query import FactsQuery
from agents.tools.find_in_page import FindInPage
from agents.tools.open_page import OpenPage
from agents.tools.web_search import WebSearch as WebSearchTool
from inference.schema import ToolSpec

LOCAL = "local"


def specs() -> tuple[ToolSpec, ...]:
    return tuple(tool.spec for tool in tools())


def tools() -> list[Tool]:
    """Search where there is something to search, pages where they may be opened, facts where a corpus has
    any. Blocking: it looks into the index."""
    index = _index()
    try:
        installed = index.corpora()
    except NoIndex:
        installed = []
    found: list[Tool] = []
    if providers := _providers(index, has_documents=bool(installed)):
        found.append(WebSearchTool(Together(providers)))
    if installed or settings.OPEN_PAGES:
        found += [OpenPage(_library()), FindInPage(_library())]
    if any(corpus.num_facts for corpus in installed):
        found.append(FactsQuery(index, site=settings.CORPUS_SITE))
    return found


def _providers(index: Index, *, has_documents: bool) -> list[SearchProvider]:
    """In the operator's order; those without a key, and an empty index, are left out."""
    found: list[SearchProvider] = []
    for name in settings.SEARCH_PROVIDERS:
        if name == LOCAL:
            found += [LocalSearch(index, site=settings.CORPUS_SITE)] if has_documents else []
        elif name == "searxng":
            own = settings.SEARXNG_URL
            found += [WebSearch(ENGINES[name], base_url=own, is_private=True)] if own else []
        elif name in ENGINES:
            key = getattr(settings, f"{name.upper()}_API_KEY")
            found += [WebSearch(ENGINES[name], key=key)] if key else []
        else:
            known = ", ".join((LOCAL, *ENGINES))
            raise ImproperlyConfigured(f"SEARCH_PROVIDERS: {name!r} is none of {known}.")
    return found


@cache
def _library() -> Library:
    """Of this process, so that turns are polite to a site together."""
    site = settings.CORPUS_SITE
    fetcher = Fetcher(
        domains=Domains.of(allowed=settings.PAGES_ALLOWED, denied=settings.PAGES_DENIED),
        own_sites=(site,) if site else (),
    )
    return Library(_index(), fetcher=fetcher if settings.OPEN_PAGES else None, reader=Reader())


def _index() -> Index:
    return Index(Path(settings.CORPUS_INDEX))
