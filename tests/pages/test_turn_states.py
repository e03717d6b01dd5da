"""What a turn's page shows of waiting calls, plans, notes, agents and limits, and what can be said to it."""

import json

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.tooling import policy
from chat.models import Artifact, PlanItem, ToolRun, Turn
from tests.pages import scenes
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

HTMX = {"HX-Request": "true"}
pytestmark = pytest.mark.usefixtures("scripted_model")


def page_of(client: Client, turn: Turn) -> str:
    return client.get(reverse("conversation", args=[turn.conversation_id])).content.decode()


def word_on(turn: Turn, decision: str, **more: str) -> dict[str, str]:
    run = turn.tool_runs.get(state=ToolRun.State.WAITING)
    return {"call": run.call_id, "shown": run.arguments_sha256, "decision": decision} | more


def test_a_call_that_waits_is_shown_with_its_exact_arguments_and_why(
    alices_client: Client, alice: User
) -> None:
    turn = scenes.waiting(alice, "approval", prompt=policy.AFTER_OUTSIDE_TEXT)
    page = page_of(alices_client, turn)
    assert "Let it use “fetch file”?" in page
    assert "&quot;save_as&quot;: &quot;t.tif&quot;" in page
    assert policy.AFTER_OUTSIDE_TEXT in page
    assert "6 days to decide" in page
    assert 'class="dot"' in page


def test_a_person_approves_without_any_script(alices_client: Client, alice: User) -> None:
    turn = scenes.waiting(alice, "approval")
    answer = alices_client.post(reverse("decide", args=[turn.pk]), word_on(turn, "approved"))
    assert answer.status_code == 302
    assert f"#turn-{turn.pk}" in answer["Location"]
    assert turn.tool_runs.get(tool="fetch_file").decision == "approved"


def test_changed_arguments_are_run_instead_of_the_shown_ones(alices_client: Client, alice: User) -> None:
    turn = scenes.waiting(alice, "approval")
    word = word_on(turn, "edited", edited='{\r\n "url": "https://example.org/small.tif"}')
    assert alices_client.post(reverse("decide", args=[turn.pk]), word, headers=HTMX).status_code == 200
    run = turn.tool_runs.order_by("edition").last()
    assert run is not None
    assert (run.edition, json.loads(run.arguments)) == (1, {"url": "https://example.org/small.tif"})


def test_arguments_that_changed_meanwhile_are_not_approved(alices_client: Client, alice: User) -> None:
    turn = scenes.waiting(alice, "approval")
    word = word_on(turn, "approved") | {"shown": "0" * 64}
    answer = alices_client.post(reverse("decide", args=[turn.pk]), word, headers=HTMX)
    assert answer.status_code == 422
    assert "has changed since it was shown" in answer.content.decode()
    assert turn.tool_runs.get(tool="fetch_file").decision == ""


@pytest.mark.parametrize(("choice", "own", "said"), [("2015", "", "2015"), ("", "Both", "Both")])
def test_a_question_is_answered_by_a_choice_or_in_own_words(
    alices_client: Client, alice: User, choice: str, own: str, said: str
) -> None:
    turn = scenes.question(alice)
    assert page_of(alices_client, turn).count('type="radio" name="answer"') == 3
    word = word_on(turn, "answered", answer=choice, own=own)
    alices_client.post(reverse("decide", args=[turn.pk]), word, headers=HTMX)
    assert turn.tool_runs.get(tool="ask_user").answer == said


def test_a_person_says_whether_it_happened_before_a_crash(alices_client: Client, alice: User) -> None:
    turn = scenes.waiting(alice, "outcome", name="send_mail")
    assert "it may or may not have happened" in page_of(alices_client, turn)
    alices_client.post(reverse("decide", args=[turn.pk]), word_on(turn, "happened"), headers=HTMX)
    assert turn.tool_runs.get(tool="send_mail").decision == "happened"


def test_a_proposed_plan_is_approved_as_the_person_wrote_it(alices_client: Client, alice: User) -> None:
    turn = scenes.proposed_plan(alice)
    assert "# gather\n[ ] Find the study" in page_of(alices_client, turn)
    word = word_on(turn, "edited", plan="# gather\r\n[ ] Ask the authors\r\n")
    alices_client.post(reverse("decide", args=[turn.pk]), word, headers=HTMX)
    run = turn.tool_runs.order_by("edition").filter(tool="plan").last()
    assert run is not None
    assert [line["text"] for line in json.loads(run.arguments)["lines"]] == ["Ask the authors"]


def test_another_s_call_cannot_be_decided(client: Client, alice: User, bob: User) -> None:
    turn = scenes.waiting(alice, "approval")
    client.force_login(bob)
    assert client.post(reverse("decide", args=[turn.pk]), word_on(turn, "approved")).status_code == 404
    for name in ("turn", "audit", "reasoning_graph"):
        assert client.get(reverse(name, args=[turn.pk])).status_code == 404
    assert turn.tool_runs.get(tool="fetch_file").decision == ""


def test_notes_drafts_and_undone_steps_are_shown_as_what_they_are(alices_client: Client, alice: User) -> None:
    page = page_of(alices_client, scenes.noted(alice))
    for words in (
        "80 % of the limit used (steps)",
        "search was called 3 times in the same way",
        "Went back to step 1",
        "Dividing by the number of cities is wrong.",
        "Earlier results were put away, up to step 1",
        "A draft that was sent back",
        "Steps that were undone",
        "2 of 3 sentences proved",
        "(25 % at hand)",
    ):
        assert words in page


def test_the_answer_holds_neither_drafts_nor_undone_steps(alices_client: Client, alice: User) -> None:
    page = page_of(alices_client, scenes.noted(alice))
    [answer] = [piece.split("</textarea>")[0] for piece in page.split('data-slot="markdown">')[1:]]
    assert answer.startswith("It was **39 %** of deaths")


def test_citations_open_their_passage_and_doubts_their_reason(alices_client: Client, alice: User) -> None:
    turn = scenes.noted(alice)
    page = page_of(alices_client, turn)
    assert f'popovertarget="passage-{turn.pk}-7"' in page
    assert f'id="passage-{turn.pk}-7" popover' in page
    assert scenes.PASSAGE in page
    assert '<mark class="doubt">The program cost 12 million euros.</mark>' in page
    assert "<code>x[7]</code>" in page


def test_a_plan_is_changed_while_the_turn_runs(alices_client: Client, alice: User) -> None:
    turn = scenes.waiting(alice, "approval")
    PlanItem.objects.create(turn=turn, position=0, phase="gather", text="Find it", status="doing")
    assert "0 of 1 done" in page_of(alices_client, turn)
    url = reverse("edit_plan", args=[turn.pk])
    answer = alices_client.post(url, {"plan": "# gather\n[x] Find it\n[ ] Weigh it"}, headers=HTMX)
    assert "1 of 2 done" in answer.content.decode()
    refused = alices_client.post(url, {"plan": "# only a phase"}, headers=HTMX)
    assert refused.status_code == 422
    assert "A plan has between one and sixty lines" in refused.content.decode()


def test_the_paths_of_a_heavy_turn_stand_under_their_answers_the_most_votes_first(
    alices_client: Client, alice: User
) -> None:
    page = page_of(alices_client, scenes.heavy(alice))
    assert "8 paths, one answer" in page
    assert page.count("data-agent=") == 8
    assert page.count("5 of 8 agree") == page.count("2 of 8<") == page.count("At work") == 1
    assert page.index("5 of 8 agree") < page.index("2 of 8<") < page.index("At work")
    assert "15 steps" in page
    assert page.count("lane--win") == 5
    assert "$0.19" in page


def test_a_waiting_agent_is_decided_on_its_turn_s_page(alices_client: Client, alice: User) -> None:
    parent = scenes.Scene(alice, status=Turn.Status.WAITING, finish_reason="", waiting_for="agents")
    agent = scenes.waiting(alice, "approval")
    Turn.objects.filter(pk=agent.pk).update(
        spawned_by=parent.turn, conversation=parent.turn.conversation, role="coder"
    )
    page = page_of(alices_client, parent.turn)
    assert "Let it use “fetch file”?" in page
    assert reverse("decide", args=[agent.pk]) in page


def test_a_turn_that_a_limit_ended_offers_to_go_on(alices_client: Client, alice: User) -> None:
    page = page_of(alices_client, scenes.long(alice, num_steps=5))
    assert "Stopped at step 5: limit of 5 steps reached" in page
    assert "It has answered with what it knew by then." in page
    assert "Continue with 50 more steps" in page
    assert "Answer now" not in page  # it has


def test_three_hundred_steps_are_a_small_page_in_few_queries(alices_client: Client, alice: User) -> None:
    turn = scenes.long(alice)
    with CaptureQueriesContext(connection) as queries:
        page = page_of(alices_client, turn)
    assert len(queries) <= 29
    assert page.count('class="fold"') <= 14
    assert len(page) < 120_000
    steps = alices_client.get(reverse("turn_steps", args=[turn.pk, 1, 25])).content.decode()
    assert steps.count('class="call') >= 25


def test_both_records_of_a_turn_can_be_downloaded(alices_client: Client, alice: User) -> None:
    turn = scenes.noted(alice)
    log = alices_client.get(reverse("audit", args=[turn.pk]))
    assert "attachment" in log["Content-Disposition"]
    assert all(json.loads(line) for line in log.content.decode().splitlines())
    graph = alices_client.get(reverse("reasoning_graph", args=[turn.pk]))
    assert json.loads(graph.content)["turn"] == str(turn.pk)


def test_the_composer_offers_heavy_and_every_limit(
    alices_client: Client, scripted_model: ServedModel
) -> None:
    page = alices_client.get("/").content.decode()
    assert 'data-effort="heavy"' in page
    for name in ("max_steps", "max_seconds", "max_reasoning_tokens", "max_total_tokens", "max_cost"):
        assert f'name="{name}"' in page
    assert 'name="max_calls_per_tool"' in page
    assert 'name="plan_needs_approval"' in page


def test_what_a_call_left_is_shown_when_it_is_a_picture_and_else_only_kept(
    alices_client: Client, client: Client, alice: User, bob: User
) -> None:
    turn = scenes.Scene(alice).step({"name": "python", "result": "done"}).step(text="See the plot.").turn
    call = turn.tool_runs.get().call_id
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    files = {"plot.png": ("image/png;base64", pixel), "page.html": ("text/html", "<script>1</script>")}
    for name, (media_type, text) in files.items():
        Artifact.objects.create(
            turn=turn, call_id=call, name=name, media_type=media_type, text=text, sha256=""
        )
    page = page_of(alices_client, turn)
    shown, kept = (reverse("artifact", args=[turn.artifacts.get(name=name).pk]) for name in files)
    assert f'<img src="{shown}"' in page
    assert f'<img src="{kept}"' not in page
    assert alices_client.get(shown)["Content-Type"] == "image/png"
    download = alices_client.get(kept)
    assert download["Content-Type"] == "text/plain; charset=utf-8"
    assert "attachment" in download["Content-Disposition"]
    client.force_login(bob)
    assert client.get(shown).status_code == 404
