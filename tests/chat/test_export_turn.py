"""A turn's log: every kind of row is in it, its agents too, and every later change of either shows."""

import io
import json
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from agents import audit as log
from chat import audit
from chat.models import Artifact, Conversation, Fact, Message, Part, Passage, PlanItem, ToolRun, Turn
from inference.schema import Usage
from webapp.accounts.models import User
from webapp.billing import holds
from webapp.billing.models import UsageRecord
from webapp.catalog.models import ServedModel


def opened(user: User, model: ServedModel, **fields: Any) -> Turn:
    """A turn with its question and its money held, which nobody drives."""
    conversation = fields.pop("conversation", None) or Conversation.objects.create(user=user, title="Sums")
    hold = holds.place(user, model=model, max_input_tokens=9, max_output_tokens=9, ttl=timedelta(hours=1))
    turn = Turn.objects.create(
        conversation=conversation,
        model=model,
        hold=hold,
        max_steps=5,
        max_seconds=60,
        max_reasoning_tokens=100,
        max_output_tokens=1_000,
        **fields,
    )
    question = Message.objects.create(turn=turn, step=0, role=Message.Role.USER)
    Part.objects.create(message=question, position=0, kind=Part.Kind.TEXT, text="What is 2 + 2?")
    return turn


def worked(turn: Turn, person: User) -> None:
    """Everything that a turn can leave behind, one row of each kind."""
    reply = Message.objects.create(turn=turn, step=1, role=Message.Role.ASSISTANT, output_tokens=7)
    Part.objects.create(message=reply, position=0, kind=Part.Kind.TOOL_CALL, text='{"to": "Bob"}')
    result = Message.objects.create(turn=turn, step=1, position=1, role=Message.Role.TOOL)
    Part.objects.create(message=result, position=0, kind=Part.Kind.TOOL_RESULT, text="sent")
    note = Message.objects.create(turn=turn, step=1, position=2, role=Message.Role.NOTE, kind="budget")
    Part.objects.create(message=note, position=0, kind=Part.Kind.TEXT, text="[Platform] Be brief.")
    ToolRun.objects.create(
        turn=turn,
        step=1,
        index=0,
        call_id="functions.mail:0",
        tool="mail",
        arguments='{"to": "Bob"}',
        arguments_sha256=sha256(b'{"to": "Bob"}').hexdigest(),
        key=f"{turn.id}.1.0",
        effect="external",
        state=ToolRun.State.DONE,
        decision=ToolRun.Decision.APPROVED,
        decided_by=person,
        decided_at=timezone.now(),
    )
    PlanItem.objects.create(turn=turn, position=0, text="Tell Bob")
    Fact.objects.create(turn=turn, key="k", text="Bob knows")
    Passage.objects.create(
        turn=turn,
        number=1,
        source="https://example.com",
        text="the text",
        sha256="a" * 64,
        fetched_at=timezone.now(),
    )
    Artifact.objects.create(turn=turn, call_id="c", name="all.txt", text="the whole", sha256="b" * 64)


@pytest.fixture
def turn(alice: User, scripted_model: ServedModel) -> Turn:
    """A finished turn with an agent, both billed."""
    turn = opened(alice, scripted_model)
    agent = opened(alice, scripted_model, conversation=turn.conversation, spawned_by=turn, role="critic")
    for each in (turn, agent):
        worked(each, alice)
        Turn.objects.filter(id=each.id).update(status="finished", finish_reason="stop")
        holds.settle(
            each.hold_id,
            usage=Usage(output_tokens=7),
            source=UsageRecord.Source.CHAT,
            reference=str(each.id),
            finish_reason="stop",
        )
    return Turn.objects.get(id=turn.id)


def contents(turn: Turn) -> list[dict[str, Any]]:
    return [json.loads(line) for line in audit.export(turn)]


def test_everything_of_the_turn_and_of_its_agents_is_in_the_log(turn: Turn) -> None:
    lines = contents(turn)
    kinds = [
        *("turn", "limits", "message", "message", "message", "message"),
        *("tool_run", "plan_item", "fact", "passage", "artifact", "usage"),
    ]
    assert [line["kind"] for line in lines] == [*kinds, *kinds, "end"]
    assert lines[12]["data"]["spawned_by"] == str(turn.id)
    decided = lines[6]["data"]
    assert decided["arguments"] == '{"to": "Bob"}'
    assert decided["arguments_sha256"] == sha256(decided["arguments"].encode()).hexdigest()
    assert (decided["decision"], decided["decided_by_name"]) == ("approved", "alice")
    assert decided["decided_at"]
    assert lines[1]["data"]["max_steps"] == turn.max_steps
    assert lines[9]["data"]["sha256"] == "a" * 64
    assert "text" not in lines[9]["data"]


def test_the_same_rows_give_the_same_bytes(turn: Turn) -> None:
    assert list(audit.export(turn)) == list(audit.export(Turn.objects.get(id=turn.id)))


def test_what_drives_a_turn_changes_nothing_in_its_log(turn: Turn) -> None:
    before = list(audit.export(turn))
    Turn.objects.filter(id=turn.id).update(fence=9, lease_until=timezone.now(), last_seq=77)
    assert list(audit.export(turn)) == before


@pytest.mark.parametrize("number", range(25))
def test_an_edit_of_any_line_is_found(turn: Turn, number: int) -> None:
    lines = list(audit.export(turn))
    log.verify(lines)
    for edited in (
        lines[number].replace('"data":{', '"data":{"a":1,'),
        lines[number].replace('"kind":"', '"kind":"x'),
    ):
        with pytest.raises(log.ChainBroken):
            log.verify([*lines[:number], edited, *lines[number + 1 :]])
    with pytest.raises(log.ChainBroken):
        log.verify(lines[:number] + lines[number + 1 :])


EDITS: dict[str, Callable[[], object]] = {
    "turn": lambda: Turn.objects.update(finish_reason="length"),
    "limits": lambda: Turn.objects.update(max_steps=7),
    "message": lambda: Message.objects.update(output_tokens=9),
    "part": lambda: Part.objects.filter(kind="text").update(text="another question"),
    "note": lambda: Message.objects.filter(role="note").delete(),
    "tool run": lambda: ToolRun.objects.update(arguments='{"to": "Eve"}'),
    "decision": lambda: ToolRun.objects.update(decision="refused"),
    "who decided": lambda: ToolRun.objects.update(decided_by=None),
    "plan": lambda: PlanItem.objects.update(status="done"),
    "fact": lambda: Fact.objects.update(text="Bob does not know"),
    "passage": lambda: Passage.objects.update(sha256="c" * 64),
    "artifact": lambda: Artifact.objects.update(name="some.txt"),
    "agent": lambda: Turn.objects.filter(role="critic").update(role="coder"),
}


@pytest.mark.parametrize("what", EDITS)
def test_a_row_changed_after_the_export_is_found(turn: Turn, tmp_path: Path, what: str) -> None:
    path = tmp_path / "turn.jsonl"
    call_command("export_turn", str(turn.id), "--output", str(path), stderr=io.StringIO())
    EDITS[what]()
    with pytest.raises(CommandError, match="the database says something else"):
        call_command("export_turn", str(turn.id), "--verify", str(path))


def test_the_command_exports_and_verifies(turn: Turn, tmp_path: Path) -> None:
    path, said, hinted = tmp_path / "turn.jsonl", io.StringIO(), io.StringIO()
    call_command("export_turn", str(turn.id), stdout=said, stderr=hinted)
    path.write_text(said.getvalue(), encoding="utf-8")
    last_hash = hinted.getvalue().split()[-1]
    checked = io.StringIO()
    call_command("export_turn", str(turn.id), "--verify", str(path), "--last-hash", last_hash, stdout=checked)
    assert "is sound, and says what the database says: 25 lines" in checked.getvalue()
    path.write_text(said.getvalue().replace("Bob", "Eve"), encoding="utf-8")
    with pytest.raises(CommandError, match="was changed: line"):
        call_command("export_turn", str(turn.id), "--verify", str(path))


def test_the_command_says_when_there_is_no_such_turn(db: None) -> None:
    with pytest.raises(CommandError, match="There is no turn"):
        call_command("export_turn", str(uuid4()))
