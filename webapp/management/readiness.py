"""Waiting until every part answers, and telling how far a model is loaded meanwhile."""

import asyncio
import logging
import time
from collections.abc import Callable
from http import HTTPStatus

import httpx

from inference.request_queue.messages import Heartbeat
from inference.request_queue.redis_streams import RedisTransport
from inference.request_queue.transport import TransportLost
from webapp.management.supervision import SupervisionError, Supervisor

PAUSE_S = 0.2


def wait(
    supervisor: Supervisor, *, address: str, redis_url: str, within_s: float, tell: Callable[[str], None]
) -> None:
    """Return once /readyz says yes. Raises SupervisionError when a part cannot start or the time is up.

    `tell` gets one line whenever there is news.
    """
    deadline = time.monotonic() + within_s
    told = ""
    # That Redis is not up yet is no news here.
    logging.getLogger("inference.request_queue").setLevel(logging.ERROR)
    with httpx.Client(base_url=address, timeout=2.0, trust_env=False) as client:
        while not _is_ready(client):
            _raise_for_dead_parts(supervisor)
            if time.monotonic() > deadline:
                raise SupervisionError(f"Not ready after {within_s:.0f} s. {_answer(client)}")
            if (news := _news(redis_url)) != told:
                tell(news)
                told = news
            time.sleep(PAUSE_S)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == HTTPStatus.OK
    except httpx.HTTPError:
        return False


def _answer(client: httpx.Client) -> str:
    try:
        return f"/readyz says: {client.get('/readyz').text[:500]}"
    except httpx.HTTPError as error:
        return f"The site does not answer: {error}"


def _raise_for_dead_parts(supervisor: Supervisor) -> None:
    if not supervisor.is_alive():
        raise SupervisionError("supervisord ended; see log/supervisord.log under VAR_DIR.")
    for name in supervisor.failed():
        raise SupervisionError(
            f"The {name} part does not stay up. Its last words:\n{supervisor.last_lines(name)}"
        )


def _news(redis_url: str) -> str:
    for beat in asyncio.run(_heartbeats(redis_url)):
        if beat.state == "loading":
            return f"Loading {beat.model}: {beat.progress:.0%}"
    return "Waiting for every part to answer"


async def _heartbeats(redis_url: str) -> list[Heartbeat]:
    transport = RedisTransport(redis_url, patience_s=0)
    try:
        return await transport.workers()
    except TransportLost:
        return []
    finally:
        await transport.aclose()
