"""The tools a turn may use: what the model is told of them, and the one place where a call is checked and
run.

Whatever is wrong with a call (no such tool, no JSON, arguments that do not fit, a tool that fails) becomes a
result for the model, never an exception for the loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from agents import round_robin, tool_cache
from agents.tool import (
    CanReconcile,
    Decision,
    Effect,
    Fault,
    HasResources,
    Intent,
    Tool,
    ToolContext,
    ToolResult,
    Traits,
    Waiting,
    WaitingFor,
)
from agents.tool_cache import ToolCache
from agents.tool_cache.single_flight import SingleFlight
from agents.tooling import result_text
from agents.tooling.arguments import ArgumentReader, BadArguments, BadSchema
from agents.tooling.policy import Ask, Policy, Refuse, Run
from inference.schema import ToolSpec

logger = logging.getLogger(__name__)

SECONDS_TO_CLEAN_UP = 1.5

Begin = Callable[[], Awaitable[None]]


class Toolset:
    """A tool whose schema cannot be used is left out. `is_fresh`: nothing is taken from the cache that was
    made before it was asked for."""

    def __init__(
        self,
        tools: Iterable[Tool] = (),
        *,
        policy: Policy | None = None,
        cache: ToolCache | None = None,
        is_fresh: bool = False,
    ) -> None:
        self._policy = policy or Policy()
        self._cache = cache
        self._is_fresh = is_fresh
        self._tools: dict[str, Tool] = {}
        self._readers: dict[str, ArgumentReader] = {}
        # Calls of one step do not see one another in their contexts.
        self._told: dict[tuple[int, str], float] = {}
        for tool in tools:
            self._add(tool)

    def _add(self, tool: Tool) -> None:
        name = tool.spec.name
        if name in self._tools:
            logger.error("two tools are named %s: the second is left out, give it another name", name)
            return
        try:
            self._readers[name] = ArgumentReader(tool.spec)
        except BadSchema:
            logger.exception("tool %s is left out: correct the schema of its parameters", name)
            return
        self._tools[name] = tool

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(tool.spec for tool in self._tools.values())

    def traits_of(self, name: str) -> Traits | None:
        """None for a tool that is not there."""
        tool = self._tools.get(name)
        return tool.traits if tool else None

    def resources_of(self, intent: Intent) -> frozenset[str]:
        """What the call touches: calls that share a name must not run at once. Nothing where its arguments
        are wrong: then it is not run."""
        tool = self._tools.get(intent.name)
        if not isinstance(tool, HasResources):
            return frozenset()
        try:
            return tool.resources(self._arguments(tool, intent))
        except BadArguments:
            return frozenset()
        except Exception:
            # As in `_bounded`: a bug in a tool ends no turn. Its calls then run one after another.
            logger.exception("tool %s cannot name its resources", intent.name)
            return frozenset({intent.name})

    async def run(
        self, intent: Intent, context: ToolContext, *, begin: Begin | None = None
    ) -> ToolResult | Waiting:
        """What the call brings, or what it waits for. `begin` is awaited right before an effect outside may
        happen; what it raises passes through."""
        tool = self._tools.get(intent.name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            return _fault(f"There is no tool {intent.name!r}. Tools: {known}.", Fault.UNKNOWN_TOOL)
        if (decided := _as_decided(intent)) is not None:
            return decided
        try:
            arguments = self._arguments(tool, intent)
        except BadArguments as fault:
            return _fault(str(fault), Fault.BAD_ARGUMENTS)
        context = replace(context, decided=intent.decided, is_fresh=self._is_fresh)
        result = self._forbidden(tool, arguments, intent, context)
        if result is None:
            with round_robin.asking_for(context.tenant):
                result = await self._run(tool, arguments, context, begin)
        return result if isinstance(result, Waiting) else self._finished(result, tool, intent)

    async def reconcile(self, intent: Intent, context: ToolContext) -> ToolResult | Waiting | None:
        """What the call of a worker that died in it brought; None when it did not happen. A person is asked
        where the tool cannot tell."""
        tool = self._tools.get(intent.name)
        if isinstance(tool, CanReconcile):
            try:
                result = await asyncio.wait_for(tool.reconcile(context), tool.traits.timeout_s)
                return self._finished(result, tool, intent) if result else None
            except Exception:
                # As in `_bounded`: a bug in a tool ends no turn.
                logger.exception("tool %s cannot tell whether %s happened", intent.name, intent.key)
        return Waiting(waiting_for=WaitingFor.OUTCOME, expires_in_s=self._policy.expires_in_s)

    def _arguments(self, tool: Tool, intent: Intent) -> dict[str, Any]:
        is_careful = tool.traits.effect is Effect.EXTERNAL
        return self._readers[intent.name].read(intent.arguments, is_careful=is_careful)

    def _forbidden(
        self, tool: Tool, arguments: Mapping[str, Any], intent: Intent, context: ToolContext
    ) -> ToolResult | Waiting | None:
        beside = sum(
            bits for (step, key), bits in self._told.items() if step == intent.step and key != intent.key
        )
        context = replace(context, told_bits=context.told_bits + beside)
        verdict = self._policy.judge(intent.name, tool.traits, arguments, context)
        if isinstance(verdict, Refuse):
            return _fault(verdict.why, Fault.REFUSED)
        if isinstance(verdict, Run) and verdict.told_bits:
            self._told[intent.step, intent.key] = verdict.told_bits
        # Refusals never come this far, and who answers a call has let it run before.
        if isinstance(verdict, Ask) and intent.decided is None:
            return Waiting(
                waiting_for=WaitingFor.APPROVAL, prompt=verdict.why, expires_in_s=self._policy.expires_in_s
            )
        return None

    async def _run(
        self, tool: Tool, arguments: Mapping[str, Any], context: ToolContext, begin: Begin | None
    ) -> ToolResult | Waiting:
        caching = tool.traits.caching
        if self._cache is None or caching is None or tool.traits.effect is not Effect.NONE:
            if begin is not None and tool.traits.effect is Effect.EXTERNAL:
                await begin()
            return await _bounded(tool, arguments, context)
        flight = SingleFlight(
            cache=self._cache,
            key=tool_cache.key_of(
                tool=tool.spec.name,
                version=tool.traits.version,
                arguments=arguments,
                caching=caching,
                context=context,
            ),
            ttl_s=caching.ttl_s,
            patience_s=tool.traits.timeout_s,
            is_fresh=self._is_fresh,
        )
        return await flight.result(lambda: _bounded(tool, arguments, context))

    def _finished(self, result: ToolResult, tool: Tool, intent: Intent) -> ToolResult:
        result = result_text.labelled(result, tool.traits)
        if intent.edition:
            said = f"[A person changed the arguments of this call to {intent.arguments}]"
            result = replace(result, for_model=f"{said}\n{result.for_model}")
        name = f"{intent.name}-{intent.step}-{intent.index}.txt"
        can_recall = "recall" in self._tools
        return result_text.clamped(result, tool.traits.max_result_chars, name=name, can_recall=can_recall)


def _as_decided(intent: Intent) -> ToolResult | None:
    """The result that a person's decision makes by itself, if it makes one."""
    if intent.decided is None:
        return None
    word = f" They say: {intent.decided.answer}" if intent.decided.answer else ""
    is_refused = intent.decided.decision in (Decision.REFUSED, Decision.EXPIRED)
    if is_refused and intent.waiting_for is WaitingFor.OUTCOME:
        text = f"Nobody can tell whether this call had its effect. It is not to be repeated.{word}"
        return _fault(text, Fault.INTERRUPTED)
    if intent.decided.decision is Decision.REFUSED:
        return _fault(f"The person does not want this call to be run. Go on without it.{word}", Fault.REFUSED)
    if intent.decided.decision is Decision.EXPIRED:
        return _fault("Nobody decided on this call in time: it was not run. Go on without it.", Fault.REFUSED)
    if intent.decided.decision is Decision.HAPPENED:
        return ToolResult(
            for_model=f"A person has made sure that this call had its effect; what it returned is lost.{word}"
        )
    return None


async def _bounded(tool: Tool, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult | Waiting:
    """What the tool brings within its time; its faults as results."""
    task = asyncio.ensure_future(tool.run(arguments, context))
    try:
        await asyncio.wait({task}, timeout=tool.traits.timeout_s)
        if not task.done():
            return _took_too_long(tool)
        result = task.result()
        if isinstance(result, ToolResult | Waiting):
            return result
        raise TypeError(f"it returned {type(result).__name__}, not a ToolResult")
    except Exception:
        # The outermost loop of tool code: a bug in one tool must end neither the turn nor its worker.
        logger.exception("tool %s failed", tool.spec.name)
        return _fault(
            f"{tool.spec.name} failed inside. Try other arguments, or go on without it.", Fault.FAILED
        )
    finally:
        await _ended(task)


def _took_too_long(tool: Tool) -> ToolResult:
    text = f"{tool.spec.name} took longer than {tool.traits.timeout_s:.0f} seconds and was stopped."
    if tool.traits.effect is Effect.EXTERNAL:
        text += " It may have had its effect: make sure before you call it again."
    return _fault(text, Fault.TIMEOUT)


async def _ended(task: "asyncio.Future[ToolResult | Waiting]") -> None:
    """Cancelled, and given a moment to clean up. One that will not end is left behind."""
    if task.done():
        return
    task.cancel()
    await asyncio.wait({task}, timeout=SECONDS_TO_CLEAN_UP)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _fault(text: str, fault: Fault) -> ToolResult:
    return ToolResult(for_model=text, is_error=True, fault=fault)
