"""One turn, step by step: a model call, the tools it asks for, and again until the model has answered.

Knows no Django, no Celery and no Redis: a store keeps what must last, a listener hears what happens.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

import msgspec

from agents import limits
from agents.limits import Limit, Limits, Spent
from agents.reply import Draft, Listener, Reply
from agents.stopping import Interrupted, StopSignal, Why
from agents.tool import Intent, ToolContext, ToolResult, Waiting
from agents.toolset import Toolset
from inference.backends.base import (
    BackendError,
    BackendOverloaded,
    BackendUnavailable,
    ChatBackend,
    StreamBroken,
)
from inference.schema import (
    ChatMessage,
    ChatRequest,
    FinishReason,
    Role,
    Sampling,
    Thinking,
    ToolCall,
    Usage,
)

MAX_TOOLS_AT_ONCE = 8


class BudgetExhausted(Exception):
    """There is no money for another model call; the text is for the person."""


class Store(Protocol):
    """What must last. Each method commits before it returns. What it raises once another worker has taken
    over passes through the loop, which then writes nothing more."""

    async def reserve(self, request: ChatRequest, *, spent: Usage) -> None:
        """Set money aside for this call. Raises BudgetExhausted."""
        ...

    async def save_reply(self, reply: Reply) -> None:
        """Keep the reply, and with it the intent to run its calls."""
        ...

    async def save_result(
        self, step: int, index: int, call: ToolCall, result: ToolResult, *, duration_ms: int
    ) -> None:
        """Keep what call number `index` of the step brought."""
        ...


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a model call that fails is tried again."""

    max_tries: int = 5
    max_seconds: float = 60.0
    poll_seconds: float = 0.25


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What stays the same during a turn."""

    turn_id: str
    model: str
    tenant: str
    backend: ChatBackend
    toolset: Toolset
    limits: Limits
    thinks: bool
    reply_tokens: int
    emit: Listener
    store: Store
    stop: StopSignal
    cost_nano: Callable[[Usage], int]
    count_tokens: Callable[[str], int]
    patience: Patience = Patience()


@dataclass(kw_only=True)
class Progress:
    """How far a turn has come. `pending` are the stored calls of step `next_step - 1` that have no result, by
    their index.

    `answer` is set when the last stored reply was the answer: its worker died before it could say so.
    """

    messages: list[ChatMessage]
    next_step: int = 1
    pending: dict[int, ToolCall] = field(default_factory=dict)
    usage: Usage = Usage()
    answer: "Outcome | None" = None
    began: float = field(default_factory=time.monotonic)

    @property
    def calls(self) -> list[ToolCall]:
        """Every call of the conversation so far."""
        return [call for message in self.messages for call in message.tool_calls]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Why the turn is over: `limit` where one of its limits ended it; else `detail` says what happened and
    what to do, where there is something to say."""

    finish_reason: FinishReason
    detail: str = ""
    limit: Limit | None = None


class _CallFailed(Exception):
    """The model call was given up; what its last attempt showed is kept."""

    def __init__(self, message: str, shown: Draft) -> None:
        super().__init__(message)
        self.shown = shown


async def drive(setting: Setting, progress: Progress, *, max_steps: int, until: float) -> Outcome | None:
    """Go on with the turn to its end, or for `max_steps` steps or until the monotonic time `until`: then
    None.

    A limit, a stop and a fault of the backend end the turn with what was answered so far. Raises Interrupted
    (LOST) when another worker has taken over.
    """
    if progress.answer is not None:
        return progress.answer
    try:
        await _run_pending(setting, progress)
        for _ in range(max_steps):
            if (outcome := await step(setting, progress)) is not None:
                return outcome
            if time.monotonic() >= until:
                break
    except Interrupted as interruption:
        return _interrupted(interruption.why)
    return None


async def step(setting: Setting, progress: Progress) -> Outcome | None:
    """One model call and its tools; None when another step is to follow. Raises Interrupted between and
    inside its waits."""
    setting.stop.check()
    spent = _spent(setting, progress)
    if limit := limits.reached(setting.limits, spent):
        return Outcome(finish_reason=FinishReason.LENGTH, limit=limit)
    request = _request(setting, progress, spent)
    try:
        await setting.store.reserve(request, spent=progress.usage)
        reply = await _call(setting, progress, request)
    except BudgetExhausted as fault:
        return Outcome(finish_reason=FinishReason.LENGTH, detail=str(fault))
    except _CallFailed as fault:
        await _keep(setting, await fault.shown.cut(finish_reason=FinishReason.ERROR))
        return Outcome(finish_reason=FinishReason.ERROR, detail=str(fault))
    await setting.store.save_reply(reply)
    _remember(progress, reply)
    if reply.finish_reason in (FinishReason.ERROR, FinishReason.LENGTH) or not reply.tool_calls:
        return Outcome(finish_reason=_plain(reply.finish_reason), detail=reply.detail)
    await _run_pending(setting, progress)
    return None


def _plain(reason: FinishReason) -> FinishReason:
    """A model that says it calls tools and calls none has stopped."""
    return FinishReason.STOP if reason is FinishReason.TOOL_CALLS else reason


def _interrupted(why: Why) -> Outcome:
    if why is Why.CANCELLED:
        return Outcome(finish_reason=FinishReason.CANCELLED)
    if why is Why.TIME:
        return Outcome(finish_reason=FinishReason.LENGTH, limit=Limit.SECONDS)
    raise Interrupted(why)


def _spent(setting: Setting, progress: Progress) -> Spent:
    return Spent(
        step=progress.next_step,
        seconds=time.monotonic() - progress.began,
        usage=progress.usage,
        cost_nano=setting.cost_nano(progress.usage),
    )


def _request(setting: Setting, progress: Progress, spent: Spent) -> ChatRequest:
    bounds = setting.limits
    max_tokens = min(setting.reply_tokens, bounds.max_output_tokens - spent.usage.output_tokens)
    budget = min(bounds.max_reasoning_tokens, int(max_tokens * limits.SHARE_TO_REASON))
    return ChatRequest(
        id=f"{setting.turn_id}.{progress.next_step}.{uuid4().hex[:8]}",
        model=setting.model,
        messages=tuple(progress.messages),
        tools=setting.toolset.specs,
        # The tools stay in the prompt, so that its prefix is found in the cache; they are only forbidden.
        tool_choice="none" if limits.must_wind_up(bounds, spent) else "auto",
        sampling=Sampling(max_tokens=max_tokens),
        thinking=Thinking(
            enabled=setting.thinks and budget > 0, budget_tokens=budget if setting.thinks else None
        ),
        tenant=setting.tenant,
    )


def _remember(progress: Progress, reply: Reply) -> None:
    progress.messages.append(
        ChatMessage(
            role=Role.ASSISTANT, content=reply.content, reasoning=reply.reasoning, tool_calls=reply.tool_calls
        )
    )
    progress.usage += reply.usage
    progress.pending = dict(enumerate(reply.tool_calls))
    progress.next_step = reply.step + 1


# ---- the model call


async def _call(setting: Setting, progress: Progress, request: ChatRequest) -> Reply:
    """The reply to the request, tried again while the backend is away. Raises _CallFailed or Interrupted.

    A further attempt announces the step only when it brings something, so that what the attempt before it
    brought stays on show until then.
    """
    gives_up_at = time.monotonic() + setting.patience.max_seconds
    shown = draft = _draft(setting, progress)
    await draft.open()
    for attempt in range(1, setting.patience.max_tries + 1):
        try:
            await setting.stop.guard(_stream(setting.backend, _attempt(request, attempt), draft))
            return _whole(draft, progress, request)
        except BackendError as fault:
            shown = draft if draft.is_open else shown
            if not _is_passing(fault) or attempt == setting.patience.max_tries:
                raise _CallFailed(str(fault), shown) from fault
            if not await _is_back(setting, fault, shown, request, gives_up_at):
                raise _CallFailed(str(fault), shown) from fault
        except Interrupted as interruption:
            await _keep_cut(setting, draft if draft.is_open else shown, request, interruption.why)
            raise
        draft = _draft(setting, progress)
    raise AssertionError("the last attempt ends the loop")


def _draft(setting: Setting, progress: Progress) -> Draft:
    return Draft(step=progress.next_step, emit=setting.emit, count_tokens=setting.count_tokens)


def _attempt(request: ChatRequest, attempt: int) -> ChatRequest:
    """The request under an id of its own: an id names one call."""
    return request if attempt == 1 else msgspec.structs.replace(request, id=f"{request.id}.{attempt}")


async def _stream(backend: ChatBackend, request: ChatRequest, draft: Draft) -> None:
    async with aclosing(backend.stream(request)) as deltas:
        async for delta in deltas:
            await draft.take(delta)
    if draft.finished is None:
        raise StreamBroken("The model's answer ended before it was complete. Try again.")


def _whole(draft: Draft, progress: Progress, request: ChatRequest) -> Reply:
    calls = progress.calls
    return draft.whole(
        prompt=_prompt(request),
        ids_taken=frozenset(call.id for call in calls),
        num_calls_before=len(calls),
    )


def _prompt(request: ChatRequest) -> str:
    """The text that the request's tokens are estimated from, where the backend did not count them."""
    return "".join(message.content for message in request.messages)


def _is_passing(fault: BackendError) -> bool:
    return isinstance(fault, BackendUnavailable | BackendOverloaded | StreamBroken)


async def _is_back(
    setting: Setting, fault: BackendError, shown: Draft, request: ChatRequest, gives_up_at: float
) -> bool:
    """Wait until the backend would serve again; False when that takes too long. Raises Interrupted."""
    delay = fault.retry_after_s if isinstance(fault, BackendOverloaded) else setting.patience.poll_seconds
    try:
        while (time_left := gives_up_at - time.monotonic()) > 0:
            await setting.stop.sleep(min(delay, time_left))
            if await setting.stop.guard(setting.backend.is_ready()):
                return True
            delay = setting.patience.poll_seconds
    except Interrupted as interruption:
        await _keep_cut(setting, shown, request, interruption.why)
        raise
    return False


async def _keep_cut(setting: Setting, draft: Draft, request: ChatRequest, why: Why) -> None:
    """Keep what a stopped call has shown. Its tokens were made for the person, so they are estimated and
    count."""
    if why is Why.LOST:
        return
    reason = FinishReason.CANCELLED if why is Why.CANCELLED else FinishReason.LENGTH
    await _keep(setting, await draft.cut(finish_reason=reason, prompt=_prompt(request)))


async def _keep(setting: Setting, reply: Reply) -> None:
    if not reply.is_empty:
        await setting.store.save_reply(reply)


# ---- the tools


async def _run_pending(setting: Setting, progress: Progress) -> None:
    """Run the calls that have no result yet, several at a time, and keep each result as it comes."""
    if not progress.pending:
        return
    step_number = progress.next_step - 1
    for call in progress.pending.values():
        await setting.emit.tool_call_started(step_number, call)
    slots = asyncio.Semaphore(MAX_TOOLS_AT_ONCE)
    calls = dict(progress.pending)
    results = await setting.stop.guard(
        _together(*(_run_one(setting, step_number, index, call, slots) for index, call in calls.items()))
    )
    progress.messages.extend(
        ChatMessage(role=Role.TOOL, content=result.for_model, tool_call_id=call.id, name=call.name)
        for call, result in zip(calls.values(), results, strict=True)
    )
    progress.pending = {}


async def _together(*runs: Coroutine[Any, Any, ToolResult]) -> list[ToolResult]:
    """All results; the first exception cancels the other runs and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run) for run in runs]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]


async def _run_one(
    setting: Setting, step_number: int, index: int, call: ToolCall, slots: asyncio.Semaphore
) -> ToolResult:
    async with slots:
        began = time.monotonic()
        key = f"{setting.turn_id}.{step_number}.{index}"
        intent = Intent(
            step=step_number, index=index, call_id=call.id, name=call.name, arguments=call.arguments, key=key
        )
        result = await setting.toolset.run(intent, ToolContext(key=key))
        assert not isinstance(result, Waiting)
        duration_ms = int((time.monotonic() - began) * 1000)
        await setting.store.save_result(step_number, index, call, result, duration_ms=duration_ms)
        await setting.emit.tool_call_finished(step_number, call, result, duration_ms=duration_ms)
        return result
