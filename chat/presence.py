"""Who has which chat open and in view. Kept in Redis for a little longer than a page takes to say so again;
when Redis is away nobody is taken to be there."""

import logging
import time
from uuid import UUID

import redis
from redis.exceptions import RedisError

from chat import events

logger = logging.getLogger(__name__)

SEEN_S = 60.0  # a page says so every 25 s


def _key(conversation_id: UUID | str) -> str:
    return f"chat:{conversation_id}:watched"


async def note(page: str, conversation_id: str, *, is_watching: bool) -> None:
    """This page shows this chat to somebody, or no longer does."""
    try:
        async with events.client() as connection, connection.pipeline() as pipe:
            if is_watching:
                pipe.zadd(_key(conversation_id), {page: time.time() + SEEN_S})
                pipe.expire(_key(conversation_id), int(SEEN_S))
            else:
                pipe.zrem(_key(conversation_id), page)
            await pipe.execute()
    except RedisError:
        logger.warning("conversation %s: nobody knows who has it in view", conversation_id)


def is_watched(conversation_id: UUID, *, url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=1.0) as connection:
            return bool(connection.zcount(_key(conversation_id), time.time(), "+inf"))
    except RedisError:
        return False
