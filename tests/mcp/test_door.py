"""The platform as an MCP server: real servers, the SDK's own client, keys of two people."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from chat import dispatch, reports
from chat.frames import TurnSend
from chat.models import Conversation, Message, Part, Turn
from tests.api.conftest import database_url, serving
from tests.pages import scenes
from tests.pages.scenes import Scene
from webapp.accounts import keys
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="session")
def platform(redis_url: str, django_db_setup: None, django_db_blocker) -> Iterator[str]:
    """The web process as it is shipped, under Daphne."""
    with django_db_blocker.unblock():
        url = database_url()
    with serving("daphne", DATABASE_URL=url, SCRIPT_FILE=settings.SCRIPT_FILE) as address:
        yield address


@pytest.fixture
def key(alice: User) -> str:
    return keys.create(alice, name="mcp")[1]


@asynccontextmanager
async def connected(platform: str, secret: str, *, mode: str = "auto") -> AsyncGenerator[Client, None]:
    headers = {"authorization": f"Bearer {secret}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http,
        Client(streamable_http_client(f"{platform}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


async def brought(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    (text,) = result.content
    assert result.is_error
    assert isinstance(text, TextContent)
    return text.text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_program_starts_a_run_and_gets_its_answer(
    platform: str, key: str, scripted_model, script, celery_worker, mode: str
) -> None:
    script("think: two and two", "text: It is 4.")
    async with connected(platform, key, mode=mode) as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert listed >= {"run_submit", "run_status", "run_cancel", "search"}
        run = await brought(client, "run_submit", question="What is 2 + 2?", model="scripted")
        done = await brought(client, "run_status", run=run["run"], wait_s=30)
        assert (done["status"], done["answer"], done["finish_reason"]) == ("finished", "It is 4.", "stop")
        found = await brought(client, "search", query="what 2")
        assert [(hit["run"], hit["role"]) for hit in found["results"]] == [(run["run"], "user")]


async def test_a_run_sent_twice_is_one_run(platform: str, key: str, scripted_model, script) -> None:
    script("text: once")
    wanted = {
        "question": "Once?",
        "model": "scripted",
        "request_id": str(uuid4()),
        "limits": {"max_steps": 3},
    }
    async with connected(platform, key) as client:
        first = await brought(client, "run_submit", **wanted)
        assert await brought(client, "run_submit", **wanted) == first
    turn = await Turn.objects.aget()
    assert (turn.max_steps, turn.long_thinking) == (3, True)


async def test_a_run_can_be_cancelled(platform: str, key: str, scripted_model, script, celery_worker) -> None:
    script("text: on", "wait: 60", "text: and on")
    async with connected(platform, key) as client:
        run = (await brought(client, "run_submit", question="Go on.", model="scripted"))["run"]
        await brought(client, "run_cancel", run=run)
        done = await brought(client, "run_status", run=run, wait_s=20)
    assert (done["status"], done["finish_reason"]) == ("finished", "cancelled")


def stored_turn(user: User, model, text: str) -> str:
    """A turn of somebody, as a row: nobody drives it."""
    return str(dispatch.submit_turn(user, TurnSend(client_id=str(uuid4()), text=text, model=model.name)).id)


async def test_anothers_run_is_not_there(platform: str, key: str, scripted_model, script, bob: User) -> None:
    script("text: secret")
    run = await sync_to_async(stored_turn)(bob, scripted_model, "The password is walrus.")
    async with connected(platform, key) as client:
        assert "no such run" in await refusal(client, "run_status", run=run)
        assert await refusal(client, "run_cancel", run=run) == await refusal(
            client, "run_cancel", run=str(uuid4())
        )
        assert (await brought(client, "search", query="walrus"))["results"] == []
    turn = await Turn.objects.aget(id=run)
    assert turn.cancel_requested_at is None


async def test_wrong_arguments_are_told_to_the_program(platform: str, key: str, scripted_model) -> None:
    async with connected(platform, key) as client:
        assert "question" in await refusal(client, "run_submit")
        assert "run" in await refusal(client, "run_status", run="seven")
        assert "colour" in await refusal(client, "run_submit", question="x", colour="red")
        assert "no model nothing" in await refusal(client, "run_submit", question="x", model="nothing")
        assert "choose from 1" in await refusal(
            client, "run_submit", question="x", model="scripted", limits={"max_steps": 10**9}
        )


@pytest.mark.parametrize("authorization", [None, "Bearer sk-wrong", "Basic YTpi"])
async def test_nobody_comes_in_without_a_key(
    platform: str, transactional_db: None, authorization: str | None
) -> None:
    headers = {"authorization": authorization} if authorization else {}
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{platform}/mcp", headers=headers, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}
        )
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_revoked_key_opens_nothing(platform: str, key: str, alice: User) -> None:
    await sync_to_async(lambda: keys.revoke(alice.api_keys.get()))()
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{platform}/mcp", headers={"authorization": f"Bearer {key}"}, json={})
        other = await http.get(f"{platform}/mcp")
    assert (answer.status_code, other.status_code) == (401, 405)


def test_a_search_finds_all_words_in_any_order_and_only_in_texts(
    db: None, alice: User, scripted_model
) -> None:
    turn = Turn.objects.get(id=stored_turn(alice, scripted_model, "The Walrus and the Carpenter"))
    answer = Message.objects.create(turn=turn, step=1, role=Message.Role.ASSISTANT)
    Part.objects.create(message=answer, position=0, kind=Part.Kind.REASONING, text="walrus, carpenter")
    assert [hit.role for hit in reports.search(alice, "carpenter walrus", most=9)] == ["user"]
    assert reports.search(alice, "carpenter oyster", most=9) == []
    assert reports.search(alice, "\x00", most=9) == []
    assert Conversation.objects.get().title in reports.search(alice, "walrus", most=9)[0].title


def test_a_report_names_what_an_agent_of_the_turn_waits_for(alice: User, scripted_model: ServedModel) -> None:
    parent = Scene(alice, status=Turn.Status.WAITING, finish_reason="", waiting_for="agents")
    agent = scenes.waiting(alice, "approval", prompt="It costs money.")
    Turn.objects.filter(id=agent.id).update(spawned_by=parent.turn)
    [run] = reports.report(alice, parent.turn.id).waiting
    assert (run.tool, run.waiting_for, run.prompt) == ("fetch_file", "approval", "It costs money.")
