"""The request queue on Redis Streams: between processes and machines.

Keys: `inference:{model}:requests` (stream; consumer group `workers`, a consumer per worker),
`inference:reply:{request_id}` (stream; reply number n has the entry id n-0, so that Redis refuses a second
writer), `inference:sent:{nonce}` (this call to send queued that entry), `inference:abort:{request_id}`,
`inference:reader:{request_id}` (signs of life), `inference:worker:{worker_id}` (hash) and `inference:workers`
(set).
All but the first and the last expire by themselves.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from typing import Any, TypeVar

import msgspec
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (  # type: ignore[attr-defined]  # its types lack OutOfMemoryError
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)

from inference.request_queue.messages import (
    HEARTBEAT_TTL_S,
    READER_TTL_S,
    Abort,
    Fault,
    Heartbeat,
    Job,
    Numbered,
    Reply,
    Submit,
    Ticket,
)
from inference.request_queue.transport import TransportLost
from inference.schema import ChatRequest

logger = logging.getLogger(__name__)

_GROUP = "workers"
_CONTROL = "inference:control"
_WORKERS = "inference:workers"
_REPLY_TTL_S = 300
_ABORT_TTL_S = 60
_MAX_REQUESTS = 10_000
_MAX_REPLIES = 10_000
# An entry of a dead worker has been idle for longer; one that another worker just took over has not.
_TAKE_OVER_IDLE_MS = 1500

_SENT_TTL_S = 120
# What passes by itself: Redis is away, or cannot write for now.
_OUTAGES = (ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError)
# Queued once, though tried again: the connection may break after Redis did it and before it said so.
_SUBMIT = """
local entry_id = redis.call('GET', KEYS[1])
if entry_id then return entry_id end
entry_id = redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[1], '*', 'm', ARGV[2])
redis.call('SET', KEYS[1], entry_id, 'EX', ARGV[3])
redis.call('SET', KEYS[3], 1, 'PX', ARGV[4])
return entry_id
"""

Result = TypeVar("Result")


def _requests(model: str) -> str:
    return f"inference:{model}:requests"


def _replies(request_id: str) -> str:
    return f"inference:reply:{request_id}"


def _abort(request_id: str) -> str:
    return f"inference:abort:{request_id}"


def _reader(request_id: str) -> str:
    return f"inference:reader:{request_id}"


def _worker(worker_id: str) -> str:
    return f"inference:worker:{worker_id}"


class RedisTransport:
    """Both ends of the queue. Waits an outage of Redis out for `patience_s`, then raises `TransportLost`."""

    def __init__(self, redis_url: str, *, patience_s: float = 60.0) -> None:
        # One try a call: `_steadily` does the waiting, so that each call is patient for the same time in all.
        self._redis: Any = redis.Redis.from_url(
            redis_url, retry=Retry(NoBackoff(), 0), socket_timeout=10.0, socket_connect_timeout=5.0
        )
        self._patience_s = patience_s
        self._back_at = float("-inf")
        self._submit = self._redis.register_script(_SUBMIT)

    # ---- the caller's end

    async def workers(self, model: str | None = None) -> list[Heartbeat]:
        return await self._steadily(lambda: self._workers(model))

    async def _workers(self, model: str | None) -> list[Heartbeat]:
        worker_ids = sorted(worker_id.decode() for worker_id in await self._redis.smembers(_WORKERS))
        async with self._redis.pipeline(transaction=False) as pipeline:
            for worker_id in worker_ids:
                pipeline.hgetall(_worker(worker_id))
            hashes = await pipeline.execute()
        dead = [worker_id for worker_id, fields in zip(worker_ids, hashes, strict=True) if not fields]
        if dead:
            await self._redis.srem(_WORKERS, *dead)
        heartbeats = [_heartbeat(fields) for fields in hashes if fields]
        return [heartbeat for heartbeat in heartbeats if model is None or heartbeat.model == model]

    async def num_requests(self, model: str) -> int:
        return int(await self._steadily(lambda: self._redis.xlen(_requests(model))))

    async def send(self, request: ChatRequest, *, model: str) -> Ticket:
        keys = (f"inference:sent:{uuid.uuid4().hex}", _requests(model), _reader(request.id))
        payload = msgspec.json.encode(Submit(request))
        limits = (_MAX_REQUESTS, payload, _SENT_TTL_S, int(READER_TTL_S * 1000))
        entry_id = await self._steadily(lambda: self._submit(keys=keys, args=limits))
        return Ticket(model=model, request_id=request.id, entry_id=entry_id.decode())

    async def receive(self, ticket: Ticket, *, after: int, timeout_s: float) -> list[Numbered]:
        key = _replies(ticket.request_id)
        block_ms = max(1, int(timeout_s * 1000))
        found = await self._steadily(
            lambda: self._redis.xread({key: f"{after}-0"}, count=256, block=block_ms)
        )
        return [
            Numbered(number=int(entry_id.split(b"-")[0]), reply=_decode_reply(fields[b"m"]))
            for entry_id, fields in _entries(found)
        ]

    async def is_queued(self, ticket: Ticket) -> bool:
        entry_id = ticket.entry_id
        return bool(
            await self._steadily(lambda: self._redis.xrange(_requests(ticket.model), entry_id, entry_id))
        )

    async def keep_reading(self, ticket: Ticket) -> None:
        ttl_ms = int(READER_TTL_S * 1000)
        await self._steadily(lambda: self._redis.set(_reader(ticket.request_id), 1, px=ttl_ms))

    async def abort(self, ticket: Ticket) -> None:
        async def order() -> None:
            async with self._redis.pipeline() as pipeline:
                pipeline.set(_abort(ticket.request_id), 1, ex=_ABORT_TTL_S)
                pipeline.publish(_CONTROL, msgspec.json.encode(Abort(ticket.request_id)))
                pipeline.xack(_requests(ticket.model), _GROUP, ticket.entry_id)
                pipeline.xdel(_requests(ticket.model), ticket.entry_id)
                pipeline.delete(_reader(ticket.request_id), _replies(ticket.request_id))
                # A group that was never made is no fault: then no worker ever saw the request.
                await pipeline.execute(raise_on_error=False)

        await self._steadily(order)

    async def forget(self, ticket: Ticket) -> None:
        keys = (_reader(ticket.request_id), _replies(ticket.request_id))
        await self._steadily(lambda: self._redis.delete(*keys))

    def was_lost_lately(self) -> bool:
        return time.monotonic() - self._back_at < HEARTBEAT_TTL_S

    # ---- the worker's end

    async def take(self, *, model: str, worker_id: str, limit: int, timeout_s: float) -> list[Job]:
        key = _requests(model)
        block_ms = max(1, int(timeout_s * 1000))
        found = await self._in_group(
            model, lambda: self._redis.xreadgroup(_GROUP, worker_id, {key: ">"}, count=limit, block=block_ms)
        )
        return await self._jobs(model, _entries(found))

    async def take_over(self, *, model: str, worker_id: str, at_hand: Collection[str]) -> list[Job]:
        return await self._in_group(model, lambda: self._take_over(model, worker_id, at_hand))

    async def _take_over(self, model: str, worker_id: str, at_hand: Collection[str]) -> list[Job]:
        key = _requests(model)
        jobs: list[Job] = []
        for consumer in await self._redis.xinfo_consumers(key, _GROUP):
            name = consumer["name"].decode()
            is_own = name == worker_id
            if not is_own and await self._redis.exists(_worker(name)):
                continue
            pending = await self._redis.xpending_range(key, _GROUP, "-", "+", 1000, consumername=name)
            if not pending and not is_own:
                await self._redis.xgroup_delconsumer(key, _GROUP, name)
            entry_ids = [entry["message_id"] for entry in pending]
            lost = [one for one in entry_ids if not (is_own and one.decode() in at_hand)]
            if lost:
                claimed = await self._redis.xclaim(key, _GROUP, worker_id, _TAKE_OVER_IDLE_MS, lost)
                jobs += [await self._inherit(job) for job in await self._jobs(model, claimed)]
        return jobs

    async def _jobs(self, model: str, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> list[Job]:
        """The entries as jobs; one that is no request (another version wrote it) is thrown away."""
        jobs = []
        for entry_id, fields in entries:
            if not fields:
                continue
            try:
                jobs.append(_job(model, entry_id, fields))
            except (KeyError, msgspec.MsgspecError):
                logger.exception("entry %s of %s cannot be read and is dropped", entry_id, _requests(model))
                await self.done(Ticket(model=model, request_id="", entry_id=entry_id.decode()))
        return jobs

    async def _inherit(self, job: Job) -> Job:
        has_begun = bool(await self._redis.exists(_replies(job.request.id)))
        return msgspec.structs.replace(job, is_taken_over=has_begun)

    async def reply(self, ticket: Ticket, *, number: int, reply: Reply) -> bool:
        payload = msgspec.json.encode(reply)
        return await self._steadily(lambda: self._reply(_replies(ticket.request_id), f"{number}-0", payload))

    async def _reply(self, key: str, entry_id: str, payload: bytes) -> bool:
        async with self._redis.pipeline() as pipeline:
            pipeline.xadd(key, {"m": payload}, id=entry_id, maxlen=_MAX_REPLIES)
            pipeline.expire(key, _REPLY_TTL_S)
            added, _ = await pipeline.execute(raise_on_error=False)
        if isinstance(added, _OUTAGES):
            raise added
        if not isinstance(added, ResponseError):
            return True
        # The id is taken: by this very reply, when Redis wrote it and the connection broke before it said so.
        written = await self._redis.xrange(key, entry_id, entry_id)
        return bool(written) and written[0][1][b"m"] == payload

    async def fail(self, ticket: Ticket, *, reply: Fault) -> None:
        key = _replies(ticket.request_id)
        payload = msgspec.json.encode(reply)

        async def write() -> None:
            async with self._redis.pipeline() as pipeline:
                pipeline.xadd(key, {"m": payload})  # an id made of the time: after every number
                pipeline.expire(key, _REPLY_TTL_S)
                await pipeline.execute()

        await self._steadily(write)
        await self.done(ticket)

    async def done(self, ticket: Ticket) -> None:
        async def remove() -> None:
            async with self._redis.pipeline() as pipeline:
                pipeline.xack(_requests(ticket.model), _GROUP, ticket.entry_id)
                pipeline.xdel(_requests(ticket.model), ticket.entry_id)
                await pipeline.execute(raise_on_error=False)

        await self._steadily(remove)

    async def aborts(self) -> AsyncGenerator[str, None]:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(_CONTROL)
                    yield ""
                    while True:
                        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1.0)
                        if message is not None:
                            yield msgspec.json.decode(message["data"], type=Abort).request_id
            except (ConnectionError, TimeoutError):
                await asyncio.sleep(0.2)

    async def is_aborted(self, request_id: str) -> bool:
        return bool(await self._steadily(lambda: self._redis.exists(_abort(request_id))))

    async def unread(self, request_ids: list[str]) -> set[str]:
        if not request_ids or self.was_lost_lately():
            return set()
        signs = await self._steadily(lambda: self._redis.mget([_reader(one) for one in request_ids]))
        return {request_id for request_id, sign in zip(request_ids, signs, strict=True) if sign is None}

    async def beat(self, heartbeat: Heartbeat) -> None:
        fields = {name: str(value) for name, value in msgspec.to_builtins(heartbeat).items()}
        key = _worker(heartbeat.worker_id)

        async def write() -> None:
            async with self._redis.pipeline() as pipeline:
                pipeline.hset(key, mapping=fields)
                pipeline.pexpire(key, int(HEARTBEAT_TTL_S * 1000))
                pipeline.sadd(_WORKERS, heartbeat.worker_id)
                await pipeline.execute()

        await self._steadily(write)

    async def leave(self, heartbeat: Heartbeat) -> None:
        async def remove() -> None:
            async with self._redis.pipeline() as pipeline:
                pipeline.delete(_worker(heartbeat.worker_id))
                pipeline.srem(_WORKERS, heartbeat.worker_id)
                await pipeline.execute()

        await self._steadily(remove)

    # ---- both

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _steadily(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Try again until Redis answers or patience ends."""
        lost_at: float | None = None
        delay_s = 0.05
        while True:
            try:
                result = await call()
            except _OUTAGES as error:
                now = time.monotonic()
                if lost_at is None:
                    logger.warning("Redis cannot be reached, trying again: %s", error)
                    lost_at = now
                if now - lost_at >= self._patience_s:
                    raise TransportLost("The request queue (Redis) cannot be reached.") from error
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, 0.5)
            else:
                if lost_at is not None:
                    logger.warning("Redis is back")
                    self._back_at = time.monotonic()
                return result

    async def _in_group(self, model: str, call: Callable[[], Awaitable[Result]]) -> Result:
        """Make the group when it is not there: at the first start, or after Redis came back empty."""
        try:
            return await self._steadily(call)
        except ResponseError as error:
            if "NOGROUP" not in str(error) and "no such key" not in str(error):
                raise
        await self._steadily(lambda: self._make_group(model))
        return await self._steadily(call)

    async def _make_group(self, model: str) -> None:
        try:
            await self._redis.xgroup_create(_requests(model), _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise


def _entries(found: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of the one stream that was read."""
    if not found:
        return []
    [(_, entries)] = found.items() if isinstance(found, dict) else found
    return [(entry_id, fields) for entry_id, fields in entries if fields]


def _job(model: str, entry_id: bytes, fields: dict[bytes, bytes]) -> Job:
    request = msgspec.json.decode(fields[b"m"], type=Submit).request
    ticket = Ticket(model=model, request_id=request.id, entry_id=entry_id.decode())
    return Job(ticket=ticket, request=request)


def _decode_reply(payload: bytes) -> Reply:
    reply: Reply = msgspec.json.decode(payload, type=Reply)
    return reply


def _heartbeat(fields: dict[bytes, bytes]) -> Heartbeat:
    text = {name.decode(): value.decode() for name, value in fields.items()}
    return msgspec.convert(text, Heartbeat, strict=False)
