"""Pages as set up here: how they are opened, and who reads them."""

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
from django.conf import settings

from agents.corpus.index import Index
from agents.pages.browser import fence
from agents.pages.domains import Domains
from agents.pages.fetching import Fetcher
from agents.pages.kept_pages import InRedis
from agents.pages.library import Library
from agents.pages.reading import Reader
from agents.pages.rendering import Renderer
from agents.steps.asking import Ask
from agents.tool import Tool
from agents.tools import vendor_search
from agents.tools.ask_page import AskPage
from agents.tools.find_in_page import FindInPage
from agents.tools.open_page import OpenPage
from agents.tools.sealed_search import SealedSearch
from chat.frames import ToolTerms
from chat.models import Turn

logger = logging.getLogger(__name__)

SEARCH = "web_search"


@cache
def library() -> Library:
    """Of this process, so that turns are polite to a site together."""
    site = settings.CORPUS_SITE
    index = Index(Path(settings.CORPUS_INDEX))
    if not settings.OPEN_PAGES:
        return Library(index, fetcher=None, reader=Reader())
    fetcher = Fetcher(
        domains=Domains.of(allowed=settings.PAGES_ALLOWED, denied=settings.PAGES_DENIED),
        own_sites=(site,) if site else (),
    )
    return Library(
        index,
        fetcher=fetcher,
        reader=Reader(),
        renderer=_renderer(fetcher),
        store=InRedis(settings.REDIS_URL),
    )


def tools() -> list[Tool]:
    return [OpenPage(library()), FindInPage(library())]


def no_browser() -> str:
    """Why pages that need scripts are not shown in a browser here; empty when they are."""
    if not settings.RENDER_PAGES:
        return "RENDER_PAGES is off."
    return fence.missing(settings.CHROMIUM)


def is_quarantined(turn: Turn) -> bool:
    """Whether strangers' text stays out of the turn's view: the operator's word, or the turn's terms."""
    return settings.PAGES_QUARANTINED or msgspec.convert(turn.tool_terms, ToolTerms).is_quarantined


def own_tools(turn: Turn, *, ask: Callable[[], Ask | None]) -> list[Tool]:
    """Of a turn in quarantine: one that answers questions about pages, in place of those that show them."""
    return [AskPage(library(), ask=ask)] if is_quarantined(turn) else []


def allowed(turn: Turn, tools: list[Tool]) -> list[Tool]:
    """In quarantine without those that show pages, and with a search that names sources without quoting
    them."""
    if not is_quarantined(turn):
        return tools
    # What the vendor's search finds stands before the model without passing here.
    kept_out = (OpenPage.spec.name, FindInPage.spec.name, vendor_search.NAME)
    shown = [tool for tool in tools if tool.spec.name not in kept_out]
    return [SealedSearch(tool) if tool.spec.name == SEARCH else tool for tool in shown]


def _renderer(fetcher: Fetcher) -> Renderer | None:
    why = no_browser()
    chromium = fence.chromium(settings.CHROMIUM)
    if why or chromium is None:
        logger.info("pages that need scripts are not shown in a browser: %s", why)
        return None
    return Renderer(chromium, reach=fetcher.reach)
