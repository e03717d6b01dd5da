"""`manage.py corpus install|list|remove|serve`: the documents and facts that search finds without network."""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from agents.corpus import building, crawling, factbook, folders, manuals, web_site
from agents.corpus.building import Source
from agents.corpus.crawling import Crawl, Reach
from agents.corpus.index import Index, NoIndex
from agents.corpus.wheels import WheelUnavailable
from agents.pages.domains import Domains
from agents.pages.fetching import Fetcher
from agents.pages.reading import Reader
from agents.search import minilm_files
from chat import code_tools, search_tools


class Command(BaseCommand):
    help = "Build and show the local index that web_search, open_page and facts_query work on."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        install = actions.add_parser(
            "install", help="put a corpus into the index, in place of its last version"
        )
        install.add_argument(
            "what",
            help="factbook (facts of 256 places), manuals (Debian's documentation packages), a folder, a "
            "file of addresses to crawl, or reranker (91 MB: results in the order of what they mean)",
        )
        install.add_argument(
            "--name", default="", help="what the corpus of a folder or file is called; by default as that is"
        )
        install.add_argument(
            "--depth", type=int, default=0, help="how many links a crawl follows within a site (0)"
        )
        install.add_argument(
            "--most",
            type=int,
            default=crawling.MOST_PAGES,
            help="how many pages a crawl reads at most (1000)",
        )
        actions.add_parser("list", help="what is installed")
        remove = actions.add_parser("remove", help="take a corpus out")
        remove.add_argument("name")
        serve = actions.add_parser("serve", help="a small web site of what is installed, for the page tools")
        serve.add_argument("--host", default="127.0.0.1")
        serve.add_argument("--port", type=int, default=8090)

    def handle(self, *, action: str, **options: Any) -> None:
        try:
            getattr(self, f"_{action}")(**{name: options[name] for name in _TAKES[action]})
        except (NoIndex, WheelUnavailable, folders.NoDocuments, OSError) as fault:
            raise CommandError(str(fault)) from fault

    def _install(self, what: str, name: str, depth: int, most: int) -> None:
        if what == minilm_files.NAME:
            folder = minilm_files.install(search_tools.corpus_folder())
            self.stdout.write(f"The re-ranker is in {folder}: restart the platform to use it.")
            return
        path, begun = Path(settings.CORPUS_INDEX), time.monotonic()
        left_out: list[tuple[str, str]] = []
        if Path(what).is_file():
            source = _crawled(Path(what), name, Reach(depth=depth, most=most), left_out)
        else:
            source = _source(what, name, left_out)
        with tqdm(total=source.num_expected, unit=" documents", disable=not sys.stderr.isatty()) as bar:

            def show(num_documents: int) -> None:
                bar.update(num_documents - bar.n)

            built = building.install(path, source, on_progress=show)
        for place, why in left_out:
            self.stderr.write(f"left out {place}: {why}")
        size, seconds = path.stat().st_size / 1e6, time.monotonic() - begun
        self.stdout.write(
            f"{source.name}: {built.num_documents} documents ({built.num_kept} as before), "
            f"{built.num_passages} passages, {built.num_facts} facts in {seconds:.1f} s; "
            f"the index has {size:.0f} MB."
        )

    def _list(self) -> None:
        if files := minilm_files.installed(search_tools.corpus_folder()):
            self.stdout.write(f"{minilm_files.NAME:<20} {files} {minilm_files.lacks()}".rstrip())
        for corpus in Index(Path(settings.CORPUS_INDEX)).corpora():
            self.stdout.write(
                f"{corpus.name:<20} {corpus.num_documents:>6} documents {corpus.num_passages:>7} passages "
                f"{corpus.num_facts:>6} facts  {corpus.installed_at:%Y-%m-%d}  {corpus.version:<14} "
                f"{corpus.origin}"
            )

    def _remove(self, name: str) -> None:
        if name == minilm_files.NAME and minilm_files.remove(search_tools.corpus_folder()):
            return
        if not building.remove(Path(settings.CORPUS_INDEX), name):
            raise CommandError(f"No corpus is called {name!r}: see `manage.py corpus list`.")

    def _serve(self, host: str, port: int) -> None:
        address = f"http://{host}:{port}"
        self.stdout.write(f"{address} (start the platform with CORPUS_SITE={address} to search and open it)")
        web_site.run(Index(Path(settings.CORPUS_INDEX)), host=host, port=port)


_TAKES = {
    "install": ("what", "name", "depth", "most"),
    "list": (),
    "remove": ("name",),
    "serve": ("host", "port"),
}
LeftOut = list[tuple[str, str]]


def _source(what: str, name: str, left_out: LeftOut) -> Source:
    def note(place: str, why: str) -> None:
        left_out.append((place, why))

    if what == factbook.NAME:
        return factbook.source(factbook.fetch(search_tools.corpus_folder()))
    if what == manuals.NAME:
        return manuals.source(on_left_out=note)
    if not Path(what).is_dir():
        raise CommandError(f"{what!r} is neither factbook, manuals, reranker, a folder nor a file.")
    has_office = any(path.suffix.lower() in folders.OFFICE for path in folders.files(Path(what)))
    extractor = code_tools.extractor() if has_office else None
    name = _free(name or folders.name_of(Path(what)))
    return folders.source(Path(what), name=name, on_left_out=note, extractor=extractor)


def _crawled(listed: Path, name: str, reach: Reach, left_out: LeftOut) -> Source:
    """The pages of a file's addresses, read now; what a killed crawl has read stays read."""
    urls = crawling.addresses(listed.read_text(encoding="utf-8"))
    name = _free(name or folders.name_of(listed.with_suffix("")))
    own = (settings.CORPUS_SITE,) if settings.CORPUS_SITE else ()
    domains = Domains.of(allowed=settings.PAGES_ALLOWED, denied=settings.PAGES_DENIED)
    reader = Reader()
    crawl = Crawl(
        search_tools.corpus_folder() / "crawls" / name,
        fetcher=Fetcher(domains=domains, own_sites=own),
        reader=reader,
        reach=reach,
    )
    with tqdm(total=len(urls), unit=" pages", disable=not sys.stderr.isatty()) as bar:

        def show(num_read: int, num_known: int) -> None:
            bar.total = num_known
            bar.update(num_read - bar.n)

        try:
            asyncio.run(crawl.run(urls, on_page=show))
        finally:
            reader.close()

    def note(place: str, why: str) -> None:
        left_out.append((place, why))

    return crawling.source(crawl, name=name, origin=str(listed), on_left_out=note)


def _free(name: str) -> str:
    if name in (factbook.NAME, manuals.NAME, minilm_files.NAME):
        raise CommandError("That name belongs to another corpus: give one with --name.")
    return name
