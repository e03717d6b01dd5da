"""A list of addresses as a corpus: what is read, what is left out, and what a kill leaves to be done."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.corpus import building, crawling
from agents.corpus.crawling import Crawl, Reach
from agents.corpus.folders import NoDocuments
from agents.corpus.index import Index
from agents.pages.fetching import Fetcher
from agents.pages.politeness import Politeness
from agents.pages.reading import Reader
from tests.search import sites
from tests.search.sites import Answer, Pages, Request

ROOT = Path(__file__).resolve().parents[2]


def page(title: str, *links: str) -> Answer:
    linked = "".join(f'<p><a href="{link}">More about it</a></p>' for link in links)
    text = f"<h1>{title}</h1><p>What is to be known about {title} stands here, in some words.</p>{linked}"
    return Answer(body=f"<html><title>{title}</title><body><main>{text}</main></body></html>".encode())


@pytest.fixture
def site() -> Pages:
    return Pages(
        {
            "/robots.txt": Answer(body=b"User-agent: *\nDisallow: /secret\n", content_type="text/plain"),
            "/": page("Otters", "/rivers", "/secret", "/gone", "/picture.png", "https://other.example/"),
            "/rivers": page("Rivers", "/#top", "/deep"),
            "/deep": page("Deep water", "/deeper"),
            "/deeper": page("The sea bed"),
            "/secret": page("Secrets"),
            "/old": Answer(status=301, headers={"location": "/rivers"}),
        }
    )


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


def crawl(folder: Path, address: str, reader: Reader, **reach: int) -> Crawl:
    fetcher = Fetcher(own_sites=(address,), manners=Politeness(at_once=8))
    return Crawl(folder, fetcher=fetcher, reader=reader, reach=Reach(**reach))


async def test_a_list_is_read_with_what_its_pages_lead_to_on_their_own_site(
    site: Pages, reader: Reader, tmp_path: Path
) -> None:
    left_out: list[tuple[str, str]] = []
    with sites.serve(site) as address:
        crawled = crawl(tmp_path, address, reader, depth=1)
        seen: list[tuple[int, int]] = []
        await crawled.run([f"{address}/", f"{address}/old"], on_page=lambda *now: seen.append(now))
    found = crawling.source(
        crawled, name="otters", origin="a list", on_left_out=lambda url, why: left_out.append((url, why))
    )
    index = Index(tmp_path / "index.sqlite3")
    building.install(index.path, found)
    host = address.removeprefix("http://")
    assert [id for id, _ in index.document_ids("otters")] == [
        f"otters/{host}{place}" for place in ("", "/deep", "/rivers")
    ]
    assert index.search("rivers")[0].url == f"{address}/rivers"
    assert {url.removeprefix(address): why.partition(":")[0] for url, why in left_out} == {
        "/secret": "blocked",
        "/gone": "not_found",
    }
    assert set(site.paths) == {"/", "/old", "/rivers", "/gone", "/deep"}  # /deeper is two links away
    assert seen[-1] == (6, 6)


async def test_no_more_pages_are_read_than_are_wanted(site: Pages, reader: Reader, tmp_path: Path) -> None:
    with sites.serve(site) as address:
        crawled = crawl(tmp_path, address, reader, depth=9, most=2)
        await crawled.run([f"{address}/"])
    assert site.paths == ["/", "/rivers"]


async def test_the_next_crawl_reads_anew_and_the_index_only_what_has_changed(
    site: Pages, reader: Reader, tmp_path: Path
) -> None:
    index = Index(tmp_path / "index.sqlite3")
    kept = []
    with sites.serve(site) as address:
        for title in ("Deep water", "Deep sea"):
            site.answers["/deep"] = page(title, "/deeper")
            crawled = crawl(tmp_path, address, reader, depth=2)
            await crawled.run([f"{address}/"])
            source = crawling.source(crawled, name="otters", origin="a list")
            kept.append(building.install(index.path, source).num_kept)
    assert kept == [0, 2]
    assert index.search("deep")[0].title == "Deep sea"


def test_a_killed_crawl_goes_on_where_it_was(site: Pages, tmp_path: Path) -> None:
    has_stalled, may_go_on = threading.Event(), threading.Event()

    def slow(request: Request) -> Answer:
        has_stalled.set()
        may_go_on.wait(60)
        return page("Deep water")

    site.answers["/deep"] = slow
    with sites.serve(site) as address:
        listed = tmp_path / "otters.txt"
        listed.write_text(f"# what is known of otters\n{address}/\n")
        command = [sys.executable, "manage.py", "corpus", "install", str(listed), "--depth", "2"]
        environment = {**os.environ, "CORPUS_INDEX": str(tmp_path / "index.sqlite3"), "CORPUS_SITE": address}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        try:
            assert has_stalled.wait(60)
        finally:
            process.kill()
            process.wait()
            may_go_on.set()
        before = list(site.paths)
        assert "/rivers" in before
        again = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
        )
    assert "otters: 3 documents (0 as before)" in again.stdout, again.stderr
    assert site.paths[len(before) :] == ["/deep"]
    assert Index(tmp_path / "index.sqlite3").search("deep water")[0].title == "Deep water"


@pytest.mark.parametrize(
    ("listed", "words"),
    [("", "holds no addresses"), ("https://a.example/\nfoo", "Line 2"), ("ftp://a/", "Line 1")],
)
def test_a_list_that_is_none_says_what_is_wrong(listed: str, words: str) -> None:
    with pytest.raises(NoDocuments, match=words):
        crawling.addresses(listed)
