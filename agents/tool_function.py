"""A tool out of one async function: its name, type hints and docstring say what the model is told.

@tool(trust=Trust.WEB, keep_s=600)
async def weather(city: str, days: int = 1) -> str:
    \"\"\"The weather forecast for a city.

    city: its name in English
    days: how many, from 1 to 7
    \"\"\"
"""

import inspect
import re
import textwrap
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from agents.tool import (
    TOOL_TIMEOUT_S,
    Approval,
    Caching,
    Effect,
    Fault,
    Scope,
    ToolContext,
    ToolResult,
    Traits,
    Trust,
    Waiting,
)
from inference.schema import ToolSpec

Function = Callable[..., Awaitable[Any]]

_NAME = re.compile(r"\A[A-Za-z0-9_-]{1,64}\Z")


class BadTool(Exception):
    """The function cannot be a tool; the text says what to change."""


class ToolFailed(Exception):
    """Raised by a tool's function: the call brought nothing, and the text tells the model why."""


@dataclass(frozen=True, kw_only=True)
class FunctionTool:
    """The function's return value is the result: a ToolResult, a text, or anything that JSON can hold."""

    spec: ToolSpec
    traits: Traits
    function: Function
    parameters: type[msgspec.Struct]
    context_name: str = ""

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult | Waiting:
        try:
            # The schema holds by now; this makes dates, enums and classes of it.
            values = msgspec.convert(arguments, self.parameters)
        except msgspec.ValidationError as fault:
            text = f"The arguments of {self.spec.name} are wrong: {fault}"
            return ToolResult(for_model=text, is_error=True, fault=Fault.BAD_ARGUMENTS)
        named = {name: getattr(values, name) for name in self.parameters.__struct_fields__}
        if self.context_name:
            named[self.context_name] = context
        try:
            return _as_result(await self.function(**named))
        except ToolFailed as fault:
            return ToolResult(for_model=str(fault), is_error=True, fault=Fault.FAILED)


def tool(
    *,
    name: str = "",
    effect: Effect = Effect.NONE,
    is_idempotent: bool = False,
    trust: Trust = Trust.WEB,
    approval: Approval = Approval.NEVER,
    keep_s: float | None = None,
    keep_for: Scope = Scope.USER,
    version: str = "1",
    timeout_s: float = TOOL_TIMEOUT_S,
) -> Callable[[Function], FunctionTool]:
    """Makes a tool of the function. What it returns counts as a stranger's text unless `trust` says
    otherwise; with `keep_s` a result is kept for so long, for the same user by default.

    A parameter annotated ToolContext is not shown to the model: it gets the call's context. Raises BadTool.
    """
    caching = Caching(ttl_s=keep_s, scope=keep_for) if keep_s is not None else None
    traits = Traits(
        version=version,
        effect=effect,
        is_idempotent=is_idempotent,
        trust=trust,
        approval=approval,
        caching=caching,
        timeout_s=timeout_s,
    )

    def made(function: Function) -> FunctionTool:
        return _tool_of(function, name=name or function.__name__, traits=traits)

    return made


def _tool_of(function: Function, *, name: str, traits: Traits) -> FunctionTool:
    if not inspect.iscoroutinefunction(function):
        raise BadTool(f"{name} must be an async function: write `async def`.")
    if not _NAME.match(name):
        raise BadTool(f"{name!r} is no name for a tool: use up to 64 letters, digits, _ and -.")
    description, said_of = _told(function)
    if not description:
        raise BadTool(f"{name} needs a docstring: it is what the model is told of the tool.")
    context_name, fields = _fields(function, said_of, name=name)
    parameters = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
    spec = ToolSpec(name=name, description=description, parameters=_schema(parameters))
    return FunctionTool(
        spec=spec, traits=traits, function=function, parameters=parameters, context_name=context_name
    )


def _told(function: Function) -> tuple[str, dict[str, str]]:
    """What the docstring says of the function, and, in lines "name: …", of its parameters."""
    text = textwrap.dedent(inspect.getdoc(function) or "")
    names = "|".join(map(re.escape, inspect.signature(function).parameters)) or r"\Z\A"
    line = re.compile(rf"^\s*({names}): +(.+)$", re.MULTILINE)
    said_of = {found[1]: found[2].strip() for found in line.finditer(text)}
    return " ".join(line.sub("", text).split()), said_of


def _fields(
    function: Function, said_of: Mapping[str, str], *, name: str
) -> tuple[str, list[tuple[str, Any] | tuple[str, Any, Any]]]:
    hints = typing.get_type_hints(function, include_extras=True)
    context_name, fields = "", []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise BadTool(f"{name}: the model cannot fill {parameter}, give each parameter a name.")
        if parameter.name not in hints:
            raise BadTool(f"{name}: say of which type {parameter.name} is.")
        hint = hints[parameter.name]
        if hint is ToolContext:
            context_name = parameter.name
            continue
        if parameter.name in said_of:
            hint = Annotated[hint, msgspec.Meta(description=said_of[parameter.name])]
        has_default = parameter.default is not parameter.empty
        fields.append((parameter.name, hint, parameter.default) if has_default else (parameter.name, hint))
    return context_name, fields


def _schema(parameters: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema of the parameters, with what it refers to beside it."""
    try:
        _, named = msgspec.json.schema_components([parameters], ref_template="#/$defs/{name}")
    except TypeError as fault:
        raise BadTool(f"{parameters.__name__}: JSON has no such type: {fault}") from fault
    schema = named.pop(parameters.__name__)
    schema.pop("title", None)
    return {**schema, "$defs": named} if named else schema


def _as_result(value: Any) -> ToolResult | Waiting:
    if isinstance(value, ToolResult | Waiting):
        return value
    if isinstance(value, str):
        return ToolResult(for_model=value)
    return ToolResult(for_model=msgspec.json.encode(value).decode())
