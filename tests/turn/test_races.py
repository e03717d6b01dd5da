"""What happens at the same moment: each time one of the two gives way, in words, and nothing is stuck."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
import redis.asyncio
from django.conf import settings
from django.db import DatabaseError, connection, connections, transaction

from chat import consumers, conversations, dispatch, events, resume, segment, turns
from chat.dispatch import Refusal
from chat.frames import TurnSend
from chat.models import Conversation, Turn
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from tests.turn.conftest import OpenTab
from webapp.accounts.models import User
from webapp.billing import limits
from webapp.billing.models import Hold
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queued(alice: User, scripted_model: ServedModel) -> Turn:
    """A turn of alice's that nobody drives."""
    command = TurnSend(client_id=str(uuid4()), text="Hello", model="scripted")
    return dispatch.submit_turn(alice, command)


def test_a_message_beside_a_turn_that_is_just_ending_waits_for_no_lock(queued: Turn, alice: User) -> None:
    """Else it waits for the other with the account locked, which the other needs: on PostgreSQL one of them
    dies."""
    command = TurnSend(
        client_id=str(uuid4()), text="Next", model="scripted", conversation=str(queued.conversation_id)
    )

    def send() -> None:
        try:
            dispatch.submit_turn(alice, command)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Turn.objects.filter(id=queued.id).update(status=Turn.Status.FINISHED)
            sending = pool.submit(send)
            with pytest.raises(Refusal) as refused:
                sending.result(timeout=4)
        assert refused.value.code == "turn_running"
    dispatch.submit_turn(alice, command)
    assert Turn.objects.count() == 2


def test_a_stop_of_a_turn_that_is_deleted_meanwhile_is_harmless(
    queued: Turn, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete_first(turn_id: UUID, *, fence: int) -> resume.Start:
        conversations.delete(Turn.objects.get(id=turn_id).conversation)
        return load(turn_id, fence=fence)

    load = resume.load
    monkeypatch.setattr(resume, "load", delete_first)
    dispatch.stop(alice, queued.id)
    assert not Turn.objects.exists()
    assert Hold.objects.get().status == Hold.Status.RELEASED


def test_a_stop_while_a_worker_that_seemed_dead_still_writes_is_left_to_the_sweep(
    queued: Turn, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tail_of_before(connection: "redis.asyncio.Redis[bytes]", turn_id: UUID) -> int:
        number = await tail(connection, turn_id)
        await connection.xadd(events.log_key(turn_id), {"e": "{}"}, id=f"{number + 1}-0")
        return number

    tail = events.tail
    monkeypatch.setattr(events, "tail", tail_of_before)
    dispatch.stop(alice, queued.id)
    assert turns.take_due() == [queued.id]
    assert Turn.objects.get().cancel_requested_at is not None


def test_the_watch_over_the_session_outlives_a_database_that_is_away(
    open_tab: OpenTab, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [DatabaseError("away"), DatabaseError("still away")]

    async def is_signed_in(consumer: consumers.ChatConsumer) -> bool:
        if faults:
            raise faults.pop()
        return False

    monkeypatch.setattr(consumers, "CHECK_SESSION_S", 0.05)
    monkeypatch.setattr(consumers.ChatConsumer, "_is_signed_in", is_signed_in)
    tab: Tab = open_tab(alice)
    assert tab.wait_closed() == 4401


def place_until(user: User, turn: str) -> float:
    """When the turn's place among the user's turns is free again if nobody does anything, in seconds from
    1970."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        return (client.zscore(f"limits:turn:under_way:{user.pk}", turn) or 0) / 1000


def test_a_place_that_was_never_given_back_is_free_again_soon(queued: Turn, alice: User) -> None:
    assert place_until(alice, str(queued.id)) < time.time() + 600


def test_a_turn_whose_place_was_lost_takes_it_again(
    alice_tab: Tab, alice: User, script: WriteScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "KEEP_PLACE_S", 0.1)
    script("text: so far", "stall:")
    turn = alice_tab.start("Hello")
    alice_tab.wait_for("content.delta")
    limits.leave("turn", user_id=alice.pk, lease_id=turn)  # as when Redis comes back empty
    deadline = time.monotonic() + 10
    while not place_until(alice, turn):
        assert time.monotonic() < deadline, "it works without a place"
        time.sleep(0.05)


def test_a_turn_that_goes_on_keeps_its_place(
    alice_tab: Tab, alice: User, script: WriteScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "KEEP_PLACE_S", 0.1)
    script("text: so far", "stall:")
    turn = alice_tab.start("Hello")
    alice_tab.wait_for("content.delta")
    kept_until = place_until(alice, turn)
    deadline = time.monotonic() + 10
    while place_until(alice, turn) <= kept_until:
        assert time.monotonic() < deadline, "the place is not kept"
        time.sleep(0.05)


@pytest.mark.parametrize("preset", ["", "none"])
def test_a_message_into_a_chat_that_is_deleted_meanwhile_is_refused_and_holds_nothing(
    alice: User, scripted_model: ServedModel, monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    def delete_first(*arguments: object, **options: object) -> None:
        conversations.delete(Conversation.objects.get())
        check(*arguments, **options)

    check: Callable[..., None] = dispatch._check_backend
    monkeypatch.setattr(dispatch, "_check_backend", delete_first)
    with pytest.raises(Refusal) as refused:
        dispatch.submit_turn(alice, into(Conversation.objects.create(user=alice), preset=preset))
    assert refused.value.code == "unknown_conversation"
    assert not Turn.objects.exists()
    assert not Hold.objects.exists()


def test_a_chat_is_deleted_with_the_message_that_came_in_meanwhile(
    alice: User, scripted_model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = Conversation.objects.create(user=alice)
    has_looked = Event()  # for turns to stop, and found none

    def stop_turns(of: Conversation) -> None:
        stop(of)
        has_looked.set()

    def delete() -> None:
        try:
            conversations.delete(conversation)
        finally:
            connections.close_all()

    def enter_while_it_is_deleted(*arguments: Any, **options: Any) -> None:
        deleting.append(pool.submit(delete))
        if connection.vendor == "postgresql":  # SQLite lets one write at a time: there the other has to wait
            assert has_looked.wait(60)

    stop, deleting = conversations.stop_turns, list[Any]()
    monkeypatch.setattr(conversations, "stop_turns", stop_turns)
    monkeypatch.setattr(limits, "enter", enter_while_it_is_deleted)
    with ThreadPoolExecutor(1) as pool:
        dispatch.submit_turn(alice, into(conversation))
        deleting[0].result(timeout=60)
    assert not Conversation.objects.exists()
    assert not Turn.objects.exists()
    assert Hold.objects.get().status == Hold.Status.RELEASED
    alice.account.refresh_from_db()
    assert alice.account.held_nano == 0


def into(conversation: Conversation, *, preset: str = "") -> TurnSend:
    return TurnSend(
        client_id=str(uuid4()),
        text="Hello",
        model="scripted",
        conversation=str(conversation.id),
        preset=preset,
    )
