"""Both transports, each as the ends that callers and workers hold."""

from collections.abc import AsyncIterator

import pytest

from inference.request_queue.in_process import InProcessTransport
from inference.request_queue.messages import Heartbeat, WorkerState
from inference.request_queue.redis_streams import RedisTransport
from inference.request_queue.transport import Transport
from inference.schema import ChatMessage, ChatRequest, Role

MODEL = "tiny"
LONG = "A question long enough to fill a block of the prefix cache. " * 5


class Ends:
    """The caller's end and those of workers called `first` and `second`, which live unless told otherwise."""

    def __init__(self, transports: list[Transport]) -> None:
        self.caller, self.first, self.second = transports

    async def beat(self, worker_id: str, state: WorkerState = WorkerState.READY, *, num_running: int = 0):
        heartbeat = Heartbeat(worker_id=worker_id, model=MODEL, state=state, pid=1, num_running=num_running)
        await self.caller.beat(heartbeat)

    async def die(self, worker_id: str) -> None:
        """Its heartbeat is gone; what it had stays as it was."""
        gone = Heartbeat(worker_id=worker_id, model=MODEL, state=WorkerState.READY, pid=1)
        await self.caller.leave(gone)


@pytest.fixture(params=["redis", "in_process"])
async def ends(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Ends]:
    transports: list[Transport]
    if request.param == "redis":
        transports = [RedisTransport(redis_url) for _ in range(3)]
    else:
        transports = [InProcessTransport()] * 3
    built = Ends(transports)
    await built.beat("first")
    await built.beat("second")
    yield built
    for transport in transports:
        await transport.aclose()


def ask(*said: str, id: str = "request-1", **changes) -> ChatRequest:
    """A request whose messages are said by user and assistant in turn."""
    roles = (Role.USER, Role.ASSISTANT)
    messages = tuple(
        ChatMessage(role=roles[place % 2], content=text) for place, text in enumerate(said or ("hi",))
    )
    return ChatRequest(id=id, model=MODEL, messages=messages, **changes)
