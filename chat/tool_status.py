"""What the tools of this platform have to work with, and what they lack: for the administration's page."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from agents.corpus.index import Corpus, NoIndex
from agents.documents import sight
from agents.sandbox.wasm import bundle
from agents.search import minilm_files
from agents.tool import Tool
from chat import code_tools, page_tools, search_tools, tool_servers
from webapp.billing import pricing
from webapp.catalog.models import SearchEngine


@dataclass(frozen=True, kw_only=True)
class Line:
    """`says` is what is so; `fix` what to do where it should be otherwise."""

    subject: str
    is_on: bool
    says: str
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class EngineLine:
    """A search engine as turns ask it, in their order."""

    name: str
    price: str


@dataclass(frozen=True, kw_only=True)
class Status:
    lines: tuple[Line, ...]
    engines: tuple[EngineLine, ...]
    corpora: tuple[Corpus, ...]
    no_corpora: str
    index_path: Path
    index_bytes: int
    tools: tuple[Tool, ...]


def status() -> Status:
    """As it is now. Blocking: the first call may try the sandbox."""
    index = search_tools.local_index()
    corpora: tuple[Corpus, ...] = ()
    no_corpora = ""
    try:
        corpora = tuple(index.corpora())
    except NoIndex as fault:
        no_corpora = str(fault)
    files = [index.path, index.path.with_name(f"{index.path.name}-wal")]
    return Status(
        lines=tuple(_lines()),
        engines=tuple(_engines()),
        corpora=corpora,
        no_corpora=no_corpora,
        index_path=index.path,
        index_bytes=sum(file.stat().st_size for file in files if file.exists()),
        tools=tuple(search_tools.tools()),
    )


def _lines() -> Iterator[Line]:
    tier = code_tools.tier()
    sandbox = _("apt-get install bubblewrap python3; in a container, allow it user namespaces")
    without = _("where that cannot be: %(command)s") % {"command": bundle.lacks(code_tools.wasm_folder())}
    yield Line(
        subject=_("Code"),
        is_on=tier.is_offered,
        says=f"{tier.name}: {tier.reason}",
        fix="" if tier.is_offered else f"{sandbox}; {without}",
    )
    packages = code_tools.packages_shown()
    yield Line(
        subject=_("Packages for code"),
        is_on=bool(packages),
        says=packages or _("Code finds the standard library only."),
        fix="" if packages else "manage.py sandbox install",
    )
    yield _sight(is_on=sight.installed(code_tools.sight_folder()) is not None and tier.has_programs)
    yield _pages()
    missing = page_tools.no_browser()
    yield Line(
        subject=_("Browser for pages with scripts"),
        is_on=not missing,
        says=missing or _("Chromium, behind the URL guard"),
    )
    yield _reranker()
    servers = tool_servers.configured()
    names = ", ".join(server.name for server in servers)
    yield Line(
        subject=_("MCP servers"), is_on=bool(servers), says=names or _("None is set up (MCP_SERVERS).")
    )


def _sight(*, is_on: bool) -> Line:
    return Line(
        subject=_("Text on pictures"),
        is_on=is_on,
        says=_("Recognised, in Chinese and English.")
        if is_on
        else _("Pictures and scanned pages are refused."),
        fix="" if is_on else "manage.py sandbox install-ocr",
    )


def _pages() -> Line:
    if not settings.OPEN_PAGES:
        return Line(subject=_("Web pages"), is_on=False, says=_("Not opened (OPEN_PAGES is off)."))
    allowed, denied = ", ".join(settings.PAGES_ALLOWED), ", ".join(settings.PAGES_DENIED)
    says = _("Only of %(domains)s.") % {"domains": allowed} if allowed else _("Of any public site.")
    if denied:
        says = f"{says} {_('Not of %(domains)s.') % {'domains': denied}}"
    return Line(subject=_("Web pages"), is_on=True, says=says)


def _reranker() -> Line:
    subject = _("Re-ranker")
    if minilm_files.installed(search_tools.corpus_folder()) is None:
        says = _("Not installed: results of the local index come in the order of their words.")
        return Line(subject=subject, is_on=False, says=says, fix="manage.py corpus install reranker")
    lacks = minilm_files.lacks()
    says = lacks or _("all-MiniLM-L6-v2: results of the local index come in the order of what they mean.")
    return Line(subject=subject, is_on=not lacks, says=says)


def _engines() -> Iterator[EngineLine]:
    for provider in search_tools.providers():
        yield EngineLine(name=provider.name, price=_price(provider.price_nano))
    for row in SearchEngine.objects.filter(kind=SearchEngine.Kind.VENDOR, is_active=True):
        yield EngineLine(name=str(row), price=_price(pricing.to_nano(row.price_per_search)))


def _price(nano: int) -> str:
    return f"{pricing.to_decimal(nano):f} {settings.BILLING_CURRENCY}" if nano else ""
