"""Thumbs with reasons: given, changed, taken back; read by the operator, the chat itself only by consent."""

import csv
import io

import pytest
from django.test import Client

from chat.models import Feedback, Turn
from tests.pages.conftest import MakeTurn
from webapp.accounts.models import User


def of(turn: Turn) -> Feedback:
    return Feedback.objects.get(turn=turn)


def test_a_thumb_counts_at_once_and_its_reasons_may_follow(
    alices_client: Client, make_turn: MakeTurn
) -> None:
    turn = make_turn("How old is the oak?", "Four hundred years.")
    where = f"/turns/{turn.id}/feedback/"
    answer = alices_client.post(where, {"thumb": "bad"}, headers={"HX-Request": "true"}).content.decode()
    assert not of(turn).is_good
    assert "What was wrong with it?" in answer
    assert 'aria-label="Bad answer" aria-pressed="true"' in answer
    alices_client.post(
        where, {"reasons": ["wrong", "made_up"], "note": "It is 80."}, headers={"HX-Request": "true"}
    )
    assert (of(turn).reason_list, of(turn).note, of(turn).shows_turn) == (
        ["wrong", "made_up"],
        "It is 80.",
        False,
    )
    page = alices_client.get(f"/c/{turn.conversation_id}/").content.decode()
    assert 'aria-label="Bad answer" aria-pressed="true"' in page


def test_the_other_thumb_forgets_the_reasons_and_it_can_all_be_taken_back(
    alices_client: Client, make_turn: MakeTurn
) -> None:
    turn = make_turn("How old is the oak?", "Four hundred years.")
    where = f"/turns/{turn.id}/feedback/"
    for data in ({"thumb": "bad"}, {"reasons": ["slow"], "note": "Ten minutes."}, {"thumb": "bad"}):
        alices_client.post(where, data)
    assert of(turn).note == "Ten minutes."  # the same thumb again keeps it
    alices_client.post(where, {"thumb": "good"})
    assert (of(turn).is_good, of(turn).reasons, of(turn).note) == (True, "", "")
    refused = alices_client.post(where, {"reasons": ["wrong"], "note": "x"})  # no reason for praise
    assert (refused.status_code, of(turn).reasons) == (302, "")
    alices_client.post(where, {"thumb": "none"})
    assert not Feedback.objects.exists()


def test_nobody_rates_what_is_not_theirs_or_not_over(
    client: Client, bob: User, alices_client: Client, make_turn: MakeTurn
) -> None:
    turn = make_turn("Mine", "Yes.")
    running = make_turn("Still", status=Turn.Status.RUNNING)
    client.force_login(bob)
    assert client.post(f"/turns/{turn.id}/feedback/", {"thumb": "good"}).status_code == 404
    client.force_login(turn.conversation.user)
    assert client.post(f"/turns/{running.id}/feedback/", {"thumb": "good"}).status_code == 404
    assert client.get(f"/turns/{turn.id}/feedback/").status_code == 404


@pytest.mark.parametrize("shows_turn", [True, False])
def test_the_operator_reads_reasons_and_the_chat_only_by_consent(
    admin_client: Client, alice: User, make_turn: MakeTurn, shows_turn: bool
) -> None:
    turn = make_turn("How old is the oak?", "Four hundred years.")
    given = Feedback.objects.create(
        turn=turn, user=alice, is_good=False, reasons="wrong slow", note="It is 80.", shows_turn=shows_turn
    )
    listed = admin_client.get("/admin/chat/feedback/", {"reason": "slow"}).content.decode()
    assert "It is 80." in listed
    assert (
        "It is 80." not in admin_client.get("/admin/chat/feedback/", {"reason": "harmful"}).content.decode()
    )
    page = admin_client.get(f"/admin/chat/feedback/{given.pk}/change/").content.decode()
    assert ("Four hundred years." in page) is shows_turn
    assert ("How old is the oak?" in page) is shows_turn


def test_the_table_takes_no_formula_into_a_spreadsheet(
    admin_client: Client, alice: User, make_turn: MakeTurn
) -> None:
    notes = ['=HYPERLINK("http://evil.test")', "Fine, thanks"]
    rows = [
        Feedback.objects.create(turn=make_turn("Q", "A"), user=alice, is_good=True, note=note)
        for note in notes
    ]
    picked = {"action": "as_csv", "_selected_action": [row.pk for row in rows]}
    answer = admin_client.post("/admin/chat/feedback/", picked)
    table = list(csv.DictReader(io.StringIO(b"".join(answer).decode("utf-8-sig"))))
    assert [row["note"] for row in table] == ["'" + notes[0], notes[1]]
    assert {row["model"] for row in table} == {"scripted"}
