"""A list of web addresses as a corpus, with the pages that they lead to on their own sites.

Each page lies in a file of its own as soon as it is read: a crawl that was killed goes on where it was. Sites
are treated as they are by the page tools: through the URL guard, as their robots.txt says, not too fast.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

import msgspec

from agents.corpus.building import Entry, Source
from agents.corpus.documents import Document, Section
from agents.corpus.folders import NoDocuments, OnLeftOut
from agents.pages.faults import Kind, PageFault
from agents.pages.fetching import Fetcher
from agents.pages.page import Unreadable
from agents.pages.reading import Reader

AT_ONCE = 8
MOST_PAGES = 1_000
# Worth another try next time; what else is wrong with a page will be wrong then, too.
_PASSING = (Kind.TIMEOUT, Kind.UNREACHABLE, Kind.FAILED)
_NO_PAGES = (
    *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico", ".css", ".js", ".woff", ".woff2", ".ttf"),
    *(".zip", ".gz", ".bz2", ".xz", ".tar", ".exe", ".iso", ".mp3", ".mp4", ".webm", ".avi"),
)

OnPage = Callable[[int, int], None]  # pages read, pages known of


class Kept(msgspec.Struct, kw_only=True):
    """A page as it lies in its file; `fault` says why there is none."""

    url: str
    fault: str = ""
    title: str = ""
    dated: str = ""
    sections: list[tuple[str, str]] = []
    links: list[str] = []
    read_at: str = ""

    @property
    def stamp(self) -> str:
        """Another one when the page says something else."""
        said = msgspec.json.encode((self.url, self.title, self.dated, self.sections))
        return hashlib.sha256(said).hexdigest()[:20]


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How many links away from the list a page may be, and how many pages there are at most."""

    depth: int = 0
    most: int = MOST_PAGES


def addresses(listed: str) -> list[str]:
    """The addresses of a file, one a line; what follows # is a comment. Raises NoDocuments."""
    found: list[str] = []
    for number, line in enumerate(listed.splitlines(), 1):
        url = line.partition(" #")[0].strip()
        if not url or url.startswith("#"):
            continue
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise NoDocuments(f"Line {number} is no address: {url[:100]!r}. Write http://… or https://…")
        found.append(urldefrag(url).url)
    if not found:
        raise NoDocuments("The file holds no addresses: write one a line.")
    return list(dict.fromkeys(found))


class Crawl:
    """`folder` keeps the pages: `now` while the crawl goes on, `done` once it is over, when the next one
    begins anew."""

    def __init__(self, folder: Path, *, fetcher: Fetcher, reader: Reader, reach: Reach | None = None) -> None:
        self._now, self._done = folder / "now", folder / "done"
        self._fetcher = fetcher
        self._reader = reader
        self._reach = reach or Reach()

    async def run(self, urls: Sequence[str], *, on_page: OnPage | None = None) -> None:
        """Read what has not been read yet."""
        self._now.mkdir(parents=True, exist_ok=True)
        known = dict.fromkeys(urls[: self._reach.most])
        level = list(known)
        num_read = 0
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(url: str) -> Kept:
            nonlocal num_read
            async with gate:
                page = await self._page(url)
            num_read += 1
            if on_page is not None:
                on_page(num_read, len(known))
            return page

        for _ in range(self._reach.depth + 1):
            pages = await asyncio.gather(*(one(url) for url in level))
            before = len(known)
            for link in _links_of(pages):
                if len(known) < self._reach.most:
                    known.setdefault(link)
            level = list(known)[before:]
        shutil.rmtree(self._done, ignore_errors=True)
        self._now.rename(self._done)

    def pages(self) -> Iterator[Kept]:
        """What the last whole crawl has brought, by address; a page that several addresses lead to once."""
        kept = [msgspec.json.decode(path.read_bytes(), type=Kept) for path in self._done.glob("*.json")]
        return iter({page.url: page for page in sorted(kept, key=lambda page: page.url)}.values())

    async def _page(self, url: str) -> Kept:
        path = self._now / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"
        if path.exists():
            return msgspec.json.decode(path.read_bytes(), type=Kept)
        try:
            page = await self._fetched(url)
        except PageFault as fault:
            page = Kept(url=url, fault=f"{fault.kind}: {fault}")
            if fault.kind in _PASSING:
                return page
        except Unreadable as fault:
            page = Kept(url=url, fault=str(fault))
        # Whole or not at all.
        draft = path.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode(page))
        draft.replace(path)
        return page

    async def _fetched(self, url: str) -> Kept:
        fetched = await self._fetcher.fetch(url)
        page = await self._reader.read(fetched.body, content_type=fetched.content_type, url=fetched.url)
        return Kept(
            url=urldefrag(fetched.url).url,
            title=page.title,
            dated=page.dated,
            sections=[(section.heading, section.text) for section in page.sections],
            links=[link.url for link in page.links],
            read_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def source(crawl: Crawl, *, name: str, origin: str, on_left_out: OnLeftOut | None = None) -> Source:
    """What the crawl has brought as a corpus. Raises NoDocuments."""
    pages = list(crawl.pages())
    for page in pages:
        if page.fault and on_left_out is not None:
            on_left_out(page.url, page.fault)
    read = [page for page in pages if not page.fault and page.sections]
    if not read:
        raise NoDocuments(f"None of the pages of {origin} could be read.")
    version = hashlib.sha256("".join(page.stamp for page in read).encode()).hexdigest()[:12]
    return Source(
        name=name,
        origin=origin,
        version=version,
        entries=(_entry(page, name) for page in read),
        num_expected=len(read),
    )


def _entry(page: Kept, name: str) -> Entry:
    place = page.url.partition("://")[2].rstrip("/")
    return Entry(id=f"{name}/{place}", stamp=page.stamp, read=partial(_document, page, f"{name}/{place}"))


def _document(page: Kept, document_id: str) -> Document:
    sections = tuple(Section(heading=heading, text=text) for heading, text in page.sections)
    return Document(
        id=document_id,
        title=page.title or document_id,
        sections=sections,
        url=page.url,
        dated=page.dated,
    )


def _links_of(pages: Iterable[Kept]) -> Iterator[str]:
    """To other pages of the same sites."""
    for page in pages:
        for link in page.links:
            url = urldefrag(link).url
            is_page = not urlsplit(url).path.lower().endswith(_NO_PAGES)
            if is_page and urlsplit(url)[:2] == urlsplit(page.url)[:2]:
                yield url
