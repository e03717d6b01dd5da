"""One HTTP request and its answer on raw ASGI: headers, a bounded body, JSON or a stream. Knows no models."""

import asyncio
import math
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

import orjson
from django.conf import settings

from webapp.api import dialects, sse
from webapp.api.dialects import Dialect
from webapp.api.errors import ApiError, invalid_key

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = b"application/json"
MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_READ_BYTES = 4 * MAX_BODY_BYTES
# A body that is read before anybody asks whose it is: it lies in the socket's buffer as it is.
SHORT_BYTES = 64 * 1024
MAX_HEADER_BYTES = 64 * 1024
BODY_WITHIN_S = 120.0
# A client that takes nothing for so long is gone, for all that a model should care.
TAKEN_WITHIN_S = 60.0


class ClientGone(Exception):
    """The client hung up before its request was whole, or takes nothing of its answer any more."""


class Recording(Protocol):
    """Takes all of an answer, which then goes to its end whether its client stays or not."""

    async def keep(self, content_type: bytes, content: bytes) -> None:
        """The whole answer, before the last of it is sent. Not told of faults."""
        ...

    async def renew(self) -> None:
        """It is still being made."""
        ...


class Exchange:
    """Parts of an answer may be sent from several tasks; each goes out whole."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, dialect: Dialect = dialects.OPENAI
    ) -> None:
        self.dialect = dialect
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope.get("query_string", b"")
        self.id = uuid.uuid4().hex
        self.status: int | None = None
        self.is_streaming = False  # a stream was begun and has not ended
        self.is_gone = False  # the client hung up
        self.started_at = time.perf_counter()
        self.sent_at = self.started_at
        self.extra_headers: dict[str, str] = {}
        self.recording: Recording | None = None
        self._recorded: list[bytes] = []
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._body: bytes | None = None
        self._client: str = (scope.get("client") or ("",))[0]
        self._receive = receive
        self._send = send
        self._turn = asyncio.Lock()

    @property
    def request_id(self) -> str:
        return f"req_{self.id}"

    @property
    def is_dry_run(self) -> bool:
        """Whether the client wants to know what it would cost, and nothing done."""
        return self._header(b"x-dry-run").lower() in ("1", "true")

    @property
    def last_event_id(self) -> str | None:
        """Of the last event that a client has which lost its stream."""
        return self._header(b"last-event-id") or None

    @property
    def secret(self) -> str:
        """The key, of the Authorization header or of x-api-key. Raises ApiError 401 without one, and 431
        where the headers are so long that nobody means well.
        """
        if sum(len(name) + len(value) for name, value in self._headers.items()) > MAX_HEADER_BYTES:
            raise _headers_too_large()
        scheme, _, secret = self._header(b"authorization").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            secret = self._header(b"x-api-key")
        if not secret.strip():
            raise invalid_key()
        return secret.strip()

    @property
    def address(self) -> str:
        """Where the client is: behind a proxy of ours, what that one says."""
        forwarded = self._header(b"x-forwarded-for") if settings.BEHIND_PROXY else ""
        return forwarded.rpartition(",")[2].strip() or self._client

    @property
    def is_short(self) -> bool:
        """Whether the client says that its body is short."""
        length = self._header(b"content-length")
        return length.isascii() and length.isdigit() and int(length[:9]) <= SHORT_BYTES

    def _header(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")

    async def read_body(self) -> bytes:
        """The whole body, the same whenever it is asked for. Raises ApiError 413 past the limit, 408 when it
        takes too long to come, and ClientGone when it never ends.
        """
        if self._body is None:
            try:
                async with asyncio.timeout(BODY_WITHIN_S):
                    self._body = await self._read_body()
            except TimeoutError:
                raise _too_slow() from None
        return self._body

    async def _read_body(self) -> bytes:
        body = bytearray()
        num_bytes = 0
        while True:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise ClientGone
            piece = event.get("body", b"")
            num_bytes += len(piece)
            if num_bytes <= MAX_BODY_BYTES:
                body += piece
            # Read on past the limit for a while: a client that is still sending would not see the answer.
            if not event.get("more_body", False) or num_bytes > MAX_READ_BYTES:
                break
        if num_bytes > MAX_BODY_BYTES:
            raise _too_large()
        return bytes(body)

    async def wait_until_gone(self) -> None:
        """Return when the client hangs up; call it once the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True

    @property
    def content_type(self) -> str:
        return self._header(b"content-type")

    @property
    def idempotency_key(self) -> str | None:
        return self._header(b"idempotency-key") if b"idempotency-key" in self._headers else None

    async def send_json(self, body: Any, *, status: int = 200) -> None:
        content = orjson.dumps(body)
        if self.recording and status == 200:
            await self.recording.keep(JSON, content)
        await self.send_content(content, JSON, status=status)

    async def send_content(self, content: bytes, content_type: bytes, *, status: int = 200) -> None:
        """A whole answer at once."""
        headers = [(b"content-length", str(len(content)).encode())]
        async with self._turn:
            await self._start(status, content_type, headers)
            await self._send({"type": "http.response.body", "body": content})

    async def send_error(self, error: ApiError) -> None:
        headers = {**error.headers, "x-should-retry": "true" if error.should_retry else "false"}
        if error.retry_after_s is not None:
            headers["retry-after"] = str(math.ceil(error.retry_after_s))
            headers["retry-after-ms"] = str(math.ceil(error.retry_after_s * 1000))
        self.extra_headers |= headers
        body = self.dialect.fault(error, request_id=self.request_id)
        await self.send_json(body, status=self.dialect.status(error))

    async def stream(self, piece: bytes, *, is_last: bool = False, is_fault: bool = False) -> None:
        """Send a piece of an event stream, and the headers before the first. Raises ClientGone, unless the
        answer is recorded.
        """
        async with self._turn:
            if self.recording:
                self._recorded.append(piece)
                if is_last and not is_fault:
                    await self.recording.keep(sse.CONTENT_TYPE, b"".join(self._recorded))
            if self.status is None:
                await self._start(200, sse.CONTENT_TYPE, sse.HEADERS)
            self.sent_at = time.perf_counter()
            self.is_streaming = not is_last
            try:
                async with asyncio.timeout(TAKEN_WITHIN_S):
                    await self._send({"type": "http.response.body", "body": piece, "more_body": not is_last})
            except TimeoutError:
                if self.recording is None:
                    raise ClientGone from None

    async def stream_error(self, error: ApiError) -> None:
        """End the stream with a fault."""
        event = self.dialect.fault_event(error, request_id=self.request_id)
        await self.stream(event, is_last=True, is_fault=True)

    async def _start(self, status: int, content_type: bytes, headers: Headers) -> None:
        self.status = status
        elapsed_ms = (time.perf_counter() - self.started_at) * 1000
        own = self.dialect.headers(self.request_id, elapsed_ms=elapsed_ms) | self.extra_headers
        sent = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in own.items()]
        headers = [(b"content-type", content_type), *headers, *sent]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


def _headers_too_large() -> ApiError:
    return ApiError(
        431, f"The headers are longer than {MAX_HEADER_BYTES // 1024} KB.", code="headers_too_large"
    )


def _too_slow() -> ApiError:
    return ApiError(
        408,
        f"The request's body did not come within {BODY_WITHIN_S:.0f} seconds. Send it again.",
        code="request_timeout",
        retry_after_s=1.0,
    )


def _too_large() -> ApiError:
    return ApiError(
        413,
        f"The request is longer than {MAX_BODY_BYTES // 1024 // 1024} MB, which is the most. Send less text.",
        code="request_too_large",
    )
