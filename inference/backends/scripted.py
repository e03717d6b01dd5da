"""A deterministic model that reads its replies from a script: for tests, demos and load runs.

What it answers depends on the request alone, so any number of processes sharing one script agree.

A script is a JSON file, `{"replies": [{"when": "regex", "step": 1, "lines": [...]}]}`. The first reply
that fits the request is played: `when` is searched for in the last user message, `step` counts model calls
since that message, from 1; either may be left out. What the platform says in the midst of a turn (user
messages that begin with "[Platform] ") is not taken for a question. The lines of a reply:

    think: text           reasoning, skipped unless the request asks for thinking
    text: text            content
    call: name {json}     a tool call
    wait: 0.5             seconds of silence
    pace: 20              from here on, at most so many pieces a second
    cached: 12            so many of the prompt's tokens were found in the cache
    finish: length        the reason to finish with
    stall:                silence until the stream is closed
    break:                the stream breaks (StreamBroken)
    error: KIND message   rejected, overloaded (overloaded@300: for so many seconds) or unavailable

Words count as tokens.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Literal, cast, get_args

import msgspec

from inference.backends.base import (
    BackendError,
    BackendOverloaded,
    BackendUnavailable,
    RequestRejected,
    StreamBroken,
)
from inference.parsers.stop_strings import StopStrings
from inference.schema import (
    ChatDelta,
    ChatRequest,
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    Role,
    ToolCallDelta,
    Usage,
)

# A word with the space before it, a CJK character, or trailing space: about what a tokenizer makes of it.
_PIECE = re.compile(r"\s*[^\s\u2e80-\u9fff]+|\s*[\u2e80-\u9fff]|\s+")

Verb = Literal["think", "text", "call", "wait", "pace", "cached", "finish", "stall", "break", "error"]


class Reply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    lines: tuple[str, ...]
    when: str = ""
    step: int | None = None

    def fits(self, *, question: str, step: int) -> bool:
        return (self.step is None or self.step == step) and re.search(self.when, question) is not None


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    replies: tuple[Reply, ...]

    @classmethod
    def of(cls, *lines: str) -> "Script":
        """A script with one reply, for every request."""
        return cls(replies=(Reply(lines=lines),))

    @classmethod
    def read(cls, path: Path) -> "Script":
        """Raises BackendUnavailable, naming the file, when it cannot be read or is no script."""
        try:
            script = msgspec.json.decode(path.read_bytes(), type=cls)
            for reply in script.replies:
                re.compile(reply.when)
                for line in reply.lines:
                    _parse(line)
        except (OSError, ValueError, re.error, msgspec.MsgspecError) as error:
            raise BackendUnavailable(f"The script {path} cannot be played: {error}") from error
        return script

    def write(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2))


class ScriptedBackend:
    """A `ChatBackend` that plays a script."""

    def __init__(self, script: Script) -> None:
        self._load: Callable[[], Script] = lambda: script

    @classmethod
    def from_file(cls, path: Path) -> "ScriptedBackend":
        """The file is read anew for each request, so an edited script counts at once."""
        backend = cls(Script(replies=()))
        backend._load = lambda: Script.read(path)
        return backend

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        reply = _choose(self._load(), request)
        performance = _Performance(request)
        for line in reply.lines:
            async for delta in performance.play(*_parse(line)):
                yield delta
            if performance.is_cut:
                break
        if rest := performance.rest():
            yield ContentDelta(rest)
        yield performance.finished()

    async def is_ready(self) -> bool:
        try:
            self._load()
        except BackendUnavailable:
            return False
        return True

    async def aclose(self) -> None:
        """Nothing is held open."""


class _Performance:
    """One reply being played: what was said so far, and how fast to go on."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._pace = 0.0
        self._reason: FinishReason | None = None
        self._num_calls = 0
        self._num_calls_before = sum(len(message.tool_calls) for message in request.messages)
        self._cached_tokens = 0
        self._output_tokens = 0
        self._reasoning_tokens = 0
        self._stops = StopStrings(request.sampling.stop)
        self.is_cut = False

    async def play(self, verb: Verb, rest: str) -> AsyncGenerator[ChatDelta, None]:
        if verb in ("think", "text"):
            async for delta in self._say(verb, rest):
                yield delta
        elif verb == "call":
            if said := self.rest():
                yield ContentDelta(said)
            async for call in self._call(rest):
                yield call
        elif verb == "wait":
            await asyncio.sleep(float(rest))
        elif verb == "stall":
            await asyncio.Event().wait()
        elif verb in ("break", "error"):
            raise _fault(verb, rest)
        else:
            self._set(verb, rest)

    def finished(self) -> Finished:
        input_tokens = sum(_num_tokens(message.content) for message in self._request.messages)
        cached = min(self._cached_tokens, input_tokens)
        usage = Usage(
            input_uncached_tokens=input_tokens - cached,
            input_cached_tokens=cached,
            output_tokens=self._output_tokens,
            reasoning_tokens=self._reasoning_tokens,
        )
        called = FinishReason.TOOL_CALLS if self._num_calls else FinishReason.STOP
        if self._stops.met:
            return Finished(reason=FinishReason.STOP, usage=usage, stop_sequence=self._stops.met)
        return Finished(reason=self._reason or called, usage=usage)

    def rest(self) -> str:
        """What was kept back because it might have been the beginning of a stop string."""
        return self._stops.finish()

    async def _say(self, verb: Literal["think", "text"], text: str) -> AsyncGenerator[ChatDelta, None]:
        thinking = self._request.thinking
        if verb == "think" and not thinking.enabled:
            return
        for piece in _PIECE.findall(text):
            if verb == "think" and self._reasoning_tokens == thinking.budget_tokens:
                return
            if not self._may_go_on():
                return
            await self._beat()
            self._output_tokens += 1
            self._reasoning_tokens += verb == "think"
            if verb == "think":
                yield ReasoningDelta(piece)
            elif said := self._stops.feed(piece):
                yield ContentDelta(said)
            self.is_cut = self._stops.is_hit

    async def _call(self, rest: str) -> AsyncGenerator[ToolCallDelta, None]:
        name, _, arguments = rest.partition(" ")
        index = self._num_calls
        self._num_calls += 1
        call_id = f"functions.{name}:{self._num_calls_before + index}"
        await self._beat()
        yield ToolCallDelta(index=index, id=call_id, name=name)
        for piece in _PIECE.findall(arguments or "{}"):
            await self._beat()
            self._output_tokens += 1
            yield ToolCallDelta(index=index, arguments=piece)

    def _may_go_on(self) -> bool:
        if self._output_tokens == self._request.sampling.max_tokens:
            self._reason = FinishReason.LENGTH
            self.is_cut = True
        return not self.is_cut

    def _set(self, verb: Verb, rest: str) -> None:
        if verb == "pace":
            self._pace = float(rest)
        elif verb == "cached":
            self._cached_tokens = int(rest)
        elif verb == "finish":
            self._reason = FinishReason(rest)

    async def _beat(self) -> None:
        await asyncio.sleep(1 / self._pace if self._pace else 0)


def _parse(line: str) -> tuple[Verb, str]:
    """Raises ValueError for a line that says nothing known."""
    verb, colon, rest = line.partition(":")
    rest = rest.removeprefix(" ")
    if not colon or verb not in get_args(Verb):
        raise ValueError(f"no line of a script: {line!r}")
    if verb in ("wait", "pace", "cached"):
        float(rest)
    return cast(Verb, verb), rest


def _choose(script: Script, request: ChatRequest) -> Reply:
    question, step = _position(request)
    for reply in script.replies:
        if reply.fits(question=question, step=step):
            return reply
    raise RequestRejected(
        f"The script holds no reply for step {step} of this message. Add one, or ask something else."
    )


def _position(request: ChatRequest) -> tuple[str, int]:
    """The last user message, and the number of the model call that this request is since then."""
    step = 1
    for message in reversed(request.messages):
        if message.is_question:
            return message.content, step
        step += message.role is Role.ASSISTANT
    return "", step


def _fault(verb: Verb, rest: str) -> BackendError:
    if verb == "break":
        return StreamBroken(rest or "The scripted model broke off.")
    said, _, message = rest.partition(" ")
    kind, _, seconds = said.partition("@")
    if kind == "rejected":
        return RequestRejected(message)
    if kind == "overloaded":
        return BackendOverloaded(message, retry_after_s=float(seconds or 1))
    return BackendUnavailable(message)


def _num_tokens(text: str) -> int:
    return len(_PIECE.findall(text))
