"""The search engines of others: what they are asked, and what is made of their answers and faults."""

import json

import pytest

from agents.search.engines import ENGINES, WebSearch
from agents.search.provider import Found, Query, SearchFailed, Together
from tests.search import sites
from tests.search.engine_answers import ANSWERS, ASKED
from tests.search.sites import Answer, Pages

QUERY = Query(text="tea", site="tea.example", limit=3)


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(body=json.dumps(value).encode(), status=status, content_type="application/json")


@pytest.mark.parametrize("name", ENGINES)
async def test_each_engine_is_asked_as_it_wants_and_its_answer_understood(name: str) -> None:
    asked = ASKED[name]
    pages = Pages({asked["path"]: as_json(ANSWERS[name])})
    with sites.serve(pages) as address:
        engine = WebSearch(ENGINES[name], key="k-1", base_url=address, is_private=True)
        [found] = await engine.search(QUERY)
    assert (found.source, found.title) == ("https://tea.example/green", "Green tea")
    assert found.text.startswith("Green tea is not oxidised.")
    assert found.dated.startswith("2025-04-01")
    [request] = pages.asked
    assert request.query == asked.get("query", {})
    assert request.body == asked.get("body")
    if key := asked.get("key"):
        assert request.headers[key[0]] == key[1]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (as_json({}, status=401), "refused the key"),
        (as_json({}, status=429), "fewer requests"),
        (as_json({}, status=500), "status 500"),
        (Answer(body=b"<html>"), "no JSON"),
        (as_json({"results": "none"}), "shape"),
        (as_json(["x"]), "shape"),
        (Answer(status=302, headers={"location": "http://169.254.169.254/"}), "status 302"),
    ],
)
async def test_an_engine_that_fails_says_why_and_never_shows_its_key(answer: Answer, why: str) -> None:
    with sites.serve(Pages({"/search": answer})) as address:
        engine = WebSearch(ENGINES["tavily"], key="k-secret", base_url=address, is_private=True)
        with pytest.raises(SearchFailed, match=why) as fault:
            await engine.search(QUERY)
    assert "k-secret" not in str(fault.value)


async def test_an_engine_that_is_not_the_operators_own_is_not_met_on_a_private_network() -> None:
    pages = Pages({"/search": as_json(ANSWERS["exa"])})
    with sites.serve(pages) as address, pytest.raises(SearchFailed, match="UrlRefused"):
        await WebSearch(ENGINES["exa"], key="k", base_url=address).search(QUERY)
    assert pages.asked == []


class Fixed:
    name = version = "fixed"
    price_nano = 3

    def __init__(self, *sources: str, fails: bool = False) -> None:
        self._sources, self._fails = sources, fails

    async def search(self, query: Query) -> list[Found]:
        if self._fails:
            raise SearchFailed("it is away")
        from datetime import UTC, datetime

        return [
            Found(source=name, title=name, text=name, fetched_at=datetime.now(UTC)) for name in self._sources
        ]


async def test_engines_together_share_the_first_places_and_one_that_fails_is_left_out() -> None:
    together = Together([Fixed("a", "b"), Fixed(fails=True), Fixed("a", "c")])
    answer = await together.search(Query(text="x"))
    assert [found.source for found in answer.found] == ["a", "b", "c"]
    assert answer.cost_nano == 6
    with pytest.raises(SearchFailed, match="it is away"):
        await Together([Fixed(fails=True)]).search(Query(text="x"))
    with pytest.raises(SearchFailed, match="set up"):
        await Together([]).search(Query(text="x"))
