"""A turn as one reader sees it: what the log has after its last number, what the database knows where the log
cannot bridge the gap, then what comes. Nothing twice, nothing left out."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

import msgspec
from channels.db import database_sync_to_async

from chat import events, frames, history, subscriptions
from chat.events import Entry
from chat.models import Turn
from chat.subscriptions import Hub

READ_AT_ONCE = 500
LOOK_AGAIN_S = 10.0  # when nothing is heard: whatever was missed is found by then

_ENTRY = msgspec.json.Decoder(Entry)
SNAPSHOT = frames.TurnSnapshot.__struct_config__.tag
FINISHED = frames.TurnFinished.__struct_config__.tag


class _Place:
    """How far a reader is."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.is_over = False

    def follows(self, entry: Entry) -> bool:
        """A snapshot may jump: it shows everything."""
        return entry.seq == self.last + 1 or (entry.type == SNAPSHOT and entry.seq > self.last)

    def move(self, entry: Entry) -> None:
        self.last = entry.seq
        self.is_over = entry.type == FINISHED


async def follow(turn_id: UUID, *, after: int = 0) -> AsyncGenerator[list[bytes], None]:
    """The turn's events after number `after` as JSON, each with its `turn` and `seq`, as many at a time as
    are there; ends after the turn's last event. Raises Turn.DoesNotExist once the turn is deleted.

    A slow consumer is waited for: what comes meanwhile is read from the log later. A process that lags brings
    more at a time, and that less often.
    """
    hub = subscriptions.hub()
    subscription = await hub.open(turn_id)
    place = _Place(after)
    try:
        while not place.is_over:
            # Subscribe first, then read: what comes in between is heard, and dropped where it was read
            # already.
            await subscription.is_live.wait()
            async for entries in _catch_up(hub, turn_id, place):
                yield entries
            while not place.is_over and (heard := await _heard(subscription)):
                if fitting := _in_order(heard, place):
                    yield fitting
                if place.last < _ENTRY.decode(heard[-1]).seq:
                    break  # a gap: the log has it
                if hub.pause_s:
                    await asyncio.sleep(hub.pause_s)
    finally:
        await hub.close(turn_id, subscription)


async def _heard(subscription: subscriptions.Subscription) -> list[bytes]:
    """What came by itself; empty when the log should be looked at again."""
    try:
        async with asyncio.timeout(LOOK_AGAIN_S):
            return await subscription.take()
    except TimeoutError:
        return []


def _in_order(entries: list[bytes], place: _Place) -> list[bytes]:
    """The entries that go on from the reader's place, up to the first gap."""
    fitting = []
    for raw in entries:
        entry = _ENTRY.decode(raw)
        if entry.seq <= place.last:
            continue
        if place.is_over or not place.follows(entry):
            break
        place.move(entry)
        fitting.append(raw)
    return fitting


async def _catch_up(hub: Hub, turn_id: UUID, place: _Place) -> AsyncGenerator[list[bytes], None]:
    """From the log what it has after the reader's place, or a snapshot where it does not go on from there."""
    while not place.is_over:
        entries = await hub.read(turn_id, after=place.last, count=READ_AT_ONCE)
        fitting = _in_order(entries, place)
        if fitting:
            yield fitting
        if entries and len(fitting) == len(entries):
            continue
        if not entries:
            if await _is_up_to_date(turn_id, place):
                return
            if await hub.read(turn_id, after=place.last, count=1):
                continue  # it came while the database was asked
        if (snapshot := await _snapshot(hub, turn_id, place)) is None:
            return
        yield [snapshot]


async def _is_up_to_date(turn_id: UUID, place: _Place) -> bool:
    """Whether the reader, who has all that the log has, has all there is. Marks the place over when the turn
    is."""
    turn = await Turn.objects.only("status", "last_seq", "lease_until").aget(id=turn_id)
    if turn.status == Turn.Status.FINISHED:
        place.is_over = turn.last_seq <= place.last
        return place.is_over or turn.lease_until is not None  # its last event is on its way
    if place.last == 0:
        return turn.last_seq == 0
    # A reader with something on show waits for the worker's next event: a snapshot, if the log was lost.
    return True


async def _snapshot(hub: Hub, turn_id: UUID, place: _Place) -> bytes | None:
    """The whole turn, from the database and, for what is not stored yet, the log. None when that is no
    news."""
    stored, seq, is_finished = await database_sync_to_async(_stored)(turn_id)
    shown = stored
    if not is_finished:
        entries = await hub.read(turn_id)
        if entries:
            seq = _ENTRY.decode(entries[-1]).seq
            shown = joined(stored, [events.decode(entry) for entry in entries])
    if seq <= place.last:
        return None
    place.last = seq
    place.is_over = is_finished
    return events.encode(frames.TurnSnapshot(events=shown), turn_id=turn_id, seq=seq)


def _stored(turn_id: UUID) -> tuple[list[frames.PlainEvent], int, bool]:
    """The turn's stored events, its last number, and whether it has ended: then nothing but these is to be
    shown."""
    turn = Turn.objects.prefetch_related("messages__parts").get(id=turn_id)
    return history.stored_events(turn), turn.last_seq, turn.status == Turn.Status.FINISHED


def joined(stored: list[frames.PlainEvent], logged: list[frames.Event]) -> list[frames.PlainEvent]:
    """What an open turn shows, by its stored steps and by what is left of its log.

    From the first step whose beginning the log has, the log is followed; what is before that was stored
    before.
    """
    begins = (frames.StepStarted, frames.TurnSnapshot, frames.TurnStarted)
    start = next((number for number, event in enumerate(logged) if isinstance(event, begins)), len(logged))
    is_whole = start < len(logged) and not isinstance(logged[start], frames.StepStarted)
    shown = events.Shown([] if is_whole else stored)
    for event in logged[start:]:
        shown.add(event)
    return shown.events
