"""A small provider on the loopback: OpenAI's chat completions over HTTP, answered by the scripted backend."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import uvicorn

from inference.backends.base import BackendError, BackendOverloaded, RequestRejected, StreamBroken
from inference.backends.scripted import Script, ScriptedBackend
from inference.schema import (
    ChatDelta,
    ChatMessage,
    ChatRequest,
    ContentDelta,
    Finished,
    ReasoningDelta,
    Role,
    Sampling,
    Thinking,
    Usage,
)
from tests.services import free_port, wait_until


class Provider:
    """`style` is how it writes reasoning and usage: kimi, openai, or tags in the content."""

    def __init__(self) -> None:
        self.script = Script.of("text: ok")
        self.style = "kimi"
        self.has_usage = True
        self.has_logprobs = False
        self.closed_at: list[float] = []
        self.bodies: list[dict[str, Any]] = []
        self.port = free_port()
        self._is_thinking = False

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/v1/models":
            await _respond(send, 200, {"object": "list", "data": []})
            return
        if (b"authorization", b"Bearer sk-right") not in scope["headers"]:
            await _respond(send, 401, _error("wrong key"))
            return
        body = json.loads(await _body(receive))
        self.bodies.append(body)
        answering = asyncio.ensure_future(self._answer(body, send))
        leaving = asyncio.ensure_future(_left(receive))
        done, _ = await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if answering in done:
            leaving.cancel()
            answering.result()
            return
        answering.cancel()
        self.closed_at.append(time.monotonic())

    async def _answer(self, body: dict[str, Any], send: Any) -> None:
        stream = ScriptedBackend(self.script).stream(_request(body))
        try:
            first = await anext(stream)
        except BackendError as error:
            await _refuse(send, error)
            return
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )
        try:
            for chunk in self._chunks(first):
                await _event(send, chunk)
            async for delta in stream:
                for chunk in self._chunks(delta):
                    await _event(send, chunk)
        except StreamBroken:
            raise ConnectionAbortedError("the script says so") from None
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    def _chunks(self, delta: ChatDelta) -> list[dict[str, Any]]:
        if isinstance(delta, Finished):
            return self._last_chunks(delta)
        if isinstance(delta, ReasoningDelta) and self.style == "tags":
            opening = "" if self._is_thinking else "<think>"
            self._is_thinking = True
            return [_chunk({"content": opening + delta.text})]
        if isinstance(delta, ContentDelta) and self._is_thinking:
            self._is_thinking = False
            return [_chunk({"content": "</think>\n\n" + delta.text})]
        if isinstance(delta, ReasoningDelta):
            name = {"kimi": "reasoning_content", "openai": "reasoning"}[self.style]
            return [_chunk({name: delta.text})]
        if isinstance(delta, ContentDelta):
            chunk = _chunk({"content": delta.text})
            if self.has_logprobs:
                likely = {"token": "z", "logprob": -0.25, "bytes": None}
                entry = {"token": delta.text, "logprob": -0.5, "bytes": list(delta.text.encode())}
                chunk["choices"][0]["logprobs"] = {"content": [entry | {"top_logprobs": [likely]}]}
            return [chunk]
        function: dict[str, Any] = {"arguments": delta.arguments}
        call: dict[str, Any] = {"index": delta.index, "function": function}
        if delta.id:
            call |= {"id": delta.id, "type": "function"}
            function["name"] = delta.name
        return [_chunk({"tool_calls": [call]})]

    def _last_chunks(self, finished: Finished) -> list[dict[str, Any]]:
        last = _chunk({}, finish_reason=finished.reason.value)
        if not self.has_usage:
            return [last]
        usage = _usage(finished.usage, is_kimi=self.style == "kimi")
        if self.style == "kimi":
            last["choices"][0]["usage"] = usage
            return [last]
        return [last, {**_chunk({}), "choices": [], "usage": usage}]


@contextmanager
def serve(provider: Provider) -> Iterator[Provider]:
    config = uvicorn.Config(
        provider, host="127.0.0.1", port=provider.port, log_level="critical", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, within_s=30, what="the provider")
    yield provider
    server.should_exit = server.force_exit = True
    thread.join(timeout=5)


def _request(body: dict[str, Any]) -> ChatRequest:
    messages = tuple(
        ChatMessage(role=Role(message["role"]), content=message.get("content") or "")
        for message in body["messages"]
    )
    asked = any("<think>" in message.content for message in messages)
    thinking = body.get("thinking", {}).get("type") == "enabled" or asked
    thinking = thinking or body.get("chat_template_kwargs", {}).get("thinking", False)
    return ChatRequest(
        id="upstream",
        model=body["model"],
        messages=messages,
        sampling=Sampling(max_tokens=body.get("max_tokens")),
        thinking=Thinking(enabled=thinking),
    )


def _chunk(delta: dict[str, Any], *, finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def _usage(usage: Usage, *, is_kimi: bool) -> dict[str, Any]:
    written: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    if is_kimi:
        return written | {"cached_tokens": usage.input_cached_tokens}
    return written | {"prompt_tokens_details": {"cached_tokens": usage.input_cached_tokens}}


async def _refuse(send: Any, error: BackendError) -> None:
    if isinstance(error, RequestRejected):
        await _respond(send, 400, _error(str(error)))
    elif isinstance(error, BackendOverloaded):
        await _respond(send, 429, _error(str(error)), headers=[(b"retry-after", b"1")])
    else:
        await _respond(send, 502, _error(str(error)))


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "error", "param": None, "code": None}}


async def _respond(send: Any, status: int, body: Any, *, headers: Any = ()) -> None:
    headers = [(b"content-type", b"application/json"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(body)})


async def _event(send: Any, chunk: dict[str, Any]) -> None:
    body = b"data: " + msgspec.json.encode(chunk) + b"\n\n"
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
