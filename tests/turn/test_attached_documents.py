"""Documents in turns with agents, in later turns, in the log and the export; driven by hand."""

import io
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from agents.documents.extraction import BoundedExtractor
from agents.tool import Trust
from chat import (
    attachments,
    audit,
    dispatch,
    documents,
    evidence,
    history,
    openings,
    resume,
    toolsets,
    turns,
    warm,
)
from chat.frames import TurnContinue, TurnSend
from chat.models import Attachment, Passage, Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.documents import files
from tests.turn.test_heavy import SPAWN, agents_of, drive_all, drive_one
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)

Ask = Callable[..., Turn]
REPORT = files.pdf(["Lakes of the north.", "Lake Orsa is 94 m deep.", "It has twelve islands."])


@pytest.fixture
def ask(alice: User, scripted_model: ServedModel) -> Ask:
    def start(text: str, *given: Attachment, **fields: Any) -> Turn:
        ids = [str(one.id) for one in given]
        command = TurnSend(
            client_id=str(uuid4()), text=text, model="scripted", long_thinking=True, attachments=ids, **fields
        )
        return dispatch.submit_turn(alice, command)

    return start


@pytest.fixture
def report(alice: User) -> Attachment:
    return given(alice, "lakes.pdf", REPORT)


def given(user: User, name: str, body: bytes) -> Attachment:
    attachment = attachments.keep(attachments.begin(user, name=name, num_bytes=len(body)), io.BytesIO(body))
    attachments.read(attachment.id, BoundedExtractor())
    attachment.refresh_from_db()
    assert attachment.state == "ready"
    return attachment


def told(turn: Turn) -> str:
    text = documents.question(turn, history.user_text(turn))
    return openings.messages(turn, text=text)[-1].content


def test_every_trajectory_reads_the_same_document_and_what_it_cites_stays_cited(
    ask: Ask, script: WriteScript, report: Attachment
) -> None:
    script(
        Reply(when="Final answer: ", lines=("text: It is clear [2]. Final answer: 94",)),
        Reply(lines=("text: Lake Orsa is 94 m deep [2].",)),
    )
    turn = ask("How deep is it?", report, effort="heavy")
    drive_all()
    turn.refresh_from_db()
    agents = agents_of(turn)
    assert len(agents) == 8
    block = told(turn).removesuffix("How deep is it?")
    assert "[2] lakes.pdf, p. 2\nLake Orsa is 94 m deep." in block
    assert all(told(agent).startswith(block) for agent in agents)
    [cited] = [one for one in evidence.citations_of(turn) if one.cited]
    assert (cited.number, cited.title) == (2, "lakes.pdf, p. 2")
    # Nothing was copied for the agents: they cite the turn's own passages.
    assert not Passage.objects.filter(turn__in=agents).exists()


def test_a_spawned_agent_looks_things_up_in_the_documents(
    ask: Ask, script: WriteScript, report: Attachment
) -> None:
    script(
        Reply(step=1, when="Go", lines=(f"call: spawn {SPAWN}",)),
        Reply(step=1, when="part", lines=('call: search_documents {"query": "islands"}',)),
        Reply(step=2, when="part", lines=("text: Twelve islands [4].",)),
        Reply(step=2, when="Go", lines=("text: Twelve islands [4].",)),
    )
    turn = ask("Go", report)
    drive_all()
    one, _two = agents_of(turn)
    assert "search_documents" in told(one)
    assert "[2] lakes.pdf, p. 2" not in told(one)
    # The agent's own passages are numbered behind those that its turn began with.
    assert list(Passage.objects.filter(turn=one).values_list("number", "title")) == [(4, "lakes.pdf, p. 3")]
    [cited] = [one for one in evidence.citations_of(turn) if one.cited]
    assert cited.title == "lakes.pdf, p. 3"


def test_text_of_a_document_is_a_strangers_for_all_that_follows(
    ask: Ask, script: WriteScript, report: Attachment
) -> None:
    script("text: Read.")
    first = ask("Read.", report)
    drive_all()
    second = ask("Go on.", conversation=str(first.conversation_id))
    drive_all()
    # On another branch nobody was shown it, but its file lies in the folder all the same.
    beside = ask("Look around.", conversation=str(first.conversation_id), is_branch=True)
    plain = ask("Hello.")
    assert beside.parent is None
    trusts = [toolsets.opening_of(turn).exposure.trust for turn in (first, second, beside, plain)]
    assert trusts == [Trust.DOCUMENT, Trust.DOCUMENT, Trust.DOCUMENT, Trust.USER]


def test_a_worker_that_takes_over_sends_the_same_bytes(
    ask: Ask, script: WriteScript, report: Attachment
) -> None:
    script(
        Reply(step=1, lines=('call: search_documents {"query": "depth deep"}',)),
        Reply(step=2, lines=("text: 94 m [4].",)),
    )
    turn = ask("How deep?", report)
    fence = turns.claim(turn.id)
    assert fence is not None
    first = resume.load(turn.id, fence=fence)
    warm.shelf.take(turn.id, fence=0)
    again = resume.load(turn.id, fence=fence)
    assert first.progress.transcript.opening == again.progress.transcript.opening
    assert first.progress.num_passages == 3
    turns.pause(turn.id, fence=fence)
    drive_all()
    titles = list(Passage.objects.filter(turn=turn, number__gt=3).values_list("number", "title"))
    assert titles[0] == (4, "lakes.pdf, p. 2")


def test_passages_of_one_conversation_never_share_a_number(
    ask: Ask, script: WriteScript, report: Attachment, alice: User
) -> None:
    script(
        Reply(step=1, lines=('call: search_documents {"query": "islands"}',)),
        Reply(step=2, lines=("text: Hm [1].",)),
    )
    first = ask("First.", report)
    drive_all()
    more = given(alice, "more.txt", b"Further words.")
    second = ask("Second.", more, conversation=str(first.conversation_id))
    drive_all()
    second.refresh_from_db()
    numbers = list(Passage.objects.order_by("number").values_list("number", flat=True))
    assert numbers == sorted(set(numbers))
    assert Passage.objects.get(turn=second, title="more.txt, line 1").number == 5
    assert history.turn_view(second).passages[1].title == "lakes.pdf, p. 1"


def test_going_on_with_a_turn_keeps_its_documents(
    ask: Ask, script: WriteScript, report: Attachment, alice: User
) -> None:
    script(
        Reply(step=1, lines=('call: search_documents {"query": "islands"}',)),
        Reply(lines=("text: Twelve [3].",)),
    )
    ended = ask("Count.", report)
    Turn.objects.filter(id=ended.id).update(max_steps=1)
    drive_all()
    ended.refresh_from_db()
    assert ended.limit == "steps"
    command = TurnContinue(turn=str(ended.id), client_id=str(uuid4()), steps=5)
    further = dispatch.continue_turn(alice, command)
    opening = openings.messages(further, text=documents.question(further, "Go on."))
    assert opening[0].content == told(ended)
    drive_all()
    assert [one.title for one in evidence.citations_of(further) if one.cited] == ["lakes.pdf, p. 3"]


def test_the_log_names_each_file_by_its_digest(ask: Ask, script: WriteScript, report: Attachment) -> None:
    script("text: Read.")
    turn = ask("Read.", report)
    drive_all()
    lines = [json.loads(line) for line in audit.export(turn)]
    [line] = [line for line in lines if line["kind"] == "attachment"]
    assert line["data"]["sha256"] == report.sha256
    assert list(audit.export(turn)) == list(audit.export(turn))
    exported = evidence.export_of(turn)
    assert [one["source"] for one in exported["citations"]] == ["uploads/lakes.pdf"] * 3


def test_what_does_not_fit_the_window_is_listed(
    ask: Ask, script: WriteScript, alice: User, scripted_model: ServedModel
) -> None:
    script("text: Hm.")
    small = given(alice, "small.txt", b"Few words.")
    large = given(alice, "large.txt", b"Many words stand here in a row.\n" * 2_000)
    turn = ask("Compare.", small, large)
    assert list(turn.documents.values_list("attachment__name", "mode")) == [
        ("small.txt", "whole"),
        ("large.txt", "listed"),
    ]
    assert "Look things up in it with search_documents" in told(turn)
    drive_one(turn.id)
