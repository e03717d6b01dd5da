"""A turn's events for programs."""

import contextlib
from collections.abc import AsyncGenerator
from uuid import UUID

from chat import replay


async def follow(turn_id: UUID, *, after: int = 0) -> AsyncGenerator[bytes, None]:
    """Those after number `after` as JSON, one by one, up to the last. Raises Turn.DoesNotExist once the
    turn is deleted."""
    async with contextlib.aclosing(replay.follow(turn_id, after=after)) as entries:
        async for found in entries:
            for entry in found:
                yield entry
