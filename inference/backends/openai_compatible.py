"""Any provider that speaks OpenAI's chat completions: a hosted Kimi, vLLM, SGLang, Ollama, llama.cpp.

The official client asks whether one is there. Answers stream past it, through aiohttp and `provider_stream`:
its way of making a request and reading a stream took half of what a call costs the platform.
"""

import asyncio
import math
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
import msgspec

from inference.backends import provider_request
from inference.backends.base import (
    BackendError,
    BackendMisconfigured,
    BackendOverloaded,
    BackendUnavailable,
    PromptTooLong,
    RequestRejected,
    StreamBroken,
)
from inference.backends.provider_stream import Chunk, Delta, Likely, UsageSaid, chunks
from inference.parsers.stream import StreamParser
from inference.schema import (
    ChatDelta,
    ChatRequest,
    ContentDelta,
    Finished,
    FinishReason,
    LikelyToken,
    ReasoningDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from inference.tokenizer.marks import CallStyle

_JSON = {"content-type": "application/json"}
_CONNECT_S = 5.0
# Between two pieces of a stream: a large model may read a long prompt for minutes before its first word.
_SILENCE_S = 600.0
_END_S = 0.1  # that the end of a response may come behind its last word
_IDLE_S = 4.0  # that a connection is kept for the next call: servers keep theirs for five and more
_MOST_HEADER_BYTES = 64 * 1024
_MOST_FAULT_BYTES = 256 * 1024
_RETRY_AFTER_S = 5.0
_MOST_RETRY_AFTER_S = 600.0
_QUOTA_RETRY_AFTER_S = 300.0  # money comes when a person brings it
_QUOTA_CODES = {"insufficient_quota", "exceeded_current_quota_error", "insufficient_balance"}
_TOO_LONG = ("context_length_exceeded", "maximum context length", "token limit", "context window")
_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
}


class OpenAICompatibleBackend:
    """A `ChatBackend` on a provider. One instance belongs to one event loop; callers retry.

    The dialect is how the provider is told to think: `none`, `always`, `thinking_type`, `template_kwargs` or
    `think_tags`. Reasoning is read in whatever way it comes.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        thinking_dialect: str = "none",
        output_parser: Literal["theirs", "ours"] = "theirs",
    ) -> None:
        """`output_parser` "ours": the server serves a Kimi model and parses nothing, so that its content
        holds the model's own marks of reasoning and calls; they are read here.
        """
        self._dialect = thinking_dialect
        self._output_parser = output_parser
        self._base_url = base_url.rstrip("/")
        self._host = urlsplit(base_url).hostname or base_url
        self._api_key = api_key
        self._session: aiohttp.ClientSession | None = None

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        content = msgspec.json.encode(provider_request.body(request, dialect=self._dialect))
        has_begun = False
        try:
            # Leaving the block closes the connection, unless all of the answer was read: that is what tells
            # the provider to stop.
            async with self._open().post(
                f"{self._base_url}/chat/completions", data=content, headers=_JSON, allow_redirects=False
            ) as answer:
                if answer.status >= 300:
                    error = _error_of(await _start_of(answer.content))
                    raise self._refusal(answer.status, answer.headers, error)
                has_begun = True
                async for delta in self._deltas(answer.content, self._reply(request)):
                    yield delta
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if has_begun:
                broken = f"The connection to {self._host} broke in the middle of the answer."
                raise StreamBroken(broken) from error
            unheard = f"{self._host} cannot be reached. Try again, or choose another model."
            raise BackendUnavailable(unheard) from error

    async def is_ready(self) -> bool:
        import openai  # large, and asked for at the start alone

        try:
            http = openai.DefaultAsyncHttpxClient(
                verify=trusted(), timeout=_CONNECT_S, proxy=self._proxy(), trust_env=False
            )
            async with openai.AsyncOpenAI(
                base_url=self._base_url, api_key=self._api_key, max_retries=0, http_client=http
            ) as client:
                await client.models.list(timeout=_CONNECT_S)
        except openai.APIStatusError as error:
            # Not every server lists its models; one that says so is there.
            return error.status_code in (404, 405)
        except (openai.APIError, BackendMisconfigured):
            return False
        return True

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        """The connections of this event loop, which is known with the first call."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=trusted(), keepalive_timeout=_IDLE_S),
                headers={"authorization": f"Bearer {self._api_key}", "accept": "text/event-stream"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=self._proxy(),
                max_line_size=_MOST_HEADER_BYTES,
                max_field_size=_MOST_HEADER_BYTES,
            )
        return self._session

    def _proxy(self) -> str | None:
        """As the environment names it (HTTPS_PROXY, ALL_PROXY, NO_PROXY). Raises BackendMisconfigured."""
        named = getproxies()
        proxy = named.get(urlsplit(self._base_url).scheme) or named.get("all")
        if not proxy or proxy_bypass(self._host):
            return None
        scheme = urlsplit(proxy).scheme
        if scheme not in ("http", "https"):
            raise BackendMisconfigured(
                f"{self._host} cannot be asked through a proxy of the kind {scheme!r}: an administrator can "
                "name one of http or https, or put the host into NO_PROXY."
            )
        return proxy

    async def _deltas(self, answer: aiohttp.StreamReader, reply: "_Reply") -> AsyncGenerator[ChatDelta, None]:
        """What the chunks say. One that is no JSON, or of another shape, is told as a broken stream."""
        try:
            async for chunk in chunks(answer.iter_any()):
                if chunk.error:
                    raise StreamBroken(f"{self._host} broke off: {_message_of(chunk.error)}")
                for delta in reply.take(chunk):
                    yield delta
        except ValueError as error:
            raise StreamBroken("The provider sent something that is no part of an answer.") from error
        for delta in reply.finish():
            yield delta
        await _read_out(answer)

    def _reply(self, request: ChatRequest) -> "_Reply":
        num_calls_before = sum(len(message.tool_calls) for message in request.messages)
        # Some providers leave the reasoning in the content, between marks.
        parser = StreamParser(starts_in_reasoning=False)
        if self._output_parser == "ours":
            parser = StreamParser(
                starts_in_reasoning=self._dialect == "always",
                tools=request.tools,
                num_calls_before=num_calls_before,
                style=CallStyle.KIMI,
            )
        return _Reply(parser, num_calls_before=num_calls_before)

    def _refusal(self, status: int, headers: Mapping[str, str], error: Mapping[str, Any]) -> BackendError:
        message = _message_of(error) or f"status {status}"
        if status < 400:
            # The key and what was asked are for the address that was set, for no other.
            return BackendMisconfigured(
                f"{self._host} sends its callers elsewhere ({status}): "
                "an administrator can set its new address."
            )
        if status == 402 or {str(error.get("code")), str(error.get("type"))} & _QUOTA_CODES:
            return BackendOverloaded(
                f"The quota at {self._host} is used up: {message}", retry_after_s=_QUOTA_RETRY_AFTER_S
            )
        if status in (429, 503):
            wait_s = _retry_after_s(headers)
            return BackendOverloaded(f"{self._host} is busy: {message}", retry_after_s=wait_s)
        if status in (401, 403):
            # Its own words are left out: some providers say the key again, and everybody would read it.
            return BackendMisconfigured(
                f"{self._host} refused the key it was given: an administrator can set another."
            )
        if status == 404:
            return BackendMisconfigured(f"{self._host} knows no such model or address: {message}")
        if status >= 500 or status == 408:
            return BackendUnavailable(f"{self._host} failed ({status}): {message}")
        if any(sign in f"{error.get('code')} {message}" for sign in _TOO_LONG):
            return PromptTooLong(f"{self._host} refused the request: {message}")
        return RequestRejected(f"{self._host} refused the request: {message}")


class _Reply:
    """One reply being read: chunks in, deltas out."""

    def __init__(self, parser: StreamParser, *, num_calls_before: int) -> None:
        self._parser = parser
        self._calls = _Calls(num_calls_before)
        self._logprobs: list[TokenLogprob] = []  # of tokens whose text is not out yet
        self._reason: str | None = None
        self._usage: UsageSaid | None = None
        self._stop_met = ""

    def take(self, chunk: Chunk) -> list[ChatDelta]:
        self._usage = chunk.usage or self._usage
        if not chunk.choices:
            return []
        choice = chunk.choices[0]
        self._reason = choice.finish_reason or self._reason
        if isinstance(met := choice.stop_reason or choice.matched_stop, str):
            self._stop_met = met
        self._usage = self._usage or choice.usage
        if choice.logprobs is not None:
            self._logprobs += [_token_logprob(entry) for entry in choice.logprobs.content or ()]
        return self._with_logprobs(self._deltas(choice.delta))

    def finish(self) -> list[ChatDelta]:
        """Raises StreamBroken when the provider stopped without a finish reason."""
        if self._reason is None:
            raise StreamBroken("The provider ended the answer without finishing it.")
        deltas = self._with_logprobs(self._parser.finish())
        reason = _FINISH_REASONS.get(self._reason, FinishReason.ERROR)
        if (self._calls.num_calls or self._parser.num_calls) and reason is FinishReason.STOP:
            reason = FinishReason.TOOL_CALLS
        detail = f"The provider ended the answer: {self._reason}." if reason is FinishReason.ERROR else ""
        stop_met = self._stop_met if reason is FinishReason.STOP else ""
        usage = _canonical(self._usage)
        return [*deltas, Finished(reason=reason, usage=usage, detail=detail, stop_sequence=stop_met)]

    def _with_logprobs(self, deltas: list[ChatDelta]) -> list[ChatDelta]:
        for place, delta in enumerate(deltas):
            if self._logprobs and isinstance(delta, ReasoningDelta | ContentDelta):
                deltas[place] = msgspec.structs.replace(delta, logprobs=tuple(self._logprobs))
                self._logprobs = []
        return deltas

    def _deltas(self, delta: Delta) -> list[ChatDelta]:
        deltas: list[ChatDelta] = []
        if thought := delta.thought:
            deltas.append(ReasoningDelta(thought))
        if delta.content:
            deltas += self._parser.feed(delta.content)
        for call in delta.tool_calls or ():
            name = (call.function.name if call.function else None) or ""
            arguments = (call.function.arguments if call.function else None) or ""
            deltas += self._parser.finish() if not self._calls.num_calls else []
            deltas += self._calls.take(
                index=call.index, call_id=call.id or "", name=name, arguments=arguments
            )
        return deltas


class _Calls:
    """Tool calls in pieces. Providers number them in their own ways; ours are dense and named once."""

    def __init__(self, num_before: int) -> None:
        self._num_before = num_before
        self._places: dict[int | None, int] = {}

    @property
    def num_calls(self) -> int:
        return len(self._places)

    def take(self, *, index: int | None, call_id: str, name: str, arguments: str) -> list[ToolCallDelta]:
        if index in self._places:
            return [ToolCallDelta(index=self._places[index], arguments=arguments)] if arguments else []
        place = self._places[index] = len(self._places)
        call_id = call_id or f"functions.{name}:{self._num_before + place}"
        return [ToolCallDelta(index=place, id=call_id, name=name, arguments=arguments)]


def _token_logprob(entry: Likely) -> TokenLogprob:
    return TokenLogprob(
        drawn=_likely(entry), top=tuple(_likely(likely) for likely in entry.top_logprobs or ())
    )


def _likely(entry: Likely) -> LikelyToken:
    token_bytes = bytes(entry.bytes) if entry.bytes is not None else entry.token.encode()
    return LikelyToken(token=entry.token, logprob=entry.logprob, token_bytes=token_bytes)


def _canonical(usage: UsageSaid | None) -> Usage:
    if usage is None:
        return Usage()
    details = usage.prompt_tokens_details
    cached = usage.cached_tokens or (details.cached_tokens if details else 0)
    output_details = usage.completion_tokens_details
    prompt_tokens, output_tokens = _count(usage.prompt_tokens), _count(usage.completion_tokens)
    cached_tokens = min(_count(cached), prompt_tokens)
    return Usage(
        input_uncached_tokens=prompt_tokens - cached_tokens,
        input_cached_tokens=cached_tokens,
        output_tokens=output_tokens,
        reasoning_tokens=min(_count(output_details.reasoning_tokens if output_details else 0), output_tokens),
    )


def _count(written: float | None) -> int:
    """A number of tokens as a provider wrote it: nothing is billed, or paid back, for what is none."""
    return max(0, int(written or 0))


def _error_of(content: bytes) -> Mapping[str, Any]:
    """What the provider says of a fault: OpenAI's way, or bare."""
    try:
        body = msgspec.json.decode(content)
    except ValueError:
        return {}
    said = body.get("error", body) if isinstance(body, dict) else {}
    return said if isinstance(said, dict) else {"message": said}


def _message_of(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else ""


async def _start_of(answer: aiohttp.StreamReader) -> bytes:
    """As much of a fault's text as a fault may need: nobody says when it ends."""
    read = b""
    while len(read) <= _MOST_FAULT_BYTES and (piece := await answer.readany()):
        read += piece
    return read


async def _read_out(answer: aiohttp.StreamReader) -> None:
    """Read to the end of a response of which all was said: only then its connection serves the next call."""
    if answer.at_eof():
        return
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_END_S):
            async for _ in answer.iter_any():
                pass


@cache
def trusted() -> ssl.SSLContext:
    """Whom this process trusts: read once, for it takes as long as ten steps of a turn."""
    return httpx2.create_ssl_context()


def _retry_after_s(headers: Mapping[str, str]) -> float:
    try:
        wait_ms = headers.get("retry-after-ms")
        wait_s = float(wait_ms) / 1000 if wait_ms else float(headers.get("retry-after", _RETRY_AFTER_S))
    except ValueError:
        return _RETRY_AFTER_S
    return min(max(wait_s, 0.0), _MOST_RETRY_AFTER_S) if math.isfinite(wait_s) else _RETRY_AFTER_S
