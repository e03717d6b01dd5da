"""How a page shows a run of many steps: its phases, one call, one kind of calls; and what a limit leaves."""

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from chat import folding, history
from chat.models import Turn
from tests.pages import scenes
from webapp.accounts.models import User

HTMX = {"HX-Request": "true"}
pytestmark = pytest.mark.usefixtures("scripted_model")
PHASES = ("Find the study", "Collect populations", "Write it up")


def page_of(client: Client, turn: Turn) -> str:
    return client.get(reverse("conversation", args=[turn.conversation_id])).content.decode()


def planned(user: User, **fields: Any) -> Turn:
    """Two phases of seven steps are done; the third is under way."""
    scene = scenes.Scene(user, **fields)
    for under_way in range(len(PHASES)):
        lines = [{"text": text, "phase": f"p{place}"} for place, text in enumerate(PHASES)]
        for place, line in enumerate(lines):
            line["status"] = "done" if place < under_way else "doing" if place == under_way else "todo"
        scene.step({"name": "plan", "arguments": {"lines": lines}, "result": "Saved."})
        for number in range(6):
            failed = (under_way, number) == (0, 3)
            result = "Traceback (most recent call last):\n  x\nKeyError: 7" if failed else "8 results"
            scene.step(
                {
                    "name": "web_search",
                    "arguments": {"query": str(number)},
                    "result": result,
                    "is_error": failed,
                }
            )
    scene.plan(("p0", PHASES[0], "done"), ("p1", PHASES[1], "done"), ("p2", PHASES[2], "doing"))
    return scene.turn


def test_phases_are_named_by_the_plan_and_a_failure_shows_through_the_fold(
    alices_client: Client, alice: User
) -> None:
    turn = planned(alice, status=Turn.Status.RUNNING, finish_reason="")
    laid_out = folding.stretches(history.turn_view(turn).steps, is_live=True)
    assert [(one.title, one.fault) for one in laid_out if one.kind == "folded"][1:3] == [
        (PHASES[0], "KeyError: 7"),
        (PHASES[1], ""),
    ]
    page = page_of(alices_client, turn)
    assert "KeyError: 7" in page
    assert re.search(r'phase--live.*?fold__title">Write it up<', page)
    assert "about 1 min left" in page


def test_three_hundred_steps_are_twelve_phases_at_most_without_a_plan(alice: User) -> None:
    for num_steps in (13, 120, 121, 299):
        steps = history.turn_view(scenes.long(alice, num_steps=num_steps)).steps
        assert sum(one.kind == "folded" for one in folding.stretches(steps, is_live=False)) <= 12


def test_a_growing_turn_keeps_its_folds_or_doubles_them(alice: User) -> None:
    steps = history.turn_view(scenes.long(alice, num_steps=300)).steps
    before = {
        (one.first, one.last)
        for one in folding.stretches(steps[:110], is_live=True)
        if one.kind == "folded" and one.last % 10 == 0
    }
    after = [one for one in folding.stretches(steps, is_live=True) if one.kind == "folded"]
    assert all(any(one.first <= first and last <= one.last for one in after) for first, last in before)


def test_a_call_is_shown_whole_with_its_neighbours_and_as_json(alices_client: Client, alice: User) -> None:
    turn = planned(alice)
    ids = [call.id for step in history.turn_view(turn).steps for call in step.tool_calls]
    page = alices_client.get(reverse("call", args=[turn.pk]), {"call": ids[4]}).content.decode()
    assert "Failed" in page
    assert "KeyError: 7" in page
    assert all(f"call={one.replace(':', '%3A')}" in page for one in (ids[3], ids[5]))
    raw = page.split('id="call-raw">')[1].split("</code>")[0].replace("&quot;", '"').replace("&#x27;", "'")
    assert json.loads(raw)["arguments"] == {"query": "3"}
    assert alices_client.get(reverse("call", args=[turn.pk]), {"call": "nobody"}).status_code == 404


def test_one_kind_of_calls_is_listed(alices_client: Client, alice: User) -> None:
    turn = planned(alice)
    rows = reverse("call_rows", args=[turn.pk])
    assert alices_client.get(rows, {"kind": "search"}).content.decode().count('data-fold="call-') == 17
    assert "KeyError: 7" in alices_client.get(rows, {"kind": "error"}).content.decode()
    assert alices_client.get(rows, {"kind": "anything"}).status_code == 404


def test_another_s_calls_are_not_to_be_seen(client: Client, alice: User, bob: User) -> None:
    turn = planned(alice)
    client.force_login(bob)
    for name in ("call", "call_rows", "turn_folds"):
        assert client.get(reverse(name, args=[turn.pk]), {"kind": "search"}).status_code == 404
    assert client.post(reverse("discard_turn", args=[turn.pk])).status_code == 404
    assert Turn.objects.filter(pk=turn.pk).exists()


def unanswered(user: User, **fields: Any) -> Turn:
    scene = scenes.Scene(user, finish_reason="length", **fields)
    return scene.step({"name": "web_search", "result": "8 results"}, think="Look.").turn


def test_a_run_that_a_limit_ended_without_an_answer_says_so(alices_client: Client, alice: User) -> None:
    turn = unanswered(alice, limit="cost", max_cost_nano=2_000_000_000)
    page = page_of(alices_client, turn)
    for words in (
        "Stopped at step 1: cost limit of $2.00 reached",
        "there is no answer yet",
        "Continue with $1.00 more",
        'name="cost" value="1"',
        "Answer now",
        "Discard the run",
    ):
        assert words in page


@pytest.mark.parametrize("children", [0, 1])
def test_a_run_is_discarded_unless_something_hangs_on_it(
    alices_client: Client, alice: User, children: int
) -> None:
    turn = unanswered(alice, limit="seconds")
    if children:
        later = scenes.Scene(alice).turn
        Turn.objects.filter(pk=later.pk).update(parent=turn, conversation=turn.conversation)
    answer = alices_client.post(reverse("discard_turn", args=[turn.pk]), headers=HTMX)
    assert answer.status_code == 200
    assert Turn.objects.filter(pk=turn.pk).exists() == bool(children)


def test_a_wrong_amount_is_refused_where_it_was_given(alices_client: Client, alice: User) -> None:
    turn = unanswered(alice, limit="cost", max_cost_nano=2_000_000_000)
    word = {"client_id": str(uuid4()), "cost": "a lot"}
    answer = alices_client.post(reverse("continue", args=[turn.pk]), word, headers=HTMX)
    assert answer.status_code == 422
    assert "must be an amount of money above zero" in answer.content.decode()
