"""A socket: who is signed out is let go, and a reader that lags costs no memory and loses nothing."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from django.test import Client

from chat import consumers, events, frames, long_results, replay, subscriptions
from chat.models import Turn
from chat.turn_log import TurnLog
from inference.schema import ToolCall
from tests.conftest import WriteScript
from tests.turn.browser import Server, Tab, application, headers_of
from tests.turn.conftest import OpenTab
from webapp.accounts.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queued_turn(open_tab: OpenTab, alice: User) -> Turn:
    open_tab(alice).start("Hello")
    return Turn.objects.get()


def test_whoever_signed_out_elsewhere_is_let_go_without_a_command(
    open_tab: OpenTab, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "CHECK_SESSION_S", 0.1)
    tab = open_tab(alice)
    tab.client.logout()
    assert tab.wait_closed() == 4401


def test_a_person_who_was_shut_out_is_let_go(
    open_tab: OpenTab, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "CHECK_SESSION_S", 0.1)
    tab = open_tab(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert tab.wait_closed() == 4401


def test_a_closed_socket_leaves_no_listener_behind(
    alice_tab: Tab, server: Server, script: WriteScript
) -> None:
    script("text: so far", "stall:")
    turn = alice_tab.start("Hello")
    alice_tab.wait_for("content.delta")
    alice_tab.close()

    async def num_channels() -> int:
        return len(subscriptions.hub()._channels)

    assert server.run(num_channels()) == 0
    assert Turn.objects.get(id=turn).status == Turn.Status.RUNNING


def test_pages_that_come_back_all_at_once_share_a_few_connections(
    alice_tab: Tab, server: Server, script: WriteScript
) -> None:
    script("text: all of it")
    turn = Turn(id=alice_tab.ask("Hello")[0]["turn"])

    async def attach() -> list[bytes]:
        return [entry async for entries in replay.follow(turn.id) for entry in entries]

    async def attach_all() -> tuple[int, list[list[bytes]]]:
        async with events.client() as connection:
            before = (await connection.info("stats"))["total_connections_received"]
            seen = await asyncio.gather(*(attach() for _ in range(80)))
            return (await connection.info("stats"))["total_connections_received"] - before, seen

    num_opened, seen = server.run(attach_all())
    assert len({tuple(entries) for entries in seen}) == 1
    assert num_opened < 40


def test_a_reader_that_lags_gets_everything_from_the_log_later(server: Server, queued_turn: Turn) -> None:
    async def lag() -> tuple[list[str], int]:
        reading = replay.follow(queued_turn.id)
        async with events.client() as connection:
            log = TurnLog(connection, queued_turn.id, last_seq=0)
            await log.step_started(1)
            entries = await anext(reading)
            for number in range(400):
                await log.reasoning(1, f"{number} " + "x" * 3_000)
            await log.flush()
            [channel] = subscriptions.hub()._channels.values()
            waiting = max(sum(map(len, listener._entries)) for listener in channel.listeners)
            while len(entries) < log.last_seq:
                entries += await asyncio.wait_for(anext(reading), 10)
            await reading.aclose()
        return [str(number) for number in _numbers(entries)], waiting

    numbers, waiting = server.run(lag())
    assert numbers == [str(number) for number in range(400)]
    assert waiting <= subscriptions.MAX_WAITING_CHARS


def scope_of(user: User) -> dict[str, Any]:
    client = Client()
    client.force_login(user)
    return {"type": "websocket", "path": "/ws/chat/", "headers": headers_of(client)}


def _numbers(entries: list[bytes]) -> list[int]:
    text = "".join(
        event.text for event in map(events.decode, entries) if isinstance(event, frames.ReasoningPiece)
    )
    return [int(word.strip("x")) for word in text.split() if word.strip("x")]


def test_a_reader_that_takes_nothing_is_closed_with_4408(
    server: Server, alice: User, queued_turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "SEND_WITHIN_S", 0.1)
    closed: list[int] = []

    async def run(scope: dict[str, Any]) -> None:
        async with events.client() as connection:
            await TurnLog(connection, queued_turn.id, last_seq=0).turn_started()
        commands: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        commands.put_nowait({"type": "websocket.connect"})
        attach = msgspec.json.encode(frames.TurnAttach(turn=str(queued_turn.id))).decode()
        commands.put_nowait({"type": "websocket.receive", "text": attach})

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "websocket.send":
                await asyncio.Event().wait()
            elif message["type"] == "websocket.close":
                closed.append(message["code"])
                commands.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

        socket: Any = application
        await socket(scope, commands.get, send)

    server.run(run(scope_of(alice)))
    assert closed == [4408]


def test_events_that_are_there_together_come_in_lists_of_a_bounded_size() -> None:
    entries = [f'{{"seq": {number}, "text": "{"x" * 1_000}"}}'.encode() for number in range(100)]
    sent = list(frames.together(entries))
    assert [frame for text in sent for frame in msgspec.json.decode(text)] == [
        msgspec.json.decode(entry) for entry in entries
    ]
    assert max(map(len, sent)) <= frames.BYTES_TOGETHER + len(sent[0]) // len(entries)
    assert len(sent) < 5
    assert list(frames.together(entries[:1])) == [entries[0].decode()]


def test_of_a_long_result_a_page_gets_the_two_ends() -> None:
    long = frames.ToolCallFinished(
        step=1, id="a", result="début" + "你" * 31_000 + "the end", is_error=False, duration_ms=5
    )
    short = frames.ToolCallFinished(step=1, id="b", result="x" * 4_096, is_error=False, duration_ms=5)
    text = frames.ContentPiece(step=1, text="y" * 5_000)
    said: list[frames.PlainEvent] = [long, short, text]
    whole = [events.encode(event, turn_id=uuid4(), seq=seq) for seq, event in enumerate(said, 1)]
    brief, *others = long_results.shortened(whole)
    assert others == whole[1:]
    shown = msgspec.json.decode(brief)
    assert shown["num_chars"] == 31_012
    assert shown["result"].startswith("début你")
    assert shown["result"].endswith("你the end")
    assert len(shown["result"]) < 4_096
    assert shown["seq"] == 1
    snapshot = events.encode(frames.TurnSnapshot(events=said), turn_id=uuid4(), seq=9)
    (again,) = map(msgspec.json.decode, long_results.shortened([snapshot]))
    assert [one.get("num_chars") for one in again["events"]] == [31_012, None, None]
    assert again["events"][0]["result"] == shown["result"]


def test_a_process_that_lags_brings_events_together_and_less_often(server: Server, queued_turn: Turn) -> None:
    async def lag() -> tuple[list[int], float]:
        sizes = []
        reading = replay.follow(queued_turn.id)
        async with events.client() as connection:
            log = TurnLog(connection, queued_turn.id, last_seq=0)
            await log.step_started(1)
            await anext(reading)
            for number in range(200):
                time.sleep(0.03)  # others keep the loop busy
                await log.tool_call_started(1, ToolCall(id=f"{number}", name="count", arguments=""))
                await asyncio.sleep(0)
                if number % 20 == 19:
                    sizes.append(len(await asyncio.wait_for(anext(reading), 20)))
            pause_s = subscriptions.hub().pause_s
            await log.flush()
            while sum(sizes) < 200:
                sizes.append(len(await asyncio.wait_for(anext(reading), 20)))
            await reading.aclose()
        return sizes, pause_s

    sizes, pause_s = server.run(lag())
    assert sum(sizes) == 200
    assert max(sizes) > 1
    assert 0 < pause_s <= subscriptions.MOST_PAUSE_S
