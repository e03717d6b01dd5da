"""How a worker comes by requests in Redis: new ones, those of workers that are gone, and giving them back.

Every entry stays where it was queued until it is answered; only who has it changes, so that the reader's
ticket stays good. Each handing over is atomic: an entry is with one worker at a time.
"""

import logging
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from inference.request_queue import affinity, keys
from inference.request_queue.messages import Accepted, Heartbeat, Job, Reply, Submit, Ticket, WorkerState
from inference.request_queue.redis_link import RedisLink, streams
from inference.request_queue.redis_scripts import CLAIM, REMOVE_QUEUE

logger = logging.getLogger(__name__)

# A consumer that never lives: what it has is anybody's.
_NOBODY = "handed-back"
# What a worker was handed longer ago, and does not have, was lost on the way to it.
_LOST_AFTER_MS = 1500
_PREFIX_TTL_S = 1800

Entry = tuple[bytes, dict[bytes, bytes]]


class RedisIntake:
    """The taking half of a worker's end."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._redis: Any = link.client
        self._claim = self._redis.register_script(CLAIM)
        self._remove_queue = self._redis.register_script(REMOVE_QUEUE)

    async def heartbeats(self, worker_ids: list[str]) -> tuple[list[Heartbeat], list[str]]:
        """The heartbeats of those that live, and the ids of those that do not."""
        beats = await self._redis.mget([keys.worker(one) for one in worker_ids]) if worker_ids else []
        dead = [one for one, beat in zip(worker_ids, beats, strict=True) if beat is None]
        return [decoded for beat in beats if beat and (decoded := decode(beat))], dead

    async def take(self, model: str, worker_id: str, *, limit: int, timeout_s: float) -> list[Job]:
        queues = {keys.queue(model, worker_id): worker_id, keys.queue(model): ""}
        wanted = dict.fromkeys(queues, ">")
        block_ms = max(1, int(timeout_s * 1000))
        found = await self._link.in_group(
            list(queues),
            lambda: self._redis.xreadgroup(keys.GROUP, worker_id, wanted, count=limit, block=block_ms),
        )
        jobs: list[Job] = []
        for queue, entries in streams(found):
            jobs += await self._jobs(model, queues[queue], entries)
        await self._link.steadily(lambda: self._keep_prefixes(model, worker_id, jobs))
        return jobs

    async def take_over(
        self, model: str, worker_id: str, *, at_hand: Collection[str], limit: int
    ) -> list[Job]:
        owners = [one.decode() for one in await self._link.steadily(self._owners(model))]
        jobs: list[Job] = []
        for owner in ("", worker_id, *(one for one in owners if one != worker_id)):
            if (room := limit - len(jobs)) < 1:
                break
            jobs += await self._link.in_group(
                [keys.queue(model, owner)],
                lambda owner=owner, room=room: self._take_over_queue(  # type: ignore[misc]  # mypy cannot infer a default's type
                    model, owner, worker_id, at_hand=at_hand, limit=room
                ),
            )
        await self._link.steadily(lambda: self._keep_prefixes(model, worker_id, jobs))
        return jobs

    async def hand_back(self, model: str, worker_id: str, *, at_hand: Collection[str]) -> None:
        owners = [one.decode() for one in await self._link.steadily(self._owners(model))]
        for owner in {"", worker_id, *owners}:
            queue = keys.queue(model, owner)
            await self._link.in_group(
                [queue],
                lambda queue=queue: self._claim(  # type: ignore[misc]  # mypy cannot infer a default's type
                    keys=(queue,), args=(keys.GROUP, worker_id, _NOBODY, 0, 1000, *at_hand)
                ),
            )

    async def remove(self, ticket: Ticket) -> None:
        queue = keys.queue(ticket.model, ticket.owner)

        async def take_out() -> None:
            async with self._redis.pipeline() as pipeline:
                pipeline.xack(queue, keys.GROUP, ticket.entry_id)
                pipeline.xdel(queue, ticket.entry_id)
                await pipeline.execute(raise_on_error=False)

        await self._link.steadily(take_out)

    async def remove_queue(self, model: str, owner: str) -> None:
        """Remove the queue of a worker that is gone, unless something is left in it."""
        names = (keys.worker(owner), keys.queue(model, owner), keys.owners(model))
        await self._remove_queue(keys=names, args=(owner,))

    def _owners(self, model: str) -> Any:
        return lambda: self._redis.smembers(keys.owners(model))

    async def _take_over_queue(
        self, model: str, owner: str, worker_id: str, *, at_hand: Collection[str], limit: int
    ) -> list[Job]:
        """What workers that are gone had of one queue; all of it, when its owner takes no more."""
        queue = keys.queue(model, owner)
        consumers = [one["name"].decode() for one in await self._redis.xinfo_consumers(queue, keys.GROUP)]
        living = {one.worker_id: one for one in (await self.heartbeats(_distinct(owner, *consumers)))[0]}
        # After an outage workers live whose heartbeats are gone.
        if self._link.was_lost_lately():
            return []
        entries: list[Entry] = []
        for consumer in consumers:
            if consumer != worker_id and consumer in living:
                continue
            idle_ms, left = (_LOST_AFTER_MS, at_hand) if consumer == worker_id else (0, ())
            options = (keys.GROUP, consumer, worker_id, idle_ms, limit - len(entries), *left)
            claimed = await self._claim(keys=(queue,), args=options)
            entries += [(entry_id, {fields[0]: fields[1]}) for entry_id, fields in claimed]
        keeper = living.get(owner)
        if owner and owner != worker_id and (keeper is None or keeper.state is WorkerState.DRAINING):
            entries += await self._read_new(queue, worker_id, limit=limit - len(entries))
            if keeper is None and not entries:
                await self.remove_queue(model, owner)
        elif not owner:
            await self._forget_consumers(queue, [one for one in consumers if one not in living])
        return [await self._inherit(job) for job in await self._jobs(model, owner, entries)]

    async def _read_new(self, queue: str, worker_id: str, *, limit: int) -> list[Entry]:
        if limit < 1:
            return []
        found = await self._redis.xreadgroup(keys.GROUP, worker_id, {queue: ">"}, count=limit)
        return [entry for _, entries in streams(found) for entry in entries]

    async def _forget_consumers(self, queue: str, dead: list[str]) -> None:
        """Those of the dead that have nothing left: a consumer that is deleted takes what it has with it."""
        for consumer in dead:
            pending = await self._redis.xpending_range(queue, keys.GROUP, "-", "+", 1, consumername=consumer)
            if not pending and consumer != _NOBODY:
                await self._redis.xgroup_delconsumer(queue, keys.GROUP, consumer)

    async def _jobs(self, model: str, owner: str, entries: list[Entry]) -> list[Job]:
        """The entries as jobs; one that is no request (another version wrote it) is thrown away."""
        jobs = []
        now_s, now_us = await self._link.steadily(self._redis.time) if entries else (0, 0)
        for entry_id, fields in entries:
            ticket = Ticket(model=model, request_id="", entry_id=entry_id.decode(), owner=owner)
            try:
                request = msgspec.json.decode(fields[b"m"], type=Submit).request
            except (KeyError, msgspec.MsgspecError):
                logger.exception("entry %s of %s cannot be read and is dropped", entry_id, model)
                await self.remove(ticket)
                continue
            sent_at = int(entry_id.split(b"-")[0]) / 1000
            waited_s = max(0.0, now_s + now_us / 1e6 - sent_at)
            ticket = msgspec.structs.replace(ticket, request_id=request.id)
            jobs.append(Job(ticket=ticket, request=request, waited_s=waited_s))
        return jobs

    async def _inherit(self, job: Job) -> Job:
        """With what another worker has replied already."""
        last = await self._redis.xrevrange(keys.replies(job.request.id), count=1)
        if not last:
            return job
        entry_id, fields = last[0]
        reply = msgspec.json.decode(fields[b"m"], type=Reply)
        return msgspec.structs.replace(
            job, num_replies=int(entry_id.split(b"-")[0]), has_begun=not isinstance(reply, Accepted)
        )

    async def _keep_prefixes(self, model: str, worker_id: str, jobs: Iterable[Job]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for job in jobs:
                for digest in affinity.prefixes(job.request).to_keep:
                    pipeline.set(keys.prefix(model, digest), worker_id, ex=_PREFIX_TTL_S)
            if len(pipeline):
                await pipeline.execute()


def decode(payload: bytes) -> Heartbeat | None:
    """None for a heartbeat of another version of this program."""
    try:
        return msgspec.json.decode(payload, type=Heartbeat)
    except msgspec.MsgspecError:
        return None


def _distinct(*names: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name]
