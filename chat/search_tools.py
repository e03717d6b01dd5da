"""The tools that search, read pages and look up facts, as the operator has set them up."""

import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from agents.corpus.index import Corpus, Index, NoIndex
from agents.search import minilm_files
from agents.search.engines import ENGINES, WebSearch
from agents.search.local import LocalSearch
from agents.search.provider import SearchProvider, Together
from agents.tool import Tool
from agents.tools.facts_query import FactsQuery
from agents.tools.vendor_search import VendorSearch
from agents.tools.web_search import WebSearch as WebSearchTool
from chat import page_tools
from inference.schema import ToolSpec
from webapp.billing import pricing
from webapp.catalog.backends import provider_key
from webapp.catalog.models import SearchEngine, ServedModel

if TYPE_CHECKING:
    from agents.search.reranking import Reranker

logger = logging.getLogger(__name__)

LOCAL = "local"
VENDOR_HOSTS = ("api.moonshot.ai", "api.moonshot.cn")


def specs(model: ServedModel) -> tuple[ToolSpec, ...]:
    return tuple(tool.spec for tool in tools(model))


def tools(model: ServedModel | None = None) -> list[Tool]:
    """Search where there is something to search, pages where they may be opened, facts where a corpus has
    any; for a model, what its own vendor offers besides. Blocking: it looks into the index and the database,
    so that a change in the administration counts from the next turn on."""
    index = local_index()
    installed = _installed(index)
    rows = list(SearchEngine.objects.all())
    found: list[Tool] = []
    if providers := _providers(index, rows, has_documents=bool(installed)):
        found.append(WebSearchTool(Together(providers)))
    if installed or settings.OPEN_PAGES:
        found += page_tools.tools()
    if any(corpus.num_facts for corpus in installed):
        found.append(FactsQuery(index, site=settings.CORPUS_SITE))
    found += [VendorSearch(price_nano=_price_nano(row)) for row in rows if _is_of_vendor(row, model)]
    return found


def providers() -> list[SearchProvider]:
    """The search engines that turns ask, in their order. Blocking."""
    index = local_index()
    return _providers(index, list(SearchEngine.objects.all()), has_documents=bool(_installed(index)))


def _installed(index: Index) -> list[Corpus]:
    try:
        return index.corpora()
    except NoIndex:
        return []


def provider_of(row: SearchEngine) -> SearchProvider | None:
    """What the row stands for; None where it lacks its key or address, or where only a model can call it."""
    key, price = provider_key(row.api_key_env), _price_nano(row)
    if row.kind == SearchEngine.Kind.LOCAL:
        return _local(local_index())
    if row.kind == SearchEngine.Kind.VENDOR:
        return None
    engine = ENGINES[row.kind]
    if row.kind == SearchEngine.Kind.SEARXNG:
        return _own_server(row.base_url, price_nano=price) if row.base_url else None
    return WebSearch(engine, key=key, base_url=row.base_url, price_nano=price) if key else None


def _providers(index: Index, rows: list[SearchEngine], *, has_documents: bool) -> list[SearchProvider]:
    """The operator's, those of the environment first; a row stands in the place of what the environment
    says of its kind. Those without a key, and an empty index, are left out."""
    kinds = {row.kind for row in rows}
    of_environment = [_of_environment(name) for name in settings.SEARCH_PROVIDERS if name not in kinds]
    of_rows = [provider_of(row) for row in rows if row.is_active]
    found = [provider for provider in (*of_environment, *of_rows) if provider is not None]
    return [provider for provider in found if has_documents or not isinstance(provider, LocalSearch)]


def _of_environment(name: str) -> SearchProvider | None:
    if name == LOCAL:
        return _local(local_index())
    if name == "searxng":
        return _own_server(settings.SEARXNG_URL) if settings.SEARXNG_URL else None
    if name not in ENGINES:
        known = ", ".join((LOCAL, *ENGINES))
        raise ImproperlyConfigured(f"SEARCH_PROVIDERS: {name!r} is none of {known}.")
    key = getattr(settings, f"{name.upper()}_API_KEY")
    return WebSearch(ENGINES[name], key=key) if key else None


def _local(index: Index) -> LocalSearch:
    files = minilm_files.installed(corpus_folder())
    reranker = _reranker(files) if files is not None and not minilm_files.lacks() else None
    return LocalSearch(index, site=settings.CORPUS_SITE, reranker=reranker)


@cache
def _reranker(files: Path) -> "Reranker | None":
    """Of this process; None, and a line in the log, where the files are not what they should be."""
    # With their first use: a site without it loads neither numpy nor the weights.
    from agents.search.minilm import MiniLM
    from agents.search.reranking import Reranker

    try:
        return Reranker(MiniLM(files))
    except Exception:
        # The reader of the tokenizer raises bare Exceptions.
        logger.exception("the re-ranker in %s is left out: install it again", files)
        return None


def corpus_folder() -> Path:
    """Where the index lies, and what is fetched for it."""
    return Path(settings.CORPUS_INDEX).parent


def _own_server(base_url: str, *, price_nano: int = 0) -> WebSearch:
    return WebSearch(ENGINES["searxng"], base_url=base_url, is_private=True, price_nano=price_nano)


def _is_of_vendor(row: SearchEngine, model: ServedModel | None) -> bool:
    """Whether the model is served by the vendor whose endpoint carries the search out: no other one can."""
    if row.kind != SearchEngine.Kind.VENDOR or not row.is_active or model is None:
        return False
    hosts = {*VENDOR_HOSTS, urlsplit(settings.MOONSHOT_BASE_URL).netloc}
    is_remote = model.backend == ServedModel.Backend.OPENAI_COMPATIBLE
    return is_remote and urlsplit(model.base_url).netloc in hosts


def _price_nano(row: SearchEngine) -> int:
    return pricing.to_nano(row.price_per_search)


def local_index() -> Index:
    return Index(Path(settings.CORPUS_INDEX))
