"""The request queue on Redis Streams: between processes and machines. Its keys are named in `keys`."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Collection
from typing import Any

import msgspec
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from inference.request_queue import affinity, keys
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
from inference.request_queue.redis_intake import RedisIntake
from inference.request_queue.redis_link import OUTAGES, RedisLink, streams
from inference.request_queue.redis_scripts import SUBMIT
from inference.schema import ChatRequest

_REPLY_TTL_S = 300
_ABORT_TTL_S = 60
_SENT_TTL_S = 120
_MAX_REQUESTS = 10_000
_MAX_REPLIES = 10_000


class RedisTransport:
    """Both ends of the queue. Waits an outage of Redis out for `patience_s`, then raises `TransportLost`."""

    def __init__(self, redis_url: str, *, patience_s: float = 60.0) -> None:
        self._link = RedisLink(redis_url, patience_s=patience_s)
        self._redis: Any = self._link.client
        self._steadily = self._link.steadily
        self._intake = RedisIntake(self._link)
        self._submit = self._redis.register_script(SUBMIT)

    # ---- the caller's end

    async def workers(self, model: str | None = None) -> list[Heartbeat]:
        return await self._steadily(lambda: self._workers(model))

    async def _workers(self, model: str | None) -> list[Heartbeat]:
        worker_ids = sorted(worker_id.decode() for worker_id in await self._redis.smembers(keys.WORKERS))
        heartbeats, dead = await self._intake.heartbeats(worker_ids)
        if dead:
            await self._redis.srem(keys.WORKERS, *dead)
        return [heartbeat for heartbeat in heartbeats if model is None or heartbeat.model == model]

    async def num_requests(self, model: str) -> int:
        return sum((await self._steadily(lambda: self._depths(model))).values())

    async def _depths(self, model: str) -> dict[str, int]:
        """How many requests each queue of a model holds, by owner; that of the shared one is ""."""
        owners = [owner.decode() for owner in await self._redis.smembers(keys.owners(model))]
        async with self._redis.pipeline(transaction=False) as pipeline:
            for owner in ("", *owners):
                pipeline.xlen(keys.queue(model, owner))
            return dict(zip(("", *owners), await pipeline.execute(), strict=True))

    async def send(self, request: ChatRequest, *, model: str) -> Ticket:
        owner = await self._steadily(lambda: self._choose(request, model)) or ""
        nonce, payload = uuid.uuid4().hex, msgspec.json.encode(Submit(request))
        named = (
            *(keys.sent(nonce), keys.queue(model), keys.reader(request.id), keys.MODELS),
            *(keys.worker(owner), keys.queue(model, owner), keys.owners(model)),
        )
        options = (model, payload, _MAX_REQUESTS, _SENT_TTL_S, int(READER_TTL_S * 1000), owner)
        sent = (await self._steadily(lambda: self._submit(keys=named, args=options))).decode()
        entry_id, _, taker = sent.partition(" ")
        return Ticket(model=model, request_id=request.id, entry_id=entry_id, owner=taker)

    async def _choose(self, request: ChatRequest, model: str) -> str | None:
        digests = affinity.prefixes(request).to_find
        workers = await self._workers(model) if digests else []
        if len(workers) < 2:
            return None
        takers = await self._redis.mget([keys.prefix(model, digest) for digest in digests])
        return affinity.choose(
            [taker and taker.decode() for taker in takers], workers, num_queued=await self._depths(model)
        )

    async def receive(self, ticket: Ticket, *, after: int, timeout_s: float) -> list[Numbered]:
        key = keys.replies(ticket.request_id)
        block_ms = max(1, int(timeout_s * 1000))
        found = await self._steadily(
            lambda: self._redis.xread({key: f"{after}-0"}, count=256, block=block_ms)
        )
        return [
            Numbered(number=int(entry_id.split(b"-")[0]), reply=_decode_reply(fields[b"m"]))
            for _, entries in streams(found)
            for entry_id, fields in entries
        ]

    async def is_queued(self, ticket: Ticket) -> bool:
        queue, entry_id = keys.queue(ticket.model, ticket.owner), ticket.entry_id
        return bool(await self._steadily(lambda: self._redis.xrange(queue, entry_id, entry_id)))

    async def keep_reading(self, ticket: Ticket) -> None:
        ttl_ms = int(READER_TTL_S * 1000)
        await self._steadily(lambda: self._redis.set(keys.reader(ticket.request_id), 1, px=ttl_ms))

    async def abort(self, ticket: Ticket) -> None:
        queue = keys.queue(ticket.model, ticket.owner)

        async def order() -> None:
            async with self._redis.pipeline() as pipeline:
                pipeline.set(keys.abort(ticket.request_id), 1, ex=_ABORT_TTL_S)
                pipeline.publish(keys.CONTROL, msgspec.json.encode(Abort(ticket.request_id)))
                pipeline.xack(queue, keys.GROUP, ticket.entry_id)
                pipeline.xdel(queue, ticket.entry_id)
                pipeline.delete(keys.reader(ticket.request_id), keys.replies(ticket.request_id))
                # A group that was never made is no fault: then no worker ever saw the request.
                await pipeline.execute(raise_on_error=False)

        await self._steadily(order)

    async def forget(self, ticket: Ticket) -> None:
        names = (keys.reader(ticket.request_id), keys.replies(ticket.request_id))
        await self._steadily(lambda: self._redis.delete(*names))

    def was_lost_lately(self) -> bool:
        return self._link.was_lost_lately()

    # ---- the worker's end

    async def take(self, *, model: str, worker_id: str, limit: int, timeout_s: float) -> list[Job]:
        return await self._intake.take(model, worker_id, limit=limit, timeout_s=timeout_s)

    async def take_over(
        self, *, model: str, worker_id: str, at_hand: Collection[str], limit: int
    ) -> list[Job]:
        return await self._intake.take_over(model, worker_id, at_hand=at_hand, limit=limit)

    async def hand_back(self, *, model: str, worker_id: str, at_hand: Collection[str]) -> None:
        await self._intake.hand_back(model, worker_id, at_hand=at_hand)

    async def reply(self, ticket: Ticket, *, number: int, reply: Reply) -> bool:
        payload = msgspec.json.encode(reply)
        key = keys.replies(ticket.request_id)
        return await self._steadily(lambda: self._reply(key, f"{number}-0", payload))

    async def _reply(self, key: str, entry_id: str, payload: bytes) -> bool:
        async with self._redis.pipeline() as pipeline:
            pipeline.xadd(key, {"m": payload}, id=entry_id, maxlen=_MAX_REPLIES)
            pipeline.expire(key, _REPLY_TTL_S)
            added, _ = await pipeline.execute(raise_on_error=False)
        if isinstance(added, OUTAGES):
            raise added
        if not isinstance(added, ResponseError):
            return True
        # The id is taken: by this very reply, when Redis wrote it and the connection broke before it said so.
        written = await self._redis.xrange(key, entry_id, entry_id)
        return bool(written) and written[0][1][b"m"] == payload

    async def fail(self, ticket: Ticket, *, reply: Fault) -> None:
        key = keys.replies(ticket.request_id)
        payload = msgspec.json.encode(reply)

        async def write() -> None:
            async with self._redis.pipeline() as pipeline:
                pipeline.xadd(key, {"m": payload})  # an id made of the time: after every number
                pipeline.expire(key, _REPLY_TTL_S)
                await pipeline.execute()

        await self._steadily(write)
        await self.done(ticket)

    async def done(self, ticket: Ticket) -> None:
        await self._intake.remove(ticket)

    async def aborts(self) -> AsyncGenerator[str, None]:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(keys.CONTROL)
                    yield ""
                    while True:
                        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1.0)
                        if message is not None:
                            yield msgspec.json.decode(message["data"], type=Abort).request_id
            except (ConnectionError, TimeoutError):
                await asyncio.sleep(0.2)

    async def is_aborted(self, request_id: str) -> bool:
        return bool(await self._steadily(lambda: self._redis.exists(keys.abort(request_id))))

    async def unread(self, request_ids: list[str]) -> set[str]:
        if not request_ids or self.was_lost_lately():
            return set()
        signs = await self._steadily(lambda: self._redis.mget([keys.reader(one) for one in request_ids]))
        return {request_id for request_id, sign in zip(request_ids, signs, strict=True) if sign is None}

    async def beat(self, heartbeat: Heartbeat) -> None:
        payload = msgspec.json.encode(heartbeat)

        async def write() -> None:
            async with self._redis.pipeline() as pipeline:
                pipeline.set(keys.worker(heartbeat.worker_id), payload, px=int(HEARTBEAT_TTL_S * 1000))
                pipeline.sadd(keys.WORKERS, heartbeat.worker_id)
                pipeline.sadd(keys.MODELS, heartbeat.model)
                await pipeline.execute()

        await self._steadily(write)

    async def leave(self, heartbeat: Heartbeat) -> None:
        async def remove() -> None:
            async with self._redis.pipeline() as pipeline:
                pipeline.delete(keys.worker(heartbeat.worker_id))
                pipeline.srem(keys.WORKERS, heartbeat.worker_id)
                await pipeline.execute()

        await self._steadily(remove)
        await self._steadily(lambda: self._intake.remove_queue(heartbeat.model, heartbeat.worker_id))

    # ---- both

    async def aclose(self) -> None:
        await self._link.aclose()


def _decode_reply(payload: bytes) -> Reply:
    reply: Reply = msgspec.json.decode(payload, type=Reply)
    return reply
