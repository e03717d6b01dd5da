"""Runs: a program starts a thinking agent, follows its events from any number, decides what it asks, stops
it, goes on with it, takes it away as a file; and knows before what it may cost."""

import json
import uuid
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from chat import dispatch
from chat.models import Turn
from inference.backends.scripted import Reply
from tests.api.test_background import worker  # noqa: F401
from tests.api.test_chat_completions import price
from tests.services import wait_until
from webapp.accounts import keys, teams
from webapp.accounts.models import Membership
from webapp.billing import accounts
from webapp.billing.models import Account, Hold, UsageRecord

ASK = 'call: ask_user {"question": "Which colour?"}'


@pytest.fixture
def http(client, server, secret, scripted_model):
    scripted_model.thinking_dialect = scripted_model.ThinkingDialect.THINKING_TYPE
    scripted_model.save()
    headers = {"authorization": f"Bearer {secret}"}
    with httpx2.Client(base_url=f"{server}/v1", headers=headers, timeout=60, trust_env=False) as http:
        yield http


def events(http, run, **headers) -> list[tuple[int, str, dict[str, Any]]]:
    """Number, name and data of each."""
    told = []
    answer = http.get(
        f"/runs/{run['id']}/events", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    for block in answer.text.strip().split("\n\n"):
        if block.startswith("id: "):
            number, name, data = block.split("\n")
            told.append((int(number[4:]), name[7:], json.loads(data[6:])))
    return told


def start(http, input="What is 2 + 2?", **options) -> dict[str, Any]:
    answer = http.post("/runs", json={"input": input, "model": "scripted", **options})
    assert answer.status_code == 201, answer.text
    run: dict[str, Any] = answer.json()
    return run


def at_rest(http, run: dict[str, Any]) -> dict[str, Any]:
    def is_at_rest():
        nonlocal run
        run = http.get(f"/runs/{run['id']}").json()
        return run["status"] in ("finished", "waiting")

    wait_until(is_at_rest, within_s=60, what="the run's rest", every_s=0.1)
    return run


def test_a_run_is_followed_resumed_billed_and_exported(http, worker, script, scripted_model):  # noqa: F811
    price(scripted_model, input_per_million=1, cached_input_per_million=1, output_per_million=2)
    script(
        Reply(step=1, lines=("think: look", 'call: calculate {"expression": "2 + 2"}')),
        Reply(step=2, lines=("text: It is four.",)),
    )
    id = str(uuid.uuid4())
    run = start(http, id=id, limits={"max_cost": "0.5"})
    assert start(http, id=id)["id"] == run["id"]
    told = events(http, run)
    numbers = [number for number, _name, _data in told]
    assert numbers == list(range(1, len(told) + 1))
    names = [name for _number, name, _data in told]
    assert (names[0], names[-1]) == ("turn.started", "turn.finished")
    assert "tool_call.finished" in names
    assert events(http, run, last_event_id="3") == told[3:]
    run = at_rest(http, run)
    assert (run["status"], run["output"], run["finish_reason"]) == ("finished", "It is four.", "stop")
    record = UsageRecord.objects.get()
    assert run["usage"]["output_tokens"] == record.output_tokens
    assert Decimal(run["cost"]["amount"]) * 10**9 == record.cost_nano
    assert record.api_key is not None
    [listed] = http.get("/runs").json()["data"]
    assert (listed["id"], listed["status"]) == (run["id"], "finished")
    assert "It is four." in http.get(f"/runs/{run['id']}/export?format=markdown").text
    lines = http.get(f"/runs/{run['id']}/export?format=log").text.splitlines()
    assert len([json.loads(line) for line in lines]) > 5


def test_a_run_that_is_asked_for_twice_under_one_key_begins_once(http, script):
    script("text: Four.")
    keyed = {"idempotency-key": "run-7"}
    asked = {"input": "What is 2 + 2?", "model": "scripted"}
    refused = http.post("/runs", json=asked | {"model": "nobody"}, headers=keyed)
    assert refused.status_code == 404, "what was refused may be asked for again, mended"
    first, again = (http.post("/runs", json=asked, headers=keyed) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201), again.text
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json()["id"] == again.json()["id"]
    other = http.post("/runs", json=asked | {"input": "What is 3 + 3?"}, headers=keyed)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert Turn.objects.count() == 1
    other = start(http)
    assert other["id"] != first.json()["id"], "without a key each call begins one"
    for run in (first.json(), other):
        http.post(f"/runs/{run['id']}/cancel")


def test_a_run_that_asks_goes_on_with_the_answer_and_another_goes_on_from_it(http, worker, script):  # noqa: F811
    script(
        Reply(when="colour", step=1, lines=(ASK,)),
        Reply(when="colour", step=2, lines=("text: Blue, then.",)),
        Reply(lines=("text: Gladly.",)),
    )
    run = at_rest(http, start(http, "Paint it in a colour."))
    [waiting] = run["waiting"]
    assert (run["status"], waiting["tool"], waiting["waiting_for"]) == ("waiting", "ask_user", "answer")
    word = {"call_id": waiting["call_id"], "decision": "answered", "arguments": waiting["arguments"]}
    wrong = http.post(f"/runs/{run['id']}/approve", json=word | {"call_id": "none", "answer": "blue"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (404, "unknown_call")
    for _ in range(2):
        assert http.post(f"/runs/{run['id']}/approve", json=word | {"answer": "blue"}).status_code == 200
    run = at_rest(http, run)
    assert run["output"] == "Blue, then."
    after = at_rest(http, start(http, "Thank you.", after=run["id"]))
    assert (after["output"], after["conversation"]) == ("Gladly.", run["conversation"])
    exported = [http.get(f"/runs/{one['id']}/export").json()["exchanges"] for one in (run, after)]
    assert [[said["answer"] for said in one] for one in exported] == [["Blue, then."], ["Gladly."]]


def test_a_run_is_cancelled_and_one_that_a_limit_ended_goes_on(http, worker, script):  # noqa: F811
    script("text: one two three", "wait: 60")
    run = start(http)
    wait_until(lambda: Turn.objects.get().status == "running", within_s=30, what="the run")
    for _ in range(2):
        assert http.post(f"/runs/{run['id']}/cancel").status_code == 200
    run = at_rest(http, run)
    assert run["finish_reason"] == "cancelled"
    refused = http.post(f"/runs/{run['id']}/continue")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "nothing_to_continue")
    calls = [Reply(step=step, lines=(f'call: calculate {{"expression": "{step} + 1"}}',)) for step in (1, 2)]
    script(*calls, Reply(when="Go on", lines=("text: Done.",)), Reply(lines=("text: Enough.",)))
    limited = at_rest(http, start(http, limits={"max_steps": 2}))
    assert limited["limit"] == "steps"
    further = at_rest(http, http.post(f"/runs/{limited['id']}/continue", json={"steps": 3}).json())
    assert further["status"] == "finished"
    assert Turn.objects.get(id=uuid.UUID(further["id"][4:])).continues_id is not None


def test_what_it_may_cost_is_known_before_and_takes_nothing(http, script, scripted_model, alice):
    price(scripted_model, input_per_million=1_000, cached_input_per_million=500, output_per_million=2_000)
    before = Account.objects.get(user=alice).balance_nano
    chat = {"model": "scripted", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}
    quote = http.post("/quote", json={"url": "/v1/chat/completions", "body": chat}).json()
    assert quote == http.post("/chat/completions", json=chat, headers={"x-dry-run": "true"}).json()
    most = quote["max_input_tokens"] * Decimal("0.001") + 100 * Decimal("0.002")
    assert Decimal(quote["max_cost"]) == most
    assert 0 < Decimal(quote["expected_cost"]) <= most
    assert (quote["object"], quote["currency"], quote["available"]) == ("quote", "USD", "5")
    for path in ("/messages", "/responses"):
        body = chat if path == "/messages" else {"model": "scripted", "input": "Hello"}
        assert http.post(path, json=body, headers={"x-dry-run": "1"}).json()["object"] == "quote"
    run = {"input": "Hello", "model": "scripted", "limits": {"max_cost": "0.25"}}
    quote = http.post("/runs", json=run, headers={"x-dry-run": "true"}).json()
    assert (quote["object"], quote["max_cost"], quote["expected_cost"]) == ("quote", "0.25", None)
    assert not Hold.objects.exists()
    assert not Turn.objects.exists()
    assert Account.objects.get(user=alice).balance_nano == before


def test_what_is_wrong_is_named_and_another_persons_run_is_not_there(http, script, server, bob):
    script("text: Four.")
    bad: list[tuple[dict[str, Any], int, str]] = [
        ({"input": ""}, 400, "input"),
        ({"model": "nobody"}, 404, "model"),
        ({"effort": "much"}, 400, "effort"),
        ({"limits": {"max_steps": 0}}, 400, "limits"),
        ({"limits": {"max_everything": 1}}, 400, "limits"),
        ({"after": "run_none"}, 404, "run"),
        ({"team": "nobody"}, 400, "team"),
    ]
    for change, status, param in bad:
        answer = http.post("/runs", json={"input": "Hello", "model": "scripted"} | change)
        assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), change
    run = start(http)
    assert http.get(f"/runs/{run['id']}/export").status_code == 409
    assert http.get(f"/runs/{run['id']}/export?format=doc").status_code == 400
    assert http.get("/runs?limit=0").status_code == 400
    assert http.put(f"/runs/{run['id']}").status_code == 405
    stranger = {"authorization": f"Bearer {keys.create(bob, name='test')[1]}"}
    for path in ("", "/events", "/export"):
        assert http.get(f"/runs/{run['id']}{path}", headers=stranger).status_code == 404
    for path in ("/cancel", "/continue"):
        assert http.post(f"/runs/{run['id']}{path}", headers=stranger).status_code == 404
    assert http.get("/runs", headers=stranger).json()["data"] == []
    http.post(f"/runs/{run['id']}/cancel")


def test_a_projects_key_sees_no_private_run_and_a_lost_one_pays_for_none(
    http,
    worker,  # noqa: F811
    script,
    scripted_model,
):
    price(scripted_model, input_per_million=1, cached_input_per_million=1, output_per_million=2)
    script(Reply(step=1, lines=("text: Mine.",)))
    run = at_rest(http, start(http))
    user = Turn.objects.get().conversation.user
    request_id = UsageRecord.objects.get().reference
    team = teams.create(user, name="Urban heat")
    service, secret = keys.create(user, name="service", project=team.projects.get())
    accounts.top_up(accounts.of_team(team), Decimal(5), "")
    of_project = {"authorization": f"Bearer {secret}"}
    for path in (f"/runs/{run['id']}", f"/runs/{run['id']}/export", f"/receipts/{request_id}"):
        assert http.get(path).status_code == 200, path
        assert http.get(path, headers=of_project).status_code == 404, path
    assert http.get("/runs", headers=of_project).json()["data"] == []
    assert http.get("/usage", headers=of_project).json()["data"] == []

    its = http.post("/runs", json={"input": "Hi", "model": "scripted"}, headers=of_project).json()
    its = at_rest(http, its)
    assert [one["id"] for one in http.get("/runs", headers=of_project).json()["data"]] == [its["id"]]
    turn = Turn.objects.select_related("hold").get(id=its["id"].removeprefix("run_"))
    assert dispatch._paying_key(turn) == service
    Membership.objects.all().delete()
    assert dispatch._paying_key(turn) is None
