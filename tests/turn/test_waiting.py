"""A turn that waits holds no worker, no place and no more money than it has spent, and misses no wake."""

import asyncio
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents import custom_tools
from agents.steps.progress import Parked
from agents.tool import Approval, ToolContext, ToolResult, Traits, Waiting, WaitingFor
from agents.transcript import Note, NoteKind
from chat import decisions, dispatch, segment, tasks, tool_servers, turns, warm
from chat.decisions import Word
from chat.frames import TurnSend
from chat.models import Message, ToolRun, Turn
from chat.own_loop import database
from inference.backends.scripted import Reply
from inference.schema import ToolSpec, Usage
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from webapp.accounts.models import User
from webapp.billing.models import Account, Hold
from webapp.catalog.models import ServedModel
from webapp.database_clock import FromNow

pytestmark = pytest.mark.django_db(transaction=True)

TURN = (Reply(step=1, lines=("text: one two", "call: job {}")), Reply(step=2, lines=("text: done",)))


class Job:
    """Waits until it is done; `while_asked` is called whenever it is looked at."""

    spec = ToolSpec(name="job", description="A slow job.", parameters={"type": "object"})
    traits = Traits()
    wake_in_s: float | None = None
    expires_in_s: float | None = None

    def __init__(self) -> None:
        self.is_done = False
        self.num_asked = 0

    def while_asked(self, turn_id: str) -> None: ...

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult | Waiting:
        self.num_asked += 1
        if self.is_done:
            return ToolResult(for_model="finished")
        await database(self.while_asked, context.turn_id)
        return Waiting(waiting_for=WaitingFor.JOB, wake_in_s=self.wake_in_s, expires_in_s=self.expires_in_s)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Job:
    job = Job()
    monkeypatch.setattr(custom_tools, "installed", lambda: (job,))
    return job


@pytest.fixture
def turn(alice: User, scripted_model: ServedModel, script: WriteScript) -> Turn:
    script(*TURN)
    scripted_model.prices.update(input_per_million="4", output_per_million="16")
    command = TurnSend(client_id=str(uuid4()), text="Do it.", model="scripted", long_thinking=True)
    return dispatch.submit_turn(alice, command)


def drive(turn: Turn) -> bool:
    goes_on = async_to_sync(segment.drive)(turn.id)
    turn.refresh_from_db()
    return goes_on


def test_a_turn_that_waits_leaves_its_worker_its_place_and_its_money(
    turn: Turn, job: Job, alice: User
) -> None:
    assert drive(turn) is False
    assert (turn.status, turn.waiting_for, turn.lease_until) == ("waiting", "job", None)
    spent = sum(m.output_tokens * 16_000 + m.input_uncached_tokens * 4_000 for m in turn.messages.all())
    assert Account.objects.get(user=alice).held_nano == Hold.objects.get().amount_nano == spent > 0
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert client.zscore(f"limits:turn:under_way:{alice.pk}", str(turn.id)) is None
    assert drive(turn) is False, "a stray ring does not drive it"
    assert job.num_asked == 1


def test_a_wake_has_it_go_on_under_the_same_key_with_its_place_back(
    turn: Turn, job: Job, alice: User
) -> None:
    drive(turn)
    job.is_done = True
    turns.wake(turn.id)
    assert drive(turn) is False
    assert (turn.finish_reason, job.num_asked) == ("stop", 2)
    [run] = ToolRun.objects.all()
    assert (run.state, run.key) == ("done", f"{turn.id}.1.0")


def test_a_wake_between_the_last_look_and_the_parking_is_not_lost(turn: Turn, job: Job) -> None:
    def finish_meanwhile(turn_id: str) -> None:
        job.is_done = True
        turns.wake(turn.id)

    job.while_asked = finish_meanwhile  # type: ignore[method-assign]
    assert drive(turn) is True, "it is to be driven again at once"
    drive(turn)
    assert turn.finish_reason == "stop"


def test_the_sweep_rings_when_it_is_time(turn: Turn, job: Job) -> None:
    job.wake_in_s = 60
    drive(turn)
    assert turns.take_due() == []
    Turn.objects.update(wake_at=FromNow())
    assert turns.take_due() == [turn.id]
    assert turns.take_due() == [], "it is rung for once in a while"
    job.is_done = True
    drive(turn)
    assert turn.finish_reason == "stop"


def test_waiting_does_not_count_as_time(turn: Turn, job: Job) -> None:
    drive(turn)
    long_ago = timezone.now() - timedelta(days=3)
    Turn.objects.update(parked_at=long_ago, started_at=long_ago)
    job.is_done = True
    turns.wake(turn.id)
    drive(turn)
    assert turn.finish_reason == "stop"
    assert turn.waited_ms >= 3 * 86_400_000


def test_what_nobody_decides_in_time_is_refused_and_the_turn_goes_on(turn: Turn, job: Job) -> None:
    job.expires_in_s = 3_600
    drive(turn)
    ToolRun.objects.update(expires_at=timezone.now())
    tasks.sweep()
    drive(turn)
    assert turn.finish_reason == "stop"
    assert ToolRun.objects.get().decision == "expired"


@pytest.fixture
def approved(turn: Turn, job: Job, alice: User) -> Turn:
    """The turn, its job approved and begun."""
    job.traits = Traits(approval=Approval.ALWAYS)
    drive(turn)
    assert (turn.waiting_for, job.num_asked) == ("approval", 0)
    run = ToolRun.objects.get()
    decisions.decide(turn, run.call_id, Word(decision="approved", arguments=run.arguments), by=alice)
    drive(turn)
    return turn


def test_a_job_that_was_approved_is_not_to_be_approved_again(approved: Turn, job: Job) -> None:
    assert (approved.waiting_for, job.num_asked) == ("job", 1)
    job.is_done = True
    turns.wake(approved.id)
    drive(approved)
    assert (approved.finish_reason, job.num_asked) == ("stop", 2)


def test_a_job_that_was_approved_and_never_ends_is_given_up(approved: Turn, job: Job) -> None:
    ToolRun.objects.update(expires_at=timezone.now())
    tasks.sweep()
    assert decisions.expire_due() == [], "it is given up once"
    drive(approved)
    assert approved.finish_reason == "stop"


def test_a_turn_that_waits_is_stopped_at_once(turn: Turn, job: Job, alice: User) -> None:
    drive(turn)
    began = time.monotonic()
    dispatch.stop(alice, turn.id)
    turn.refresh_from_db()
    assert turn.finish_reason == "cancelled"
    assert time.monotonic() - began < 10
    assert Account.objects.get(user=alice).held_nano == 0


@pytest.mark.parametrize("is_warm", [True, False], ids=["same worker", "another worker"])
def test_a_note_from_outside_is_read_before_the_next_step(turn: Turn, job: Job, is_warm: bool) -> None:
    drive(turn)
    turns.add_note(turn.id, Note(step=0, kind=NoteKind.PLAN, text="Do this first."))
    if not is_warm:
        warm.shelf.take(turn.id, fence=0)
    job.is_done = True
    turns.wake(turn.id)
    drive(turn)
    [note] = Message.objects.filter(role="note")
    assert (note.step, note.kind) == (1, "plan")
    assert turn.finish_reason == "stop"


def test_a_note_from_outside_reaches_a_turn_that_is_being_driven(
    alice_tab: Tab, script: WriteScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "RENEW_S", 0.05)
    script(
        Reply(step=1, lines=("text: first", "wait: 1", 'call: calculate {"expression": "1"}')),
        Reply(step=2, lines=("text: second",)),
    )
    turn = alice_tab.start("Go.", long_thinking=True)
    alice_tab.wait_for("content.delta")
    turns.add_note(Turn.objects.get().id, Note(step=0, kind=NoteKind.PLAN, text="Look here."))
    alice_tab.wait_for("turn.finished")
    assert turn
    note = Message.objects.get(role="note")
    assert note.step == 1, "behind the step before which nobody had read it"


def test_a_wake_while_the_turn_is_being_parked_is_not_lost(turn: Turn, job: Job) -> None:
    fence = turns.claim(turn.id)
    assert fence is not None
    held = Turn.objects.select_related("conversation").get(id=turn.id)
    parked = Parked(waiting_for=WaitingFor.AGENTS)

    def wake() -> None:
        turns.wake(turn.id)
        connections.close_all()

    with transaction.atomic():
        turns.park(held, parked, fence=fence, last_seq=1, spent=Usage())
        waker = threading.Thread(target=wake)
        waker.start()
        waker.join(timeout=0.5)  # where rows are locked, it waits for this transaction
    waker.join(timeout=10)
    assert turns.claim(turn.id) is not None


def test_a_stop_between_the_last_look_and_the_parking_is_not_lost(turn: Turn, job: Job) -> None:
    job.while_asked = lambda turn_id: turns.request_stop(turn.id)  # type: ignore[method-assign]
    assert drive(turn) is True, "it is to be driven again at once"
    drive(turn)
    assert turn.finish_reason == "cancelled"


def test_a_waiting_turn_is_stopped_although_every_ring_is_lost(turn: Turn, job: Job) -> None:
    drive(turn)
    turns.request_stop(turn.id)
    Turn.objects.exclude(wake_at=None).update(wake_at=FromNow())
    assert turns.take_due() == [turn.id]
    drive(turn)
    assert turn.finish_reason == "cancelled"


def test_nobody_looks_for_the_expiry_of_calls_whose_turn_is_over(turn: Turn, job: Job, alice: User) -> None:
    job.expires_in_s = 3_600
    drive(turn)
    dispatch.stop(alice, turn.id)
    turn.refresh_from_db()
    assert (turn.status, ToolRun.objects.get().expires_at) == ("finished", None)


def test_a_turn_is_kept_while_its_tools_are_slow_to_open(
    turn: Turn, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow_server() -> tuple[()]:
        await asyncio.sleep(1.5)
        claims.append(await database(turns.claim, turn.id))
        return ()

    claims: list[int | None] = []
    monkeypatch.setattr(settings, "TURN_LEASE_S", 1)
    monkeypatch.setattr(segment, "RENEW_S", 0.1)
    monkeypatch.setattr(tool_servers, "tools", slow_server)
    drive(turn)
    assert claims == [None], "nobody else may take a turn whose worker lives"
    assert turn.status == "waiting"


def test_the_sweep_does_not_read_the_turns_that_are_over(turn: Turn) -> None:
    with CaptureQueriesContext(connection) as asked:
        turns.take_due()
    if connection.vendor == "sqlite":  # the other one reads a table this small in any case
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {asked.captured_queries[0]['sql']}")
            assert not any("SCAN" in row[-1] for row in cursor.fetchall())
