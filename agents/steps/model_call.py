"""One call of the model: streamed, tried again while its backend is away, and what to do with half an
answer."""

import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from uuid import uuid4

import msgspec

from agents import tracing
from agents.happenings import Happening, ModelAwaited
from agents.steps.asking import Ask, Asked, AskFailed
from agents.steps.progress import Progress
from agents.steps.reply import Draft, Reply
from agents.steps.setting import Setting
from agents.steps.stopping import Interrupted, Why
from agents.store import BudgetExhausted
from agents.tool import ToolResult
from inference.backends.base import (
    BackendError,
    BackendOverloaded,
    BackendUnavailable,
    ChatBackend,
    PromptTooLong,
    StreamBroken,
)
from inference.schema import ChatMessage, ChatRequest, FinishReason, Sampling, Thinking, ToolCall

REASONING_TOKENS_OF_ASK = 2_048


class CallFailed(Exception):
    """The call was given up. `cut` is what its last attempt showed; with `retry_after_s` the backend would
    take it later."""

    def __init__(self, message: str, cut: Reply, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.cut = cut
        self.retry_after_s = retry_after_s


class PromptIsTooLong(CallFailed):
    """The request does not fit the model's window: less of the turn would."""


class CallStopped(Exception):
    """The turn was stopped during the call. `cut` is what was shown of it: its tokens were made for the
    person, so they are estimated and count."""

    def __init__(self, why: Why, cut: Reply) -> None:
        super().__init__(why)
        self.why = why
        self.cut = cut


async def call(setting: Setting, progress: Progress, request: ChatRequest) -> Reply:
    """The reply to the request. Raises CallFailed or CallStopped.

    A further attempt announces the step only when it brings something, so that what the attempt before it
    brought stays on show until then.
    """
    with tracing.step(request, number=progress.next_step) as span:
        reply = await _Attempts(setting, progress, request).reply()
        span.replied(reply)
        return reply


def asker(setting: Setting, progress: Progress) -> Ask:
    """Calls on the side, paid for like any other."""

    async def ask(messages: Sequence[ChatMessage], *, max_tokens: int) -> Asked:
        # A model that always thinks would else spend all its tokens on that.
        reasoning_tokens = REASONING_TOKENS_OF_ASK if setting.thinks else 0
        request = ChatRequest(
            id=f"{setting.turn_id}.ask.{uuid4().hex[:8]}",
            model=setting.model,
            messages=tuple(messages),
            sampling=Sampling(max_tokens=min(max_tokens + reasoning_tokens, setting.reply_tokens)),
            thinking=Thinking(enabled=setting.thinks, budget_tokens=reasoning_tokens or None),
            tenant=setting.tenant,
        )
        async with setting.asking:
            reply = await _aside(setting, progress, request)
        if reply.finish_reason is FinishReason.ERROR or not reply.content.strip():
            raise AskFailed(reply.detail or "The model gave no answer.")
        return Asked(text=reply.content)

    return ask


async def _aside(setting: Setting, progress: Progress, request: ChatRequest) -> Reply:
    """The reply, counted before anybody can make something of it, or lose it."""
    unheard = replace(setting, emit=_Nobody())
    try:
        request = await _paid(setting, progress, request)
        reply = await _Attempts(unheard, progress, request).reply()
    except BudgetExhausted as fault:
        raise AskFailed(str(fault)) from fault
    except CallFailed as fault:
        await _count(setting, progress, fault.cut)
        raise AskFailed(str(fault)) from fault
    except CallStopped as stopped:
        if stopped.why is not Why.LOST:
            await _count(setting, progress, stopped.cut)
        raise Interrupted(stopped.why) from stopped
    await _count(setting, progress, reply)
    return reply


async def _count(setting: Setting, progress: Progress, reply: Reply) -> None:
    was_used = not (reply.is_estimated and reply.is_empty)
    if was_used and reply.usage.total_tokens:
        await setting.store.save_aside(reply)
        progress.take_aside(reply)


async def _paid(setting: Setting, progress: Progress, request: ChatRequest) -> ChatRequest:
    """The request, within what there is money for. The last of the money is for the answer: raises
    BudgetExhausted."""
    grant = await setting.store.reserve(request, spent=progress.usage)
    if grant.is_final:
        raise BudgetExhausted("What is left of the budget is for the answer.")
    sampling = msgspec.structs.replace(request.sampling, max_tokens=grant.max_tokens)
    return msgspec.structs.replace(request, sampling=sampling)


class _Attempts:
    """The attempts at one reply. `shown` is the last one that brought anything."""

    def __init__(self, setting: Setting, progress: Progress, request: ChatRequest) -> None:
        self._setting = setting
        self._progress = progress
        self._request = request
        self._gives_up_at = time.monotonic() + setting.patience.max_seconds
        self._shown = self._draft = self._new_draft()

    async def reply(self) -> Reply:
        await self._draft.open()
        for attempt in range(1, self._setting.patience.max_tries + 1):
            try:
                await self._setting.stop.guard(
                    _stream(self._setting.backend, self._numbered(attempt), self._draft)
                )
                return self._whole()
            except BackendError as fault:
                self._shown = self._latest()
                is_last = attempt == self._setting.patience.max_tries
                if is_last or not _is_passing(fault) or not await self._is_back(fault):
                    raise await self._failed(fault) from fault
            except Interrupted as interruption:
                raise await self._stopped(interruption.why) from interruption
            self._draft = self._new_draft()
        raise AssertionError("the last attempt ends the loop")

    def _new_draft(self) -> Draft:
        setting = self._setting
        return Draft(step=self._progress.next_step, emit=setting.emit, count_tokens=setting.count_tokens)

    def _latest(self) -> Draft:
        return self._draft if self._draft.is_open else self._shown

    def _numbered(self, attempt: int) -> ChatRequest:
        """The request under an id of its own: an id names one call."""
        request = self._request
        return request if attempt == 1 else msgspec.structs.replace(request, id=f"{request.id}.{attempt}")

    def _whole(self) -> Reply:
        progress = self._progress
        return self._draft.whole(
            prompt=self._prompt, ids_taken=progress.ids, num_calls_before=progress.num_calls
        )

    def _prompt(self) -> str:
        """The text that the request's tokens are estimated from, where the backend did not count them."""
        return "".join(message.content for message in self._request.messages)

    async def _is_back(self, fault: BackendError) -> bool:
        """Wait until the backend would serve again; False when that takes too long."""
        poll_s = self._setting.patience.poll_seconds
        delay = fault.retry_after_s if isinstance(fault, BackendOverloaded) else poll_s
        if time.monotonic() + delay > self._gives_up_at:
            return False
        seconds = round(self._gives_up_at - time.monotonic())
        await self._setting.emit.happened(ModelAwaited(step=self._progress.next_step, seconds=seconds))
        try:
            while (time_left := self._gives_up_at - time.monotonic()) > 0:
                await self._setting.stop.sleep(min(delay, time_left))
                if await self._setting.stop.guard(self._setting.backend.is_ready()):
                    return True
                delay = poll_s
        except Interrupted as interruption:
            raise await self._stopped(interruption.why) from interruption
        return False

    async def _failed(self, fault: BackendError) -> CallFailed:
        retry_after_s = fault.retry_after_s if isinstance(fault, BackendOverloaded) else None
        cut = await self._shown.cut(finish_reason=FinishReason.ERROR)
        kind = PromptIsTooLong if isinstance(fault, PromptTooLong) else CallFailed
        return kind(str(fault), cut, retry_after_s=retry_after_s)

    async def _stopped(self, why: Why) -> CallStopped:
        reason = FinishReason.CANCELLED if why is Why.CANCELLED else FinishReason.LENGTH
        draft = self._latest()
        return CallStopped(why, await draft.cut(finish_reason=reason, prompt=self._prompt))


async def _stream(backend: ChatBackend, request: ChatRequest, draft: Draft) -> None:
    async with aclosing(backend.stream(request)) as deltas:
        async for delta in deltas:
            await draft.take(delta)
    if draft.finished is None:
        raise StreamBroken("The model's answer ended before it was complete. Try again.")


def _is_passing(fault: BackendError) -> bool:
    return isinstance(fault, BackendUnavailable | BackendOverloaded | StreamBroken)


class _Nobody:
    """A listener of calls that nobody is shown."""

    async def step_started(self, step: int) -> None: ...

    async def reasoning(self, step: int, text: str) -> None: ...

    async def reasoning_finished(self, step: int, *, duration_ms: int, num_tokens: int) -> None: ...

    async def content(self, step: int, text: str) -> None: ...

    async def tool_call_started(self, step: int, call: ToolCall) -> None: ...

    async def tool_call_finished(
        self, step: int, call: ToolCall, result: ToolResult, *, duration_ms: int
    ) -> None: ...

    async def happened(self, event: Happening) -> None: ...
