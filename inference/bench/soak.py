"""Many clients that ask, cut, vanish and come back at random, for minutes, against real workers.

Nothing may leak (blocks of the KV cache, keys of Redis, files, memory) and no request may be stuck: what is
found at the end decides the exit code.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from inference import registry
from inference.backends.base import BackendError, BackendOverloaded, StreamBroken
from inference.backends.local import LocalBackend
from inference.bench import model_files, report
from inference.bench.report import Figure
from inference.bench.soak_rig import Look, Rig, RigFailed
from inference.request_queue.redis_streams import RedisTransport
from inference.schema import ChatMessage, ChatRequest, Role, Sampling, ToolSpec

# Longer without a word of an answer that is read, a request counts as stuck.
STUCK_AFTER_S = 120.0
# What is still running when the clients are gone is aborted or answered within this time.
IDLE_WITHIN_S = 60.0
_LOOK_S = 2.0
# Room for what grows once and then stays: buffers, thread pools, connections.
_MORE_FILES = 16
_MORE_MEMORY = 0.05
_LEAST_S_FOR_MEMORY = 120.0  # before, memory still fills

_OPENINGS = tuple(
    f"You are assistant number {number}. " + "Answer in plain words and keep to what is asked. " * 8
    for number in range(4)
)
_QUESTIONS = (
    "Tell a story about the sea.",
    "List ten animals and what they eat.",
    "Explain how a bridge stands. " * 12,
    "What is the capital of France?",
)
_TOOL = ToolSpec(name="calculator", description="Computes.", parameters={"type": "object"})


@dataclass
class Tally:
    """What became of the requests. `ends`: finished, cut, vanished, overloaded, refused, broken, stuck."""

    ends: Counter[str] = field(default_factory=Counter)
    looks: list[Look] = field(default_factory=list)
    longest_stall_s: float = 0.0  # of the event loop that all clients share
    faults: list[str] = field(default_factory=list)


class Client:
    """One that asks again and again until the time is up; a random one of four ways to end each request."""

    def __init__(self, rig: Rig, tally: Tally, *, number: int, seed: int) -> None:
        self._rig, self._tally, self._number = rig, tally, number
        self._random = random.Random(seed * 1000 + number)
        self._num_asked = 0
        self._messages: tuple[ChatMessage, ...] = ()

    async def run(self, *, until: float) -> None:
        while time.monotonic() < until:
            backend = LocalBackend(redis_url=self._rig.url, model=self._rig.model)
            try:
                for _ in range(self._random.randint(1, 5)):  # then it connects anew
                    if time.monotonic() < until:
                        await self._ask(backend)
            finally:
                await backend.aclose()

    async def _ask(self, backend: LocalBackend) -> None:
        request = self._request()
        way = self._random.choices(("read", "cut", "cut at once", "vanish"), weights=(5, 3, 1, 1))[0]
        try:
            if way == "vanish":
                await self._vanish(request)
            else:
                await self._read(backend, request, way)
        except BackendOverloaded:
            self._tally.ends["overloaded"] += 1
            await asyncio.sleep(self._random.random())
        except TimeoutError:
            self._fault("stuck", request, "no word for too long")
        except StreamBroken as error:
            self._fault("broken", request, str(error))
        except BackendError as error:
            self._fault("refused", request, str(error))

    async def _read(self, backend: LocalBackend, request: ChatRequest, way: str) -> None:
        num_wanted = {"read": 1 << 30, "cut": self._random.randint(1, 8), "cut at once": 0}[way]
        stream = backend.stream(request)
        try:
            if num_wanted == 0:
                async with asyncio.timeout(self._random.random()):
                    await anext(stream)
            while num_wanted > 0:
                async with asyncio.timeout(STUCK_AFTER_S):
                    await anext(stream)
                num_wanted -= 1
        except StopAsyncIteration:
            self._tally.ends["finished"] += 1
            return
        except TimeoutError:
            if num_wanted > 0:
                raise
        finally:
            await stream.aclose()
        self._tally.ends["cut"] += 1

    async def _vanish(self, request: ChatRequest) -> None:
        """Ask and fall silent, as a process that is killed does."""
        transport = RedisTransport(self._rig.url)
        await transport.send(request, model=self._rig.model)
        await transport.aclose()
        self._tally.ends["vanished"] += 1

    def _request(self) -> ChatRequest:
        """A new conversation or the next question of the last: prefixes are shared and part."""
        self._num_asked += 1
        question = ChatMessage(role=Role.USER, content=self._random.choice(_QUESTIONS))
        if self._messages and len(self._messages) < 8 and self._random.random() < 0.5:
            reply = ChatMessage(role=Role.ASSISTANT, content="I see.")
            self._messages = (*self._messages, reply, question)
        else:
            opening = ChatMessage(role=Role.SYSTEM, content=self._random.choice(_OPENINGS))
            self._messages = (opening, question)
        return ChatRequest(
            id=f"soak-{self._number}-{self._num_asked}",
            model=self._rig.model,
            messages=self._messages,
            tools=(_TOOL,) if self._random.random() < 0.1 else (),
            sampling=Sampling(max_tokens=self._random.randint(1, 40), seed=self._random.randrange(100)),
            tenant=f"tenant-{self._number % 3}",
            priority=self._random.choice((0, 0, 0, 1)),
        )

    def _fault(self, end: str, request: ChatRequest, text: str) -> None:
        self._tally.ends[end] += 1
        self._tally.faults.append(
            "\n  ".join([f"{request.id} {end}: {text}", *self._rig.said_of(request.id)])
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="smollm2", help="name, GGUF file or checkpoint folder")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    # Small, so that the cache fills and gives blocks up again: else its own growth would look like a leak.
    parser.add_argument("--context-tokens", type=int, default=1024)
    model_files.add_options(parser)


def run(options: argparse.Namespace) -> int:
    try:
        file = model_files.find(options.model, models_dir=options.models_dir)
        name = registry.served_name(options.model)
        words = ["--context-tokens", str(options.context_tokens)]
        words += ["--threads", str(options.threads)] if options.threads else []
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            rig = Rig(Path(folder), model=name, file=file, num_workers=options.workers, worker_options=words)
            try:
                rig.start()
                tally, complaints = asyncio.run(_soak(rig, options))
            finally:
                rig.stop()
    except (registry.RegistryError, RigFailed, OSError) as error:
        print(f"bench: {error}")
        return 1
    figures = _figures(tally)
    print(f"{options.clients} clients, {options.workers} workers of {name}; {report.machine_line()}")
    print(report.table(figures))
    print("\n".join(complaints) or "no leak, nothing stuck, memory flat")
    if options.json:
        report.write(options.json, figures=figures, conditions=report.conditions(options.command))
    return 1 if complaints else 0


async def _soak(rig: Rig, options: argparse.Namespace) -> tuple[Tally, list[str]]:
    """What was seen, and what is to complain of."""
    tally = Tally()
    until = time.monotonic() + 60 * options.minutes
    clients = [Client(rig, tally, number=number, seed=options.seed) for number in range(options.clients)]
    watching = [asyncio.create_task(watch) for watch in (_look(rig, tally), _feel_stalls(tally))]
    await asyncio.gather(*(client.run(until=until) for client in clients))
    num_left = await _until_idle(rig)
    for task in watching:
        task.cancel()
    tally.looks.append(rig.look())
    return tally, [*_complaints(rig, tally, num_left), *tally.faults[:20]]


async def _look(rig: Rig, tally: Tally) -> None:
    while True:
        tally.looks.append(await asyncio.to_thread(rig.look))
        await asyncio.sleep(_LOOK_S)


async def _feel_stalls(tally: Tally) -> None:
    while True:
        slept_at = time.monotonic()
        await asyncio.sleep(0.1)
        tally.longest_stall_s = max(tally.longest_stall_s, time.monotonic() - slept_at - 0.1)


async def _until_idle(rig: Rig) -> int:
    """Wait for what is still running; the number of requests and blocks that stay all the same."""
    deadline = time.monotonic() + IDLE_WITHIN_S
    while True:
        busy = sum(one.num_running + one.num_waiting + one.num_blocks_used for one in rig.workers())
        left = busy + rig.num_queued()
        if left == 0 or time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.5)


def _complaints(rig: Rig, tally: Tally, num_left: int) -> list[str]:
    found = []
    if not rig.are_alive():
        found.append("a worker ended")
    if num_left:
        found.append(f"{num_left} requests or blocks are still held though every client is gone")
    if strays := rig.stray_keys():
        found.append(f"{len(strays)} keys stay in Redis for ever: {', '.join(strays[:5])}")
    middle, end = _parts(tally.looks)
    if (files := end[-1].num_files - max(look.num_files for look in middle)) > _MORE_FILES:
        found.append(f"{files} more open files at the end than in the middle")
    if end[-1].at_s > _LEAST_S_FOR_MEMORY and _growth(middle, end) > _MORE_MEMORY:
        found.append(f"the workers' memory grew by {_growth(middle, end):.1%} in the second half")
    return found


def _parts(looks: list[Look]) -> tuple[list[Look], list[Look]]:
    """The second quarter, when everything has warmed up, and the last one."""
    quarter = max(1, len(looks) // 4)
    return looks[quarter : 2 * quarter] or looks, looks[-quarter:]


def _growth(middle: list[Look], end: list[Look]) -> float:
    before = median(look.rss_bytes for look in middle)
    return median(look.rss_bytes for look in end) / before - 1


def _figures(tally: Tally) -> list[Figure]:
    middle, end = _parts(tally.looks)
    return [
        *(Figure(name=f"requests {end_}", value=count, unit="") for end_, count in tally.ends.most_common()),
        Figure(name="longest stall of the clients", value=tally.longest_stall_s, unit="s"),
        Figure(name="memory, second quarter", value=middle[-1].rss_bytes / 2**20, unit="MiB"),
        Figure(name="memory, last quarter", value=end[-1].rss_bytes / 2**20, unit="MiB"),
        Figure(name="growth of memory", value=100 * _growth(middle, end), unit="%"),
        Figure(name="open files, at most", value=max(look.num_files for look in tally.looks), unit=""),
        Figure(name="open files, at the end", value=end[-1].num_files, unit=""),
        Figure(name="keys in Redis, at most", value=max(look.num_keys for look in tally.looks), unit=""),
        Figure(
            name="Redis, at most", value=max(look.redis_bytes for look in tally.looks) / 2**20, unit="MiB"
        ),
    ]
