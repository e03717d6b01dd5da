"""`python -m tests.backends.tiny_worker REDIS_URL`: a worker process around the tiny engine, to be killed."""

import asyncio
import sys

from tests.backends import stands


async def main(redis_url: str) -> None:
    async with stands.local_stand(redis_url) as local:
        local.play("text: a b c", "stall:")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
