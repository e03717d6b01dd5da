"""The tools a turn may use: what the model is told of them, and the one place where a call is checked and
run.

Whatever is wrong with a call (no such tool, no JSON, arguments that do not fit, a tool that fails) becomes a
result for the model, never an exception for the loop.
"""

import asyncio
import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import jsonschema
from jsonschema.protocols import Validator

from agents import plain_text
from agents.tool import Fault, HasResources, Intent, Tool, ToolContext, ToolResult, Traits, Waiting
from inference.schema import ToolSpec

logger = logging.getLogger(__name__)


class Toolset:
    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._validators = {name: _validator(tool.spec) for name, tool in self._tools.items()}

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
        arguments, fault = self._checked(intent)
        return frozenset() if fault else tool.resources(arguments)

    async def run(self, intent: Intent, context: ToolContext) -> ToolResult | Waiting:
        tool = self._tools.get(intent.name)
        if tool is None:
            return _fault(
                f"There is no tool {intent.name!r}. Tools: {', '.join(self._tools) or 'none'}.",
                Fault.UNKNOWN_TOOL,
            )
        arguments, fault = self._checked(intent)
        if fault:
            return _fault(fault, Fault.BAD_ARGUMENTS)
        timeout_s = tool.traits.timeout_s
        try:
            result = await asyncio.wait_for(tool.run(arguments, context), timeout_s)
        except TimeoutError:
            return _fault(
                f"{intent.name} took longer than {timeout_s:.0f} seconds and was stopped.", Fault.TIMEOUT
            )
        except Exception:
            # The outermost loop of tool code: a bug in one tool must end neither the turn nor its worker.
            logger.exception("tool %s failed", intent.name)
            return _fault(
                f"{intent.name} failed inside. Try other arguments, or go on without it.", Fault.FAILED
            )
        return result if isinstance(result, Waiting) else _clamped(result, tool.traits)

    def _checked(self, call: Intent) -> tuple[dict[str, Any], str]:
        """The arguments as the schema wants them, or what is wrong with them."""
        try:
            arguments = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError) as error:
            return {}, f"The arguments of {call.name} are not JSON ({error}). Write one JSON object."
        problem = jsonschema.exceptions.best_match(self._validators[call.name].iter_errors(arguments))
        if problem is None:
            return arguments, ""
        place = "/".join(str(step) for step in problem.absolute_path) or "the arguments"
        return {}, f"The arguments of {call.name} do not fit its schema, at {place}: {problem.message[:300]}"


def _validator(spec: ToolSpec) -> Validator:
    jsonschema.Draft202012Validator.check_schema(spec.parameters)
    return jsonschema.Draft202012Validator(spec.parameters)


def _fault(text: str, fault: Fault) -> ToolResult:
    return ToolResult(for_model=text, is_error=True, fault=fault)


def _clamped(result: ToolResult, traits: Traits) -> ToolResult:
    text = plain_text.clean(result.for_model)
    if len(text) > traits.max_result_chars:
        text = f"{text[: traits.max_result_chars]}\n[cut: {len(text)} characters in all]"
    return replace(result, for_model=text, for_user=plain_text.clean(result.for_user), trust=traits.trust)
