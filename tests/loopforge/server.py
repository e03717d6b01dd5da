"""The server: raw ASGI, so that little of a measured time is its own.

`/v1/chat/completions` and `/v1/models` are the provider's; `/forge/log` tells what was asked, `/forge/count`
how often.
"""

import asyncio
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from tests.loopforge import prefixes, talk, wire
from tests.loopforge.course import Course, Move, Planned
from tests.loopforge.faults import Fault, Strike

MODEL = "loopforge-thinking"
REFUSALS = {
    Fault.BUSY: (429, "Rate limit reached for requests.", "rate_limit_exceeded", "requests"),
    Fault.FAILS: (500, "The server had an error while processing your request.", None, "server_error"),
    Fault.QUOTA: (
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        "insufficient_quota",
    ),
    Fault.UNPAID: (402, "Insufficient balance.", "insufficient_balance", "billing_error"),
}
RETRY_AFTER_MS = 200
SLOW_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How the provider behaves. `is_strict`: it refuses what real ones refuse. `has_prefix_cache`: cached
    tokens are those of prompts it has seen, else of the step before, by rule."""

    latency_ms: int = 0
    pace_ms: int = 0
    context_tokens: int = 262_144
    is_strict: bool = True
    has_prefix_cache: bool = False
    keeps_bodies: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request, which came at the monotonic time `at`; `status` of its answer is 0 when the asker left
    before its end."""

    at: float
    step: int
    num_messages: int
    prompt_tokens: int
    cached_tokens: int
    tool_choice: str
    num_tools: int
    fault: str
    status: int


@dataclass
class LoopForge:
    """The application. A strike of the wire passes when the call was made `times` times; that alone is kept
    in memory."""

    course: Course = field(default_factory=Planned)
    manner: Manner = Manner()
    asked: list[Asked] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._strikes: Counter[tuple[str, int]] = Counter()
        self._prefixes = prefixes.Prefixes()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path == "/v1/models":
            models = [{"id": MODEL, "object": "model", "created": 1, "owned_by": "loopforge"}]
            await _respond(send, 200, {"object": "list", "data": models})
        elif path == "/v1/chat/completions":
            await self._complete(receive, send)
        elif path == "/forge/count":
            await _respond(send, 200, len(self.asked))
        elif path == "/forge/log":
            await _respond(send, 200, [asdict(asked) for asked in self.asked])
        else:
            await _respond(send, 404, wire.error(f"There is nothing at {path}."))

    async def _complete(self, receive: Any, send: Any) -> None:
        at = time.monotonic()
        body = msgspec.json.decode(await _body(receive))
        if self.manner.keeps_bodies:
            self.bodies.append(body)
        answering = asyncio.ensure_future(self._answer(at, body, send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not answering.done():
                answering.cancel()
        if not answering.cancelled() and answering.done():
            answering.result()

    async def _answer(self, at: float, body: dict[str, Any], send: Any) -> None:
        move, status = None, 0
        count = wire.Counted(prompt=0, cached=0)
        fault = ""
        try:
            if self.manner.is_strict:
                talk.check(body)
            heard = talk.read(body)
            move = self.course.move(heard)
            count = self._count(body)
            if count.prompt > self.manner.context_tokens:
                status = await _refuse_length(send, count.prompt, self.manner.context_tokens)
                return
            strike = self._strike(heard.question, move)
            fault = strike.fault if strike else ""
            status = await self._say(send, body, move, count, strike, at=at)
        except talk.BadConversation as refusal:
            fault, status = str(refusal), 400
            await _respond(send, 400, wire.error(str(refusal)))
        finally:
            self.asked.append(_asked(at, body, move, count, fault, status))

    def _count(self, body: dict[str, Any]) -> wire.Counted:
        if self.manner.has_prefix_cache:
            return self._prefixes.count(body["messages"], body.get("tools"))
        return wire.counted(body["messages"])

    def _strike(self, question: str, move: Move) -> Strike | None:
        if move.strike is None:
            return None
        key = (question, move.step)
        self._strikes[key] += 1
        return move.strike if self._strikes[key] <= move.strike.times else None

    async def _say(
        self,
        send: Any,
        body: dict[str, Any],
        move: Move,
        count: wire.Counted,
        strike: Strike | None,
        *,
        at: float,
    ) -> int:
        fault = strike.fault if strike else None
        # Counted from when it was asked: what it takes to read the question is part of the model's time.
        due = at + (SLOW_S if fault is Fault.SLOW else 0) + self.manner.latency_ms / 1000
        await asyncio.sleep(max(due - time.monotonic(), 0))
        if fault in REFUSALS:
            return await _refuse(send, fault)
        if fault is Fault.OVERFLOW:
            return await _refuse_length(send, count.prompt, self.manner.context_tokens)
        move = _cut_short(move, fault)
        if not body.get("stream"):
            await _respond(send, 200, wire.whole(move, count, model=MODEL))
            return 200
        await self._stream(send, list(wire.chunks(move, count, model=MODEL)), fault)
        return 200

    async def _stream(self, send: Any, chunks: list[bytes], fault: Fault | None) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        is_broken = fault in (Fault.CUT, Fault.STALLS)
        for chunk in chunks[: len(chunks) // 2] if is_broken else chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if self.manner.pace_ms:
                await asyncio.sleep(self.manner.pace_ms / 1000)
        if fault is Fault.STALLS:
            await asyncio.Event().wait()
        if fault is Fault.CUT:
            raise ConnectionAbortedError("the plan says so")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _cut_short(move: Move, fault: Fault | None) -> Move:
    if fault is Fault.EMPTY:
        return Move(step=move.step, reasoning="")
    return Move(step=move.step, reasoning=move.reasoning) if fault is Fault.THINKING else move


def _asked(
    at: float, body: dict[str, Any], move: Move | None, count: wire.Counted, fault: str, status: int
) -> Asked:
    return Asked(
        at=at,
        step=move.step if move else 0,
        num_messages=len(body["messages"]),
        prompt_tokens=count.prompt,
        cached_tokens=count.cached,
        tool_choice=str(body.get("tool_choice", "auto")),
        num_tools=len(body.get("tools") or ()),
        fault=fault,
        status=status,
    )


async def _refuse(send: Any, fault: Fault) -> int:
    status, message, code, kind = REFUSALS[fault]
    wait = [(b"retry-after-ms", str(RETRY_AFTER_MS).encode())] if fault is Fault.BUSY else []
    await _respond(send, status, wire.error(message, code=code, kind=kind), headers=wait)
    return status


async def _refuse_length(send: Any, num_tokens: int, most: int) -> int:
    words = f"This model's maximum context length is {most} tokens. However, your messages resulted in "
    body = wire.error(f"{words}{num_tokens} tokens.", code="context_length_exceeded")
    await _respond(send, 400, body)
    return 400


async def _respond(send: Any, status: int, body: Any, *, headers: Any = ()) -> None:
    headers = [(b"content-type", b"application/json"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(body)})


async def _body(receive: Any) -> bytes:
    pieces = []
    while True:
        message = await receive()
        pieces.append(bytes(message.get("body", b"")))
        if not message.get("more_body"):
            return b"".join(pieces)


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
