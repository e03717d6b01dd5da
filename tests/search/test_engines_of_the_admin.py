"""Search engines that an administrator sets up: what turns get of them, what a search costs, a trial."""

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from agents.corpus.index import Index
from agents.tool import Intent, Tool, ToolContext, ToolResult, Trust
from agents.tooling.toolset import Toolset
from agents.tools.vendor_search import VendorSearch
from chat import page_tools, search_tools
from chat.models import Turn
from inference.backends import provider_request
from inference.schema import ChatMessage, ChatRequest, Role, ToolCall
from tests.search import sites
from tests.search.engine_answers import ANSWERS
from tests.search.sites import Answer, Pages
from webapp.accounts.models import User
from webapp.catalog.models import SearchEngine, ServedModel

pytestmark = pytest.mark.django_db
LIST, ADD = "/admin/catalog/searchengine/", "/admin/catalog/searchengine/add/"
TEA: dict[str, Any] = {
    "/search": Answer(body=json.dumps(ANSWERS["searxng"]).encode(), content_type="application/json")
}


@pytest.fixture(autouse=True)
def _indexed(index: Index, settings: Any) -> None:
    settings.CORPUS_INDEX = index.path


@pytest.fixture
def office(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root", "root@example.org", "a long password"))
    return client


def add(office: Client, **values: Any) -> Any:
    said = {"kind": "searxng", "position": 5, "is_active": "on", "price_per_search": "0"}
    return office.post(ADD, {**said, **values})


def call(tool: Tool, **arguments: Any) -> ToolResult:
    intent = Intent(
        step=1, index=0, call_id="c", name=tool.spec.name, arguments=json.dumps(arguments), key="k"
    )
    result = async_to_sync(Toolset([tool]).run)(intent, ToolContext(key="k", tenant="alice"))
    assert isinstance(result, ToolResult)
    return result


def searching() -> Tool:
    return next(tool for tool in search_tools.tools() if tool.spec.name == "web_search")


def test_an_engine_of_the_admin_is_asked_beside_the_index_and_no_more_once_it_is_off(office: Client) -> None:
    pages = Pages(TEA)
    with sites.serve(pages) as address:
        assert add(office, base_url=address, price_per_search="0.005").status_code == 302
        result = call(searching(), query="coastline")
        assert {"https://tea.example/green", "factbook/norland"} <= {p.source for p in result.passages}
        assert result.usage.cost_nano == 5_000_000
        SearchEngine.objects.update(is_active=False)
        result = call(searching(), query="coastline of Norland")
    assert (len(pages.asked), result.usage.cost_nano) == (1, 0)
    assert result.passages[0].source == "factbook/norland"


def test_a_row_stands_in_the_place_of_what_the_environment_says_of_its_kind(settings: Any) -> None:
    settings.SEARCH_PROVIDERS = ["local", "tavily"]
    settings.TAVILY_API_KEY = "k-1"
    assert [provider.name for provider in search_tools.providers()] == ["local index", "Tavily"]
    SearchEngine.objects.create(kind="local", position=9)
    SearchEngine.objects.create(kind="tavily", position=1, is_active=False)
    settings.BRAVE_API_KEY = "k-2"
    SearchEngine.objects.create(kind="brave", position=2, api_key_env="BRAVE_API_KEY")
    assert [provider.name for provider in search_tools.providers()] == ["Brave", "local index"]


def test_a_failed_engine_costs_nothing_and_the_index_answers(office: Client) -> None:
    with sites.serve(Pages({"/search": Answer(status=500)})) as address:
        add(office, base_url=address, price_per_search="0.005")
        result = call(searching(), query="coastline of Norland")
    assert (result.is_error, result.usage.cost_nano) == (False, 0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"base_url": ""}, "Say where your SearXNG server is"),
        ({"base_url": "searx.example"}, "begins with http"),
        ({"kind": "brave"}, "Name the variable that holds the key"),
        ({"kind": "brave", "api_key_env": "SECRET_KEY"}, "ends in API_KEY"),
        ({"kind": "local", "price_per_search": "-1"}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_work_is_not_kept(office: Client, values: dict[str, Any], words: str) -> None:
    assert words in add(office, **values).content.decode()
    assert not SearchEngine.objects.exists()


def test_a_trial_tells_what_works_and_what_is_missing_and_no_key(
    office: Client, settings: Any, monkeypatch
) -> None:
    monkeypatch.setenv("OUR_BRAVE_API_KEY", "k-secret")
    settings.TAVILY_API_KEY = ""
    with sites.serve(Pages(TEA)) as address:
        SearchEngine.objects.create(kind="searxng", base_url=address)
        SearchEngine.objects.create(kind="brave", base_url=address, api_key_env="OUR_BRAVE_API_KEY")
        SearchEngine.objects.create(kind="tavily", api_key_env="TAVILY_API_KEY")
        ids = list(SearchEngine.objects.values_list("pk", flat=True))
        trial = {"action": "try_out", "_selected_action": ids}
        page = office.post(LIST, trial, follow=True).content.decode()
    assert "SearXNG: it works: 1 results in" in page
    assert "Brave: Brave cannot be reached: UrlRefused." in page
    assert "Tavily: it has no key: start the platform with TAVILY_API_KEY=" in page
    assert "k-secret" not in page


def test_the_vendors_own_search_is_for_its_own_models_and_opaque(settings: Any) -> None:
    settings.MOONSHOT_BASE_URL = "https://kimi.example/v1"
    SearchEngine.objects.create(kind="vendor", price_per_search="0.03")
    at = {"backend": "openai_compatible", "context_tokens": 9, "max_output_tokens": 9}
    theirs = ServedModel(name="a", base_url="https://kimi.example/v1", **at)
    another = ServedModel(name="b", base_url="https://other.example/v1", **at)
    names = [[tool.spec.name for tool in search_tools.tools(model)] for model in (theirs, another, None)]
    assert ["$web_search" in found for found in names] == [True, False, False]
    tool = search_tools.tools(theirs)[-1]
    asked = {"search_result": {"search_id": "x-1"}, "usage": {"total_tokens": 13_046}}
    result = call(tool, **asked)
    assert json.loads(result.for_model) == asked
    assert (result.trust, result.passages, result.usage.cost_nano) == (Trust.WEB, (), 30_000_000)
    assert "nothing of it can be cited" in result.for_user
    called = ToolCall(id="functions.$web_search:0", name="$web_search", arguments=json.dumps(asked))
    message = ChatMessage(role=Role.ASSISTANT, tool_calls=(called,))
    request = ChatRequest(id="r", model="m", messages=(message,), tools=(tool.spec,))
    body = provider_request.body(request, dialect="always")
    assert body["tools"] == [{"type": "builtin_function", "function": {"name": "$web_search"}}]
    assert body["messages"][0]["tool_calls"][0]["type"] == "builtin_function"


def test_in_quarantine_the_vendors_search_is_not_offered(settings: Any) -> None:
    settings.PAGES_QUARANTINED = True
    tools = [VendorSearch(), searching()]
    assert [tool.spec.name for tool in page_tools.allowed(Turn(), tools)] == ["web_search"]
    settings.PAGES_QUARANTINED = False
    assert [tool.spec.name for tool in page_tools.allowed(Turn(), tools)] == ["$web_search", "web_search"]
