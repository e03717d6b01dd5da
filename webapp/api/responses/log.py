"""The events of an answer that is made in the background: a log like a turn's, in Redis, published in the
same breath. What comes before the log is told by the row alone, so nobody need have written it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from uuid import UUID

import orjson
import redis.asyncio
from django.conf import settings
from redis.exceptions import NoScriptError, RedisError

from chat import events, subscriptions
from chat.turn_log import APPEND, APPEND_SHA
from webapp.api import database
from webapp.api.models import Response
from webapp.api.responses import store
from webapp.api.responses.reply import telling_of
from webapp.api.responses.telling import Event

FIRST_NUMBER = 2  # of what is logged: before it come `created` and `queued`
LOOK_AGAIN_S = 1.0
READ_AT_ONCE = 1_000
WITHOUT_REDIS_S = 60.0
RETRY_S = 0.1
TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})


class LogTaken(Exception):
    """Another worker writes this log."""


def key_of(response_id: str) -> UUID:
    return UUID(response_id.partition("_")[2])


async def append(connection: "redis.asyncio.Redis[bytes]", response_id: str, told: Sequence[Event]) -> None:
    """Write them where they belong, right after the log's last; a log that was lost goes on from here. Waits
    for Redis for a minute. Raises LogTaken, and RedisError when it stays away."""
    if not told:
        return
    first = told[0]["sequence_number"] - FIRST_NUMBER + 1
    entries = [orjson.dumps(event) for event in told]
    name = events.log_key(key_of(response_id))
    arguments = [name, first, settings.EVENT_LOG_TTL_S * 1000, "jump", *entries]
    gives_up_at = time.monotonic() + WITHOUT_REDIS_S
    while True:
        try:
            answer = await events.heeding(_run(connection, arguments))
            break
        except RedisError:
            if time.monotonic() > gives_up_at:
                raise
            await asyncio.sleep(RETRY_S)
    if answer == -1:
        return
    # The reply to a first try may have been lost: then these very entries are there already.
    last = await connection.xrevrange(name, count=1)
    if not last or last[0][1][b"e"] != entries[-1]:
        raise LogTaken(f"response {response_id}: its log has {answer}, not {first - 1}")


async def _run(connection: "redis.asyncio.Redis[bytes]", arguments: Sequence[object]) -> int:
    execute: Callable[..., Awaitable[int]] = connection.execute_command
    try:
        return await execute("EVALSHA", APPEND_SHA, 1, *arguments)
    except NoScriptError:
        return await execute("EVAL", APPEND, 1, *arguments)


async def read(
    connection: "redis.asyncio.Redis[bytes]", response_id: str, *, after: int = FIRST_NUMBER - 1
) -> list[Event]:
    """What the log has after event number `after`, at most so much at once."""
    entries = await events.read(
        connection, key_of(response_id), after=max(after - FIRST_NUMBER + 1, 0), count=READ_AT_ONCE
    )
    return [orjson.loads(entry) for entry in entries]


async def follow(response: Response, *, after: int = -1) -> AsyncGenerator[Event, None]:
    """The events after number `after`, in order and none twice, up to the last. What the log has lost is left
    out: the last event has all that came of it. Ends when the response is deleted."""
    for event in await database.run(head, response):
        if event["sequence_number"] > after:
            after = event["sequence_number"]
            yield event
    key = key_of(response.id)
    hub = subscriptions.hub()
    subscription = await hub.open(key)
    try:
        while True:
            await subscription.is_live.wait()
            async for event in _logged(response.id, after):
                after = event["sequence_number"]
                yield event
                if event["type"] in TERMINAL:
                    return
            if (ends := await database.run(_end, response.id)) is not None:
                # Its worker died before it could say so, or the log is gone.
                for event in ends:
                    if event["sequence_number"] > after:
                        yield event
                return
            await _wait(subscription)
    finally:
        await hub.close(key, subscription)


async def _logged(response_id: str, after: int) -> AsyncGenerator[Event, None]:
    async with events.client() as connection:
        while found := await read(connection, response_id, after=after):
            for event in found:
                after = event["sequence_number"]
                yield event


async def _wait(subscription: subscriptions.Subscription) -> None:
    """Until there is news, or it is time to look by oneself."""
    try:
        await asyncio.wait_for(subscription.take(), LOOK_AGAIN_S)
    except TimeoutError:
        return


def head(response: Response) -> list[Event]:
    """What was told when it was asked for: of a response in the foreground, nothing about a queue."""
    telling = telling_of(response)
    status = Response.Status.QUEUED if response.is_background else Response.Status.IN_PROGRESS
    fresh = Response(id=response.id, asked=response.asked, status=status, created_at=response.created_at)
    return telling.begin(store.told(fresh, with_output=False), is_queued=response.is_background)


def _end(response_id: str) -> list[Event] | None:
    """The last event, once there is one; none is left to tell of a response that was deleted."""
    response = Response.objects.filter(id=response_id).first()
    if response is None:
        return []
    if response.status in Response.OPEN:
        return None
    telling = telling_of(response)
    telling.next_number = response.last_number
    return telling.end(store.told(response))
