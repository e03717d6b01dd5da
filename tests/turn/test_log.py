"""The event log by itself: coalescing, fencing, and what happens when Redis loses it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
import pytest

from chat import events, frames, turn_log
from chat.events import LogTaken, Shown
from chat.turn_log import TurnLog

if TYPE_CHECKING:
    from redis.asyncio import Redis

    Client = Redis[bytes]

TURN = uuid4()


@pytest.fixture
async def connection(redis_url: str) -> "AsyncIterator[Client]":
    async with events.client() as client:
        yield client


def log_of(connection: "Client", *, last_seq: int = 0) -> TurnLog:
    return TurnLog(connection, TURN, last_seq=last_seq)


async def entries(connection: "Client", log: TurnLog | None = None) -> list[frames.Event]:
    """What is in the log, once it has all that was said."""
    async with asyncio.timeout(30):
        while log is not None and await events.tail(connection, TURN) < log.last_seq:
            await asyncio.sleep(0.001)
    return [events.decode(entry) for entry in await events.read(connection, TURN)]


async def test_the_first_piece_of_each_kind_goes_out_at_once_and_the_rest_together(
    connection: "Client",
) -> None:
    log = log_of(connection)
    await log.step_started(1)
    for word in ("a", "b", "c"):
        await log.reasoning(1, word)
    await log.reasoning_finished(1, duration_ms=5, num_tokens=3)
    for word in ("d", "e", "f"):
        await log.content(1, word)
    pieces = [
        event
        for event in await entries(connection, log)
        if isinstance(event, frames.ContentPiece | frames.ReasoningPiece)
    ]
    assert [piece.text for piece in pieces] == ["a", "bc", "d"]
    async with asyncio.timeout(30):
        while await events.tail(connection, TURN) < 6:
            await asyncio.sleep(0.01)
    assert (await entries(connection, log))[-1] == frames.ContentPiece(step=1, text="ef")


async def test_a_long_piece_does_not_wait_for_the_clock(connection: "Client") -> None:
    log = log_of(connection)
    await log.content(1, "first")
    await log.content(1, "x" * 300)
    assert len(await entries(connection, log)) == 2


async def test_a_megabyte_in_one_breath_fits_frames_of_32_kb(connection: "Client") -> None:
    log = log_of(connection)
    breaths = ("\x01" * 70_000, "\U0001f600" * 300_000)
    for breath in breaths:
        await log.content(1, breath)
    await log.flush()
    raw = await events.read(connection, TURN)
    assert max(map(len, raw)) <= frames.BYTES_TOGETHER
    assert "".join(getattr(events.decode(entry), "text", "") for entry in raw) == "".join(breaths)


async def test_numbers_are_dense_and_each_entry_names_its_own(connection: "Client") -> None:
    log = log_of(connection)
    for number in range(50):
        await log.content(1, f"{number} ")
    await log.flush()
    raw = await connection.xrange(events.log_key(TURN))
    assert [entry_id for entry_id, _ in raw] == [f"{n}-0".encode() for n in range(1, len(raw) + 1)]
    numbered = [msgspec.json.decode(fields[b"e"]) for _, fields in raw]
    assert [entry["seq"] for entry in numbered] == list(range(1, len(raw) + 1))
    assert "".join(entry["text"] for entry in numbered) == "".join(f"{n} " for n in range(50))


async def test_a_second_writer_is_refused_and_nothing_of_it_is_heard(connection: "Client") -> None:
    first, second = log_of(connection), log_of(connection)
    await first.turn_started()
    await first.flush()
    await second.step_started(1)
    with pytest.raises(LogTaken):
        await second.flush()
    with pytest.raises(LogTaken):
        await second.content(1, "more")
    assert len(await entries(connection)) == 1


async def test_a_lost_log_begins_again_with_all_that_was_shown(connection: "Client") -> None:
    log = log_of(connection)
    await log.step_started(1)
    await log.content(1, "so far ")
    await log.flush()
    await connection.flushall()
    await log.reasoning_finished(1, duration_ms=1, num_tokens=1)
    [snapshot] = await entries(connection, log)
    assert isinstance(snapshot, frames.TurnSnapshot)
    assert [type(event) for event in snapshot.events] == [
        frames.StepStarted,
        frames.ContentPiece,
        frames.ReasoningFinished,
    ]
    assert await events.tail(connection, TURN) == log.last_seq


async def test_a_cancelled_emit_is_in_the_log_whole(connection: "Client") -> None:
    log = log_of(connection)
    emitting = asyncio.create_task(log.content(1, "whole"))
    await asyncio.sleep(0)
    emitting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await emitting
    assert await entries(connection, log) == [frames.ContentPiece(step=1, text="whole")]
    await log.content(2, "next")
    assert log.last_seq == 2


async def test_a_long_log_keeps_its_last_two_steps(
    connection: "Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_log, "TRIM_EVERY", 10)
    log = log_of(connection)
    for step in range(1, 9):
        await log.step_started(step)
        for _ in range(4):
            await log.reasoning_finished(step, duration_ms=1, num_tokens=1)
        await log.flush()
    steps = {getattr(event, "step", 0) for event in await entries(connection, log)}
    assert max(steps) == 8
    assert 1 not in steps
    assert {7, 8} <= steps
    assert await events.tail(connection, TURN) == log.last_seq


def test_a_step_that_begins_again_voids_what_it_showed() -> None:
    shown = Shown()
    for event in (
        frames.TurnStarted(at_ms=1),
        frames.StepStarted(step=1, at_ms=1),
        frames.ContentPiece(step=1, text="kept"),
        frames.StepStarted(step=2, at_ms=2),
        frames.ContentPiece(step=2, text="void"),
        frames.StepStarted(step=2, at_ms=3),
        frames.ContentPiece(step=2, text="n"),
        frames.ContentPiece(step=2, text="ew"),
    ):
        shown.add(event)
    assert shown.events == [
        frames.TurnStarted(at_ms=1),
        frames.StepStarted(step=1, at_ms=1),
        frames.ContentPiece(step=1, text="kept"),
        frames.StepStarted(step=2, at_ms=3),
        frames.ContentPiece(step=2, text="new"),
    ]
