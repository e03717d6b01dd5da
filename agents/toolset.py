"""The tools a turn may use: what the model is told of them, and the one place where a call is checked and
run.

Whatever is wrong with a call (no such tool, no JSON, arguments that do not fit, a tool that fails) becomes a
result for the model, never an exception for the loop.
"""

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import jsonschema
from jsonschema.protocols import Validator

from agents import plain_text
from inference.schema import ToolCall, ToolSpec

logger = logging.getLogger(__name__)

MAX_RESULT_CHARS = 32_000
TOOL_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """Whose call it is. `key` is the same when a call is run again after a crash, so that no effect happens
    twice."""

    key: str


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """`for_user` is shown instead of `for_model` where it is given."""

    for_model: str
    for_user: str = ""
    sources: tuple[str, ...] = ()
    is_error: bool = False


class Tool(Protocol):
    """`is_pure`: running it twice is the same as once. `needs_approval`: a person is asked first."""

    @property
    def spec(self) -> ToolSpec: ...

    @property
    def is_pure(self) -> bool: ...

    @property
    def needs_approval(self) -> bool: ...

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """The arguments fit the spec's schema. Cancelling it ends whatever it started."""
        ...


class Toolset:
    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._validators = {name: _validator(tool.spec) for name, tool in self._tools.items()}

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(tool.spec for tool in self._tools.values())

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        tool = self._tools.get(call.name)
        if tool is None:
            return _fault(f"There is no tool {call.name!r}. Tools: {', '.join(self._tools) or 'none'}.")
        arguments, fault = self._checked(call)
        if fault:
            return _fault(fault)
        try:
            result = await asyncio.wait_for(tool.run(arguments, context), TOOL_TIMEOUT_S)
        except TimeoutError:
            return _fault(f"{call.name} took longer than {TOOL_TIMEOUT_S:.0f} seconds and was stopped.")
        except Exception:
            # The outermost loop of tool code: a bug in one tool must end neither the turn nor its worker.
            logger.exception("tool %s failed", call.name)
            return _fault(f"{call.name} failed inside. Try other arguments, or go on without it.")
        return _clamped(result)

    def _checked(self, call: ToolCall) -> tuple[dict[str, Any], str]:
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


def _fault(text: str) -> ToolResult:
    return ToolResult(for_model=text, is_error=True)


def _clamped(result: ToolResult) -> ToolResult:
    text = plain_text.clean(result.for_model)
    if len(text) > MAX_RESULT_CHARS:
        text = f"{text[:MAX_RESULT_CHARS]}\n[cut: {len(text)} characters in all]"
    return replace(result, for_model=text, for_user=plain_text.clean(result.for_user))
