"""What a provider that speaks OpenAI's chat completions sends back: server-sent events, and the chunks in
them. Read with as little work as can be: a turn reads thousands."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import msgspec


class Likely(msgspec.Struct, frozen=True):
    """A token that was drawn, or might have been."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: "list[Likely] | None" = None


class Logprobs(msgspec.Struct, frozen=True):
    content: list[Likely] | None = None


class Function(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class Call(msgspec.Struct, frozen=True):
    """A piece of a tool call. A provider that makes one call at most may leave its number out."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct, frozen=True):
    """`reasoning_content` is Kimi's and most servers' name, `reasoning` that of newer vLLM and of routers."""

    content: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[Call] | None = None

    @property
    def thought(self) -> str:
        return str(self.reasoning_content or self.reasoning or "")


class InputDetails(msgspec.Struct, frozen=True):
    cached_tokens: float | None = None


class OutputDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: float | None = None


class UsageSaid(msgspec.Struct, frozen=True):
    """Kimi counts cached tokens at the top level, OpenAI inside the details."""

    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    cached_tokens: float | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None


class Choice(msgspec.Struct, frozen=True):
    """Kimi writes the usage into the last choice, and only there when it is not asked for. vLLM tells the
    stop string that was met as `stop_reason`, SGLang as `matched_stop`; a token's number may stand there too.
    """

    delta: Delta
    finish_reason: str | None = None
    stop_reason: Any = None
    matched_stop: Any = None
    logprobs: Logprobs | None = None
    usage: UsageSaid | None = None


class Chunk(msgspec.Struct, frozen=True):
    choices: list[Choice] | None = None
    usage: UsageSaid | None = None
    error: Any = None


# Of one event. The longest that are known tell a picture, or a call's arguments, in one piece.
MAX_EVENT_BYTES = 8 * 1024 * 1024
_DECODER = msgspec.json.Decoder(Chunk)


async def chunks(pieces: AsyncIterator[bytes]) -> AsyncGenerator[Chunk, None]:
    """The chunks of a response until its end is said. Raises ValueError for one of another shape,
    or longer than `MAX_EVENT_BYTES`."""
    events = _Events()
    async for piece in pieces:
        for data in events.feed(piece):
            if data.startswith(b"[DONE]"):
                return
            yield _DECODER.decode(data)
    for data in events.feed(b"\n\n"):  # it may end without the line that ends the last event
        if not data.startswith(b"[DONE]"):
            yield _DECODER.decode(data)


class _Events:
    """The data of each event: lines that begin with `data:`, up to an empty line."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._num_bytes = 0  # of the data

    def feed(self, piece: bytes) -> Iterator[bytes]:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            line = line.rstrip(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].strip())
                self._num_bytes += len(line)
            elif not line and self._data:
                data, self._data, self._num_bytes = self._data, [], 0
                yield b"\n".join(data)
        if self._num_bytes + len(self._rest) > MAX_EVENT_BYTES:
            raise ValueError(f"An event of the stream is longer than {MAX_EVENT_BYTES} bytes")
