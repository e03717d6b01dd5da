"""One Redis subscriber for each process, which fans the events of all turns out to whoever listens here, and
a few connections on which all of them read logs: a thousand pages that come back open no thousand more.

Tokens never pass through the channel layer: it drops messages when it is full.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID
from weakref import WeakKeyDictionary

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from chat import events

logger = logging.getLogger(__name__)

RECONNECT_S = 0.2
MAX_WAITING_CHARS = (
    262_144  # for a listener that is slow: past that it is sent to the log, which holds everything
)
FEEL_EVERY_S = 0.1
LAG_FELT_S = 0.01  # that this process is late by: less is no load
PAUSE_FOR_LAG = 4.0
MOST_PAUSE_S = 0.2  # between two deliveries to one listener: five a second
MOST_READERS = 8  # of logs at a time; whoever else wants to waits for a moment
LINGER_S = 5.0  # without listeners, before the connection is given back


class Subscription:
    """The events of one turn since it was opened, in order. `has_gap`: Redis was away, some may have been
    missed."""

    def __init__(self) -> None:
        self.is_live = asyncio.Event()
        self._entries: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()

    async def take(self) -> list[bytes]:
        """Everything that came since the last time, waiting for the first; empty when there was a gap."""
        await self._news.wait()
        self._news.clear()
        entries, self._entries = self._entries, []
        self._size = 0
        return entries

    def put(self, entry: bytes) -> None:
        self._size += len(entry)
        if self._size > MAX_WAITING_CHARS:
            self._entries = []
        else:
            self._entries.append(entry)
        self._news.set()

    def lose(self) -> None:
        self._size = MAX_WAITING_CHARS + 1
        self._entries = []
        self._news.set()


@dataclass
class _Channel:
    listeners: set[Subscription]
    is_live: bool = False


class Hub:
    """The subscriber of one event loop. `pause_s` is how long a listener should let events gather before it
    takes the next: nothing, until the loop is late at what it has to do."""

    def __init__(self) -> None:
        self.pause_s = 0.0
        self._channels: dict[bytes, _Channel] = {}
        self._pubsub: PubSub | None = None
        self._connection: Redis[bytes] | None = None
        self._reading = asyncio.Semaphore(MOST_READERS)
        self._reader: asyncio.Task[None] | None = None

    async def open(self, turn_id: UUID) -> Subscription:
        """Listen to the turn. Once `is_live` is set nothing is missed; `close` it."""
        name = events.log_key(turn_id).encode()
        subscription = Subscription()
        channel = self._channels.get(name)
        if channel is not None:
            channel.listeners.add(subscription)
            if channel.is_live:
                subscription.is_live.set()
            return subscription
        self._channels[name] = _Channel({subscription})
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._run())
        elif self._pubsub is not None:
            with suppress(RedisError):  # the reader finds the same fault, and subscribes to everything anew
                await events.heeding(self._pubsub.subscribe(name))
        return subscription

    async def close(self, turn_id: UUID, subscription: Subscription) -> None:
        name = events.log_key(turn_id).encode()
        channel = self._channels.get(name)
        if channel is None:
            return
        channel.listeners.discard(subscription)
        if not channel.listeners:
            del self._channels[name]
            if self._pubsub is not None:
                with suppress(RedisError):
                    await events.heeding(self._pubsub.unsubscribe(name))

    async def read(self, turn_id: UUID, *, after: int = 0, count: int | None = None) -> list[bytes]:
        """From the turn's log (chat.events.read), for whoever has a live subscription."""
        async with self._reading:
            if self._connection is None:
                raise RedisConnectionError("Redis is away")
            return await events.read(self._connection, turn_id, after=after, count=count)

    async def _run(self) -> None:
        """Read until nobody has listened for a while, over as many connections as that takes."""
        feeling = asyncio.create_task(self._feel())
        try:
            await self._listen()
        finally:
            feeling.cancel()
            self.pause_s = 0.0

    async def _feel(self) -> None:
        """Each delivery costs the same whatever it carries: a loop that lags delivers more at a time."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + FEEL_EVERY_S
            await asyncio.sleep(FEEL_EVERY_S)
            lag = loop.time() - due
            wanted = min(PAUSE_FOR_LAG * lag, MOST_PAUSE_S) if lag > LAG_FELT_S else 0.0
            # Quickly up, slowly down: what is late now has been late for a while.
            self.pause_s = max(wanted, self.pause_s * 0.8 if self.pause_s > LAG_FELT_S else 0.0)

    async def _listen(self) -> None:
        while self._channels:
            try:
                async with events.client() as connection, connection.pubsub() as pubsub:
                    names = list(self._channels)
                    await pubsub.subscribe(*names)
                    self._connection = connection
                    self._pubsub = pubsub  # from here on `open` subscribes by itself
                    if late := [name for name in self._channels if name not in names]:
                        await pubsub.subscribe(*late)
                    await self._read(pubsub)
            except RedisError:
                logger.warning("lost the subscription to Redis, trying again")
                self._lose()
                await asyncio.sleep(RECONNECT_S)
            finally:
                self._lose()

    async def _read(self, pubsub: PubSub) -> None:
        idle_since: float | None = None
        while True:
            message = await events.heeding(pubsub.get_message(timeout=1.0))
            if message is not None:
                self._handle(message)
            now = asyncio.get_running_loop().time()
            if self._channels:
                idle_since = None
            elif idle_since is None:
                idle_since = now
            elif now - idle_since > LINGER_S:
                return

    def _handle(self, message: dict[str, object]) -> None:
        name = message["channel"]
        assert isinstance(name, bytes)
        channel = self._channels.get(name)
        if channel is None:
            return
        if message["type"] == "subscribe":
            channel.is_live = True
            for listener in channel.listeners:
                listener.is_live.set()
        elif message["type"] == "message":
            entry = message["data"]
            assert isinstance(entry, bytes)
            for listener in channel.listeners:
                listener.put(entry)

    def _lose(self) -> None:
        self._pubsub = self._connection = None
        for channel in self._channels.values():
            channel.is_live = False
            for listener in channel.listeners:
                listener.is_live.clear()
                listener.lose()


_hubs: "WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]" = WeakKeyDictionary()


def hub() -> Hub:
    """The hub of the running event loop: a server has one loop, so one subscriber for each process."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
