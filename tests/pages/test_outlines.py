"""What is read of a chat's texts when its page is opened, and what when something is unfolded."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from chat import folding, history, outlines
from chat.models import Turn
from tests.pages import scenes
from tests.rows_read import counted
from webapp.accounts.models import User

pytestmark = pytest.mark.usefixtures("scripted_model")
HUGE = "start of it\n" + "0123456789" * 400_000 + "\nthe very end"


def test_a_run_of_three_hundred_steps_opens_with_few_texts_read(alices_client: Client, alice: User) -> None:
    chat = scenes.conversation(alice, num_turns=4, num_steps=300)
    with counted() as read:
        page = alices_client.get(reverse("conversation", args=[chat.pk])).content.decode()
    assert page.count(scenes.PROSE[:40]) >= 4, "the answers are there"
    assert read.num_bytes < 200_000
    turn = chat.turns.order_by("created_at")[2]
    unfolded = alices_client.get(reverse("turn_steps", args=[turn.pk, 11, 20])).content.decode()
    assert unfolded.count(scenes.PROSE[100:140]) == 10, "and the results once they are asked for"


@pytest.mark.parametrize("is_error", [False, True])
def test_of_four_megabytes_of_output_a_page_reads_the_two_ends(
    alices_client: Client, alice: User, is_error: bool
) -> None:
    call = {"name": "run_python", "arguments": {"code": "go()"}, "result": HUGE, "is_error": is_error}
    turn = scenes.Scene(alice).step(call).step(text="Done.").turn
    with counted() as read:
        page = alices_client.get(reverse("conversation", args=[turn.conversation_id])).content.decode()
    assert read.num_bytes < 20_000
    assert "start of it" in page
    assert "Show all 4,000,025 characters" in page
    whole = alices_client.get(reverse("turn_result", args=[turn.pk]), {"call": "functions.run_python:10"})
    assert "the very end" in whole.content.decode()


@pytest.mark.parametrize("is_live", [False, True])
@pytest.mark.parametrize("num_steps", [3, 12, 13, 40])
def test_what_a_page_lays_open_is_read_and_every_line_says_the_same(
    alice: User, num_steps: int, is_live: bool
) -> None:
    state: dict[str, Any] = {"status": Turn.Status.RUNNING, "finish_reason": ""} if is_live else {}
    scene = scenes.Scene(alice, **state)
    for number in range(1, num_steps):
        failed = number % 7 == 0
        call = {"name": "search", "arguments": {"query": "x"}, "result": f"r{number}", "is_error": failed}
        scene.step(call, think=f"t{number}")
        if number == 20:
            scene.note("rollback", "Wrong.", to_step=15, snapshot="")
    scene.step(text="The answer.")
    whole = Turn.objects.get(pk=scene.turn.pk)
    outlined = Turn.objects.get(pk=scene.turn.pk)
    outlines.read([outlined])
    expected = folding.stretches(history.steps_of(whole), is_live=is_live)
    shown = folding.stretches(history.steps_of(outlined), is_live=is_live)
    for one, other in zip(expected, shown, strict=True):
        assert (one.kind, one.title, one.fault, one.tally) == (
            other.kind,
            other.title,
            other.fault,
            other.tally,
        )
        assert one.duration_ms == other.duration_ms
        if one.kind is not folding.Kind.FOLDED:
            assert one.steps == other.steps
    assert history.final_text(history.steps_of(outlined)) == history.final_text(history.steps_of(whole))
