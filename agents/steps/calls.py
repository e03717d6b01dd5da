"""The tool calls of a step: run side by side where their resources allow, each kept as its result comes."""

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from agents import limits, passages, tracing
from agents.happenings import NoteAdded, TurnWaiting, WaitingCall
from agents.limits import Limits
from agents.steps.progress import Parked, Progress, notes_of
from agents.steps.reply import Reply
from agents.steps.setting import Setting
from agents.steps.stopping import to_the_end
from agents.tool import (
    Effect,
    Fault,
    Intent,
    IntentState,
    ToolContext,
    ToolResult,
    Waiting,
    WaitingFor,
)
from agents.tooling.exposure import Exposed

MAX_AT_ONCE = 8

# What a person must do first is what the turn is said to wait for.
_URGENCY = (
    WaitingFor.OUTCOME,
    WaitingFor.APPROVAL,
    WaitingFor.ANSWER,
    WaitingFor.AGENTS,
    WaitingFor.JOB,
    WaitingFor.QUOTA,
)


def intents_of(setting: Setting, reply: Reply) -> list[Intent]:
    """The reply's calls, each under the key that names it for ever."""
    intents = []
    for index, call in enumerate(reply.tool_calls):
        traits = setting.toolset.traits_of(call.name)
        intents.append(
            Intent(
                step=reply.step,
                index=index,
                call_id=call.id,
                name=call.name,
                arguments=call.arguments,
                key=f"{setting.turn_id}.{reply.step}.{index}",
                effect=traits.effect if traits else Effect.NONE,
            )
        )
    return intents


async def run(setting: Setting, progress: Progress) -> Parked | None:
    """Run the calls that have no result yet, and keep each result as it comes. Parked when some of them wait:
    all others are done by then. Raises Interrupted."""
    intents = list(progress.pending)
    if not intents:
        return None
    for intent in intents:
        if intent.state is not IntentState.WAITING:
            call = progress.transcript.steps[-1].calls[intent.index].call
            await setting.emit.tool_call_started(intent.step, call)
    ending = _Step(setting, progress, intents)
    outcomes = await setting.stop.guard(_together([ending.run(intent) for intent in intents]))
    waits = [(intent, wait) for intent, wait in zip(intents, outcomes, strict=True) if wait is not None]
    progress.pending = [intent for intent, _ in waits]
    return await _parked(setting, waits) if waits else None


async def _together(runs: Sequence[Coroutine[Any, Any, Waiting | None]]) -> list[Waiting | None]:
    """What each brings; the first exception cancels the other runs and is raised by itself."""
    if len(runs) == 1:
        return [await runs[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run) for run in runs]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]


class _Step:
    """The calls of one step while they run."""

    def __init__(self, setting: Setting, progress: Progress, intents: Sequence[Intent]) -> None:
        self._setting = setting
        self._progress = progress
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)
        self._locks: dict[str, asyncio.Lock] = {}
        self._too_many = set(_past_the_limit(intents, progress.calls_of_tool, setting.limits))
        exposed = progress.transcript.derived.setdefault(Exposed, Exposed(setting.opening))
        exposure = exposed.before(progress.transcript, intents[0].step)
        self._context = ToolContext(
            key="",
            turn_id=setting.turn_id,
            top_turn_id=setting.top_turn_id or setting.turn_id,
            step=intents[0].step,
            tenant=setting.tenant,
            trust=exposure.trust,
            known_urls=exposure.known_urls,
            opened_urls=exposure.opened_urls,
            told_bits=exposure.told_bits,
        )

    async def run(self, intent: Intent) -> Waiting | None:
        """Keep the call's result; what it waits for instead, if it waits."""
        async with AsyncExitStack() as stack:
            # In the order of their names, so that no two calls wait for each other.
            for name in sorted(self._setting.toolset.resources_of(intent)):
                await stack.enter_async_context(self._locks.setdefault(name, asyncio.Lock()))
            await stack.enter_async_context(self._slots)
            began = time.monotonic()
            with tracing.tool(intent) as span:
                outcome = await self._outcome(intent)
                span.ended(outcome)
            if isinstance(outcome, Waiting):
                return outcome
            # The effect has happened: a stop must not keep its result from being kept.
            duration_ms = int((time.monotonic() - began) * 1000)
            await to_the_end(self._keep(intent, outcome, duration_ms=duration_ms))
            return None

    async def _outcome(self, intent: Intent) -> ToolResult | Waiting:
        if intent.index in self._too_many:
            return _refused(intent, self._setting.limits)
        context = replace(self._context, key=intent.key, call_id=intent.call_id)
        begin = partial(self._setting.store.begin, intent)
        bounds = self._setting.limits
        time_left = (
            bounds.max_seconds - limits.seconds_kept(bounds) - (time.monotonic() - self._progress.began)
        )
        try:
            async with asyncio.timeout(max(time_left, 0)):
                if self._is_uncertain(intent):
                    outcome = await self._setting.toolset.reconcile(intent, context)
                    if outcome is not None:
                        return outcome
                return await self._setting.toolset.run(intent, context, begin=begin)
        except TimeoutError:
            return _out_of_time(intent)

    def _is_uncertain(self, intent: Intent) -> bool:
        """Whether a worker died while the call may have had an effect that must not be had twice."""
        traits = self._setting.toolset.traits_of(intent.name)
        is_repeatable = traits is not None and traits.is_idempotent
        return intent.state is IntentState.BEGUN and not is_repeatable

    async def _keep(self, intent: Intent, result: ToolResult, *, duration_ms: int) -> None:
        first = self._progress.passage_numbers(len(result.passages))
        result = passages.numbered(result, first=first)
        call = self._progress.transcript.steps[-1].calls[intent.index].call
        # Said before it is kept: what is kept has been said, whenever a worker dies.
        await self._setting.emit.tool_call_finished(intent.step, call, result, duration_ms=duration_ms)
        for note in notes_of(intent, result):
            shown = NoteAdded(step=note.step, kind=note.kind, text=note.text, data=note.data)
            await self._setting.emit.happened(shown)
        for happening in result.happenings:
            await self._setting.emit.happened(happening)
        await self._setting.store.save_result(intent, result, duration_ms=duration_ms, first_passage=first)
        num_tokens = self._setting.count_tokens(result.for_model)
        self._progress.take_result(intent, result, duration_ms=duration_ms, num_tokens=num_tokens)


# ---- limits


def _past_the_limit(intents: Iterable[Intent], done: Counter[str], bounds: Limits) -> Iterator[int]:
    """The places of the calls that a limit on their tool does not allow, in their order."""
    taken = Counter(done)
    for intent in intents:
        most = bounds.max_calls_per_tool.get(intent.name)
        if most is not None and taken[intent.name] >= most:
            yield intent.index
        taken[intent.name] += 1


def _refused(intent: Intent, bounds: Limits) -> ToolResult:
    most = bounds.max_calls_per_tool[intent.name]
    text = f"{intent.name} may be called {most} times in this turn, and it has been. Go on without it."
    return ToolResult(for_model=text, is_error=True, fault=Fault.REFUSED)


def _out_of_time(intent: Intent) -> ToolResult:
    text = f"{intent.name} was stopped: the time of this turn is nearly up."
    if intent.effect is Effect.EXTERNAL:
        text += " It may have had its effect."
    return ToolResult(for_model=text, is_error=True, fault=Fault.TIMEOUT)


# ---- waiting


async def _parked(setting: Setting, waits: Sequence[tuple[Intent, Waiting]]) -> Parked:
    expiries = [await setting.store.save_waiting(intent, waiting) for intent, waiting in waits]
    first = min((waiting.waiting_for for _, waiting in waits), key=_URGENCY.index)
    shown = [
        WaitingCall(
            call_id=intent.call_id,
            tool=intent.name,
            arguments=intent.arguments,
            waiting_for=waiting.waiting_for,
            prompt=waiting.prompt,
            expires_at_ms=_ms(expiry),
        )
        for (intent, waiting), expiry in zip(waits, expiries, strict=True)
    ]
    await setting.emit.happened(TurnWaiting(step=waits[0][0].step, waiting_for=first, calls=shown))
    wake_in = [waiting.wake_in_s for _, waiting in waits if waiting.wake_in_s is not None]
    return Parked(waiting_for=first, wake_in_s=min(wake_in, default=None))


def _ms(at: datetime | None) -> int | None:
    return int(at.timestamp() * 1000) if at else None
