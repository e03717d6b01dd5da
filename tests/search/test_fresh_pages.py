"""Pages read again: what HTTP allows between turns, the same within one, and nobody's page in another's
hands."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import redis

from agents.corpus.index import Index
from agents.pages import freshness, kept_pages
from agents.pages.faults import PageFault
from agents.pages.fetching import Fetcher
from agents.pages.kept_pages import InMemory, InRedis, Store
from agents.pages.library import Library, Opened
from agents.pages.politeness import Politeness
from agents.pages.reading import Reader
from tests.search import sites
from tests.search.sites import Answer, Pages, Request

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def site(pages: Pages) -> Iterator[str]:
    with sites.serve(pages) as address:
        yield address


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Store:
    return InMemory() if request.param == "memory" else InRedis(request.getfixturevalue("redis_url"))


@pytest.fixture
def library(index: Index, site: str, reader: Reader, store: Store) -> Library:
    return Library(index, fetcher=Fetcher(own_sites=(site,)), reader=reader, store=store)


def versions(**headers: str) -> Answer:
    """A page that says something else each time it is asked for."""
    count = iter(range(1, 100))

    def answer(request: Request) -> Answer:
        headers_of_it = {name.replace("_", "-"): value for name, value in headers.items()}
        if headers_of_it.get("etag") and request.headers.get("if-none-match") == headers_of_it["etag"]:
            return Answer(status=304, headers=headers_of_it)
        return Answer(
            body=f"Version {next(count)}".encode(), content_type="text/plain", headers=headers_of_it
        )

    return answer  # type: ignore[return-value]


def says(opened: Opened) -> str:
    return opened.page.sections[0].text


@pytest.mark.parametrize(
    ("headers", "lifetime_s"),
    [
        ({"cache-control": "max-age=600"}, 600),
        ({"cache-control": "Public, MAX-AGE=600, s-maxage=60"}, 60),
        ({"cache-control": 'max-age="600"', "age": "200"}, 400),
        ({"cache-control": "max-age=600, no-cache"}, 0),
        ({"cache-control": "max-age=-5"}, 0),
        ({"cache-control": "max-age=99999999999"}, freshness.LONGEST_S),
        ({"expires": format_datetime(NOW + timedelta(hours=1))}, 3_600),
        ({"expires": "0"}, 0),
        ({"last-modified": format_datetime(NOW - timedelta(days=10)), "date": format_datetime(NOW)}, 86_400),
        ({"last-modified": format_datetime(NOW - timedelta(hours=10))}, 3_600),
        ({"last-modified": "last week"}, 0),
        ({"vary": "*", "cache-control": "max-age=600"}, 0),
        ({}, 0),
    ],
)
def test_how_long_a_page_is_fresh_is_what_its_site_says(headers: dict[str, str], lifetime_s: float) -> None:
    assert freshness.of(headers, now=NOW).fresh_until == NOW + timedelta(seconds=lifetime_s)


async def test_a_turn_reads_the_same_page_whatever_the_site_says(
    library: Library, site: str, pages: Pages
) -> None:
    pages.answers["/x"] = versions(cache_control="no-store")
    first = await library.open(f"{site}/x", tenant="a", turn="1")
    again = await library.open(f"{site}/x", tenant="a", turn="1")
    assert (says(first), says(again)) == ("Version 1", "Version 1")
    assert (first.sha256, again.num_bytes) == (again.sha256, 0)
    assert says(await library.open(f"{site}/x", tenant="a", turn="2")) == "Version 2"


async def test_a_fresh_page_is_kept_for_its_tenant_and_a_public_one_for_all(
    library: Library, site: str, pages: Pages
) -> None:
    pages.answers["/own"] = versions(cache_control="max-age=600")
    pages.answers["/all"] = versions(cache_control="public, max-age=600")
    pages.answers["/cookie"] = versions(cache_control="public, max-age=600", set_cookie="a=b")
    read = {
        (path, tenant, turn): says(await library.open(f"{site}/{path}", tenant=tenant, turn=turn))[-1]
        for path in ("own", "all", "cookie")
        for tenant, turn in (("a", "1"), ("a", "2"), ("b", "3"))
    }
    assert [
        read[path, *whose] for path in ("own", "all", "cookie") for whose in (("a", "2"), ("b", "3"))
    ] == [
        *("1", "2"),
        *("1", "1"),
        *("1", "2"),
    ]


async def test_a_page_that_has_not_changed_is_not_sent_again(
    library: Library, site: str, pages: Pages
) -> None:
    pages.answers["/x"] = versions(etag='"one"', cache_control="max-age=0")
    first = await library.open(f"{site}/x", tenant="a", turn="1")
    again = await library.open(f"{site}/x", tenant="a", turn="2")
    assert (says(again), again.num_bytes, again.fetched_at) == ("Version 1", 0, first.fetched_at)
    assert pages.asked[-1].headers["if-none-match"] == '"one"'
    pages.answers["/x"] = versions(etag='"two"')
    changed = await library.open(f"{site}/x", tenant="a", turn="3")
    assert changed.num_bytes > 0
    assert changed.fetched_at > first.fetched_at
    assert pages.asked[-1].headers["if-none-match"] == '"one"'


async def test_pages_go_from_redis_when_nobody_may_read_them_any_more(
    index: Index, site: str, pages: Pages, reader: Reader, redis_url: str
) -> None:
    client = redis.Redis.from_url(redis_url)
    library = Library(index, fetcher=Fetcher(own_sites=(site,)), reader=reader, store=InRedis(redis_url))

    async def longest_s(path: str, **headers: str) -> float:
        pages.answers[path] = versions(**headers)
        client.flushdb()
        await library.open(f"{site}{path}", tenant="a", turn="1")
        await library.open(f"{site}{path}", tenant="a", turn="2")
        return max(client.ttl(name) for name in client.scan_iter("page:*"))

    assert await longest_s("/never", cache_control="no-store") <= kept_pages.TURN_S
    # Without a mark of its version nobody could ask whether it has changed.
    assert await longest_s("/stale", cache_control="max-age=0") <= kept_pages.TURN_S
    assert 7_200 - 60 < await longest_s("/fresh", cache_control="max-age=7200") <= 7_200
    assert 86_400 - 60 < await longest_s("/marked", cache_control="max-age=0", etag='"one"') <= 86_400


async def test_a_redis_that_is_away_only_costs_another_fetch(
    index: Index, site: str, pages: Pages, reader: Reader
) -> None:
    pages.answers["/x"] = versions(cache_control="max-age=600")
    away = InRedis("redis://127.0.0.1:1/0")
    library = Library(index, fetcher=Fetcher(own_sites=(site,)), reader=reader, store=away)
    assert [says(await library.open(f"{site}/x", turn="1"))[-1] for _ in range(2)] == ["1", "2"]


async def test_a_site_that_asks_for_a_pause_is_waited_for_or_left_alone(site: str, pages: Pages) -> None:
    answers = iter([Answer(status=429, headers={"retry-after": "1"}), Answer(body=b"<p>At last.</p>")])
    pages.answers["/soon"] = lambda _: next(answers)
    pages.answers["/late"] = Answer(status=503, headers={"retry-after": "120"})
    fetcher = Fetcher(own_sites=(site,), manners=Politeness())
    found = await fetcher.fetch(f"{site}/soon")
    assert found.body == b"<p>At last.</p>"
    with pytest.raises(PageFault, match="503"):
        await fetcher.fetch(f"{site}/late")
    num_asked = len(pages.asked)
    with pytest.raises(PageFault, match=r"blocked|left alone: it may be asked again in 1[12]\d seconds"):
        await fetcher.fetch(f"{site}/soon")
    assert len(pages.asked) == num_asked


async def test_a_page_that_many_turns_open_at_once_is_right_for_each(
    library: Library, site: str, pages: Pages
) -> None:
    pages.answers["/x"] = versions(cache_control="public, max-age=600")
    opened = await asyncio.gather(
        *(library.open(f"{site}/x", tenant=str(number), turn=str(number)) for number in range(4))
    )
    again = [await library.open(f"{site}/x", tenant=str(at), turn=str(at)) for at in range(4)]
    assert [says(one) for one in opened] == [says(one) for one in again]


async def test_who_asks_for_what_is_new_gets_no_page_of_others_but_keeps_to_its_own(
    library: Library, site: str, pages: Pages
) -> None:
    pages.answers["/x"] = versions(cache_control="max-age=600")
    assert says(await library.open(f"{site}/x", tenant="a", turn="1")) == "Version 1"
    assert says(await library.open(f"{site}/x", tenant="a", turn="2")) == "Version 1"
    for _ in range(2):
        fresh = await library.open(f"{site}/x", tenant="a", turn="3", is_fresh=True)
        assert says(fresh) == "Version 2"


def test_kept_pages_never_take_more_than_their_share_of_redis(redis_url: str) -> None:
    store = InRedis(redis_url, max_bytes=60_000)
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        for number in range(40):
            store.put(f"content:{number}", bytes(5_000), ttl_s=60)
            store.put("content:again", bytes(number), ttl_s=60)
        kept = client.keys("page:content:*")
        assert sum(client.strlen(key) for key in kept) <= 60_000
        assert 5 < len(kept) <= 12
        assert (store.get("content:39"), store.get("content:0")) == (bytes(5_000), None)
        sizes = {name: int(size) for name, size in client.hgetall("page:sizes").items()}
        total = sizes.pop(b"total")
        assert total == sum(sizes.values()) <= 60_000
        assert client.zcard("page:written") == len(sizes) == len(kept)
