"""One stand per backend: how the contract suite plays a script through it, and sees what became of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from inference.backends.base import ChatBackend
from inference.backends.local import LocalBackend
from inference.backends.openai_compatible import OpenAICompatibleBackend
from inference.backends.routed import Breaker, Route, RoutedBackend
from inference.backends.scripted import Reply, Script, ScriptedBackend
from inference.request_queue.in_process import InProcessTransport
from inference.request_queue.messages import WorkerState
from inference.request_queue.redis_streams import RedisTransport
from inference.request_queue.transport import Transport
from inference.worker.service import Service
from inference.worker.vitals import Vitals
from tests.backends.tiny_engine import CONTEXT_TOKENS, TinyEngine
from tests.backends.upstream import Provider, serve

MODEL = "tiny"


class Stand(Protocol):
    @property
    def backend(self) -> ChatBackend: ...

    def play(self, *lines: str | Reply) -> None:
        """What the model answers from now on."""

    def break_with(self, kind: str) -> None:
        """Make the next request fail: rejected, overloaded, unavailable or broken after the text "so far"."""

    async def seen_closed(self) -> float:
        """When the far end noticed that the stream was closed."""


def script_of(lines: tuple[str | Reply, ...]) -> Script:
    replies = tuple(line for line in lines if isinstance(line, Reply))
    return (
        Script(replies=replies) if replies else Script.of(*(line for line in lines if isinstance(line, str)))
    )


class ScriptedStand:
    def __init__(self) -> None:
        self.backend = ScriptedBackend(Script.of("text: ok"))

    def play(self, *lines: str | Reply) -> None:
        script = script_of(lines)
        self.backend._load = lambda: script

    def break_with(self, kind: str) -> None:
        self.play("text: so far", "break:") if kind == "broken" else self.play(f"error: {kind} for a reason")

    async def seen_closed(self) -> float:
        return time.monotonic()  # there is no far end


class ProviderStand:
    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.backend: ChatBackend = OpenAICompatibleBackend(
            base_url=provider.base_url, api_key="sk-right", thinking_dialect="thinking_type"
        )

    def play(self, *lines: str | Reply) -> None:
        self.provider.script = script_of(lines)

    def break_with(self, kind: str) -> None:
        self.play("text: so far", "break:") if kind == "broken" else self.play(f"error: {kind} for a reason")

    async def seen_closed(self) -> float:
        while not self.provider.closed_at:
            await asyncio.sleep(0.005)
        return self.provider.closed_at[-1]


class RoutedStand(ProviderStand):
    """A provider with another behind it that is always away."""

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        away = ScriptedBackend(Script.of("error: unavailable for ever"))
        self.backend = RoutedBackend(
            [
                Route(name="provider", backend=self.backend, model="scripted", breaker=Breaker()),
                Route(name="away", backend=away, model="other", breaker=Breaker(), rank=1),
            ]
        )


class LocalStand:
    """The real queue and the real worker service, around a tiny engine: on Redis, or within this process."""

    def __init__(self, redis_url: str, *, within: InProcessTransport | None = None) -> None:
        self.redis_url = redis_url
        self.within = within
        self.engine = TinyEngine()
        self.vitals = Vitals(model=MODEL)
        self.transport: Transport = within or RedisTransport(redis_url, patience_s=20)
        self.service = Service(
            self.engine,
            transport=self.transport,
            tokenizer=self.engine.tokenizer,
            vitals=self.vitals,
            drain_s=1.0,
        )
        self.backend = self._backend()

    def play(self, *lines: str | Reply) -> None:
        self.engine.script = script_of(lines)

    def break_with(self, kind: str) -> None:
        self.play("text: so far", "wait: 0.1", "break:")
        if kind == "rejected":
            self.play(Reply(when="never", lines=()))
            self.engine.tokenizer.template._template = _TooLong()  # type: ignore[assignment]
        elif kind == "overloaded":
            self.backend = self._backend(max_requests=0)
        elif kind == "unavailable":
            self.backend = self._backend(model="nobody")

    async def seen_closed(self) -> float:
        while not self.engine.aborted:
            await asyncio.sleep(0.005)
        return list(self.engine.aborted.values())[-1]

    async def die(self) -> None:
        """As kill -9 does: not another word to anybody, and the heartbeat has run out."""
        self.service._transport = _Cut()
        self.beating.cancel()
        self.serving.cancel()
        await asyncio.wait([self.serving])
        await self.transport.leave(self.vitals.heartbeat())

    def start(self) -> None:
        self.beating = asyncio.create_task(_beat(self))
        self.serving = asyncio.create_task(self.service.run())

    async def stop(self) -> None:
        """Returns once it has drained; a stand that died or stopped already is no error."""
        if not self.serving.done():
            self.service.stop()
            await self.serving
        self.beating.cancel()

    def _backend(self, **options: Any) -> LocalBackend:
        options = {"model": MODEL, "redis_url": self.redis_url, "transport": self.within} | options
        return LocalBackend(**options)


class _Cut:
    """A transport that never answers."""

    def __getattr__(self, name: str) -> Any:
        async def hang(*_arguments: object, **_options: object) -> None:
            await asyncio.Event().wait()

        return hang


class _TooLong:
    """A template whose prompts are longer than the context."""

    def render(self, **names: object) -> str:
        return "user\n" + "x" * CONTEXT_TOKENS


@asynccontextmanager
async def scripted_stand(redis_url: str) -> AsyncIterator[ScriptedStand]:
    yield ScriptedStand()


@asynccontextmanager
async def provider_stand(redis_url: str) -> AsyncIterator[ProviderStand]:
    with serve(Provider()) as provider:
        stand = ProviderStand(provider)
        yield stand
        await stand.backend.aclose()


@asynccontextmanager
async def routed_stand(redis_url: str) -> AsyncIterator[RoutedStand]:
    with serve(Provider()) as provider:
        stand = RoutedStand(provider)
        yield stand
        await stand.backend.aclose()


@asynccontextmanager
async def local_stand(
    redis_url: str, *, within: InProcessTransport | None = None
) -> AsyncIterator[LocalStand]:
    stand = LocalStand(redis_url, within=within)
    stand.vitals.state = WorkerState.READY
    await stand.transport.beat(stand.vitals.heartbeat())
    stand.start()
    yield stand
    await stand.stop()
    await stand.transport.leave(stand.vitals.heartbeat())
    await stand.transport.aclose()
    await stand.backend.aclose()


async def _beat(stand: LocalStand) -> None:
    while True:
        await asyncio.sleep(0.5)
        await stand.transport.beat(stand.vitals.heartbeat())


@asynccontextmanager
async def in_process_stand(redis_url: str) -> AsyncIterator[LocalStand]:
    async with local_stand(redis_url, within=InProcessTransport()) as stand:
        yield stand


STANDS: dict[str, Callable[[str], AbstractAsyncContextManager[Stand]]] = {
    "scripted": scripted_stand,
    "openai_compatible": provider_stand,
    "routed": routed_stand,
    "local": local_stand,
    "local_in_process": in_process_stand,
}
