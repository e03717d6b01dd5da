"""Searching and reading over MCP: the index, an engine that takes money, and what is refused."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings

from agents.corpus import building
from agents.corpus.building import Source
from agents.corpus.documents import Document, Section
from agents.corpus.index import Index
from agents.pages.fetching import Fetcher
from agents.pages.kept_pages import InRedis
from agents.pages.library import Library
from agents.pages.reading import Reader
from chat import page_tools
from tests.api.conftest import database_url, serving
from tests.mcp.test_door import brought, connected, refusal
from tests.search import sites
from tests.search.engine_answers import ANSWERS
from tests.search.sites import Answer, Pages, Request
from webapp.accounts import keys
from webapp.accounts.models import User
from webapp.billing import accounts
from webapp.billing.models import Account, LedgerEntry
from webapp.catalog.models import SearchEngine
from webapp.mcp import looking

pytestmark = pytest.mark.django_db(transaction=True)
FEE_NANO = 5_000_000


@pytest.fixture(scope="module")
def platform(
    redis_url: str, django_db_setup: None, django_db_blocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The web process as it is shipped, with a small corpus."""
    index = tmp_path_factory.mktemp("corpus") / "index.sqlite3"
    text = "Otters hold hands while they sleep."
    otters = Document(id="zoo/otters", title="Otters", sections=(Section(heading="", text=text),))
    building.install(index, Source(name="zoo", origin="a test", version="1", documents=[otters]))
    with django_db_blocker.unblock():
        url = database_url()
    script = settings.SCRIPT_FILE
    with serving("daphne", DATABASE_URL=url, SCRIPT_FILE=script, CORPUS_INDEX=str(index)) as address:
        yield address


@pytest.fixture
def key(alice: User) -> str:
    return keys.create(alice, name="mcp")[1]


@pytest.fixture
def engine(db: None) -> Iterator[Pages]:
    found = Answer(body=json.dumps(ANSWERS["searxng"]).encode(), content_type="application/json")
    pages = Pages({"/search": found})
    with sites.serve(pages) as address:
        SearchEngine.objects.create(kind="searxng", base_url=address, price_per_search="0.005")
        yield pages


async def test_a_program_searches_and_reads_with_passages_to_cite(platform: str, key: str) -> None:
    async with connected(platform, key) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"web_search", "open_page", "find_in_page"} <= names
        found = await brought(client, "web_search", query="otters sleep")
        assert [passage["source"] for passage in found["passages"]] == ["zoo/otters"]
        assert "[1] Otters" in found["text"]
        assert found["trust"] == "web"
        page = await brought(client, "open_page", source="zoo/otters")
        assert page["passages"][0]["text"] == "Otters hold hands while they sleep."
        again = await brought(client, "web_search", query="otters sleep")
        assert again["is_cached"]
        assert "query" in await refusal(client, "web_search")


async def test_a_search_that_costs_is_paid_by_the_keys_owner_once(
    platform: str, key: str, alice: User, engine: Pages, tmp_path: Path
) -> None:
    before = (await sync_to_async(accounts.of)(alice)).balance_nano
    query = f"otters {tmp_path.name}"
    async with connected(platform, key) as client:
        await brought(client, "web_search", query=query)
        await brought(client, "web_search", query=query)
    account = await Account.objects.aget(user=alice)
    assert before - account.balance_nano == FEE_NANO
    entry = await LedgerEntry.objects.filter(account=account, kind="usage").aget()
    assert (entry.amount_nano, entry.note) == (-FEE_NANO, "web_search")
    assert await sync_to_async(accounts.ledger_total_nano)(account) == account.balance_nano
    assert len(engine.asked) == 1


async def test_searches_at_once_cost_no_more_than_there_is(
    platform: str, key: str, alice: User, engine: Pages, tmp_path: Path
) -> None:
    answer = engine.answers["/search"]

    def slowly(_request: Request) -> Answer:
        time.sleep(1)
        assert isinstance(answer, Answer)
        return answer

    engine.answers["/search"] = slowly
    await sync_to_async(accounts.of)(alice)
    await Account.objects.filter(user=alice).aupdate(balance_nano=FEE_NANO)
    async with connected(platform, key) as client:
        calls = (
            client.call_tool("web_search", {"query": f"{tmp_path.name} {number}"}) for number in range(5)
        )
        answers = await asyncio.gather(*calls)
    assert [bool(one.is_error) for one in answers].count(False) == len(engine.asked) == 1
    assert (await Account.objects.aget(user=alice)).balance_nano == 0


async def test_who_cannot_pay_and_what_is_wrong_is_refused(
    platform: str, key: str, alice: User, engine: Pages
) -> None:
    await sync_to_async(accounts.of)(alice)
    await Account.objects.filter(user=alice).aupdate(balance_nano=FEE_NANO - 1)
    async with connected(platform, key) as client:
        assert "credit" in await refusal(client, "web_search", query="tea")
        assert "not_found" in await refusal(client, "open_page", source="zoo/unicorns")
        assert "refused" in await refusal(client, "open_page", source="http://169.254.169.254/")
        assert "web_search" in await refusal(client, "facts_query", place="Norland")
    assert engine.asked == []


async def test_what_one_person_has_read_is_not_shown_to_another(
    alice: User, bob: User, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings
) -> None:
    settings.REDIS_URL = redis_url
    reader, version = Reader(), iter(range(1, 100))
    pages = Pages({"/own": lambda _: Answer(body=b"Version %d" % next(version), content_type="text/plain")})
    with sites.serve(pages) as site:
        fetcher, store = Fetcher(own_sites=(site,)), InRedis(redis_url)
        library = Library(Index(tmp_path / "none"), fetcher=fetcher, reader=reader, store=store)
        monkeypatch.setattr(page_tools, "library", lambda: library)
        read = [
            (await looking.call(user, "open_page", {"source": f"{site}/own"}))["text"]
            for user in (alice, alice, bob)
        ]
    reader.close()
    assert [f"Version {number}" in text for number, text in zip((1, 1, 2), read, strict=True)] == [True] * 3
