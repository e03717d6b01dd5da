"""The tools and the form that a request of the Responses dialect names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Never

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from inference.schema import JsonObject, JsonSchema, NamedTool, ResponseFormat, ToolSpec
from webapp.api import json_schemas
from webapp.api.errors import bad_request

MAX_TOOLS = 512  # agents that bring tool servers of their own send hundreds
Name = Annotated[str, Meta(pattern="^[a-zA-Z0-9_.-]{1,128}$")]
# Tools that run here, in a turn of the chat; a server of this name stands for all there are.
PLATFORM = "platform"
FUNCTIONS = ("function", "custom")
NAMESPACE = "namespace"
# As the answer repeats it, as the model hears of it, and whether it is called with free text.
Taken = tuple[dict[str, Any], ToolSpec, bool]
HOSTED = ("web_search", "web_search_preview", "code_interpreter", "mcp")


class Function(Struct, kw_only=True):
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Custom(Struct, kw_only=True):
    """Called with free text. The model calls it as a function of one text, `input`."""

    name: Name
    description: str | None = None
    format: dict[str, Any] | None = None


class Namespace(Struct, kw_only=True):
    """Tools of one kind or server, whose names hold within it. The model knows each by both names in one."""

    name: Name
    description: str | None = None
    tools: list[Any]


class Hosted(Struct, kw_only=True):
    server_label: str | None = None
    server_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tools:
    """`told` are the tools as the answer repeats them. `hosted` are those of ours that may be called: then
    the answer is a turn of the chat."""

    specs: tuple[ToolSpec, ...] = ()
    custom: frozenset[str] = frozenset()
    hosted: tuple[str, ...] = ()
    told: tuple[dict[str, Any], ...] = ()


class TextFormat(Struct, tag_field="type", tag="text"):
    pass


class JsonObjectFormat(Struct, tag_field="type", tag="json_object"):
    pass


class JsonSchemaFormat(Struct, tag_field="type", tag="json_schema", kw_only=True):
    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class TextSettings(Struct, kw_only=True):
    format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Allowed(Struct, kw_only=True):
    name: str | None = None
    namespace: str | None = None


class Choice(Struct, kw_only=True):
    type: str
    name: str | None = None
    namespace: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[Allowed] | None = None


Mode = Literal["auto", "none", "required"]


def read(sent: Sequence[Any] | None) -> Tools:
    """Raises ApiError 400 that names the tool."""
    functions: list[tuple[str, Taken]] = []
    shown: list[dict[str, Any]] = []
    hosted: list[tuple[str, dict[str, Any]]] = []
    for index, tool in enumerate(sent or ()):
        place = f"tools[{index}]"
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind in FUNCTIONS:
            functions.append((place, _taken(tool, place)))
            shown.append(functions[-1][1][0])
        elif kind == NAMESPACE:
            space, held = _namespace(tool, place)
            functions += held
            shown.append(space)
        elif kind in HOSTED:
            hosted.append((kind, _hosted(tool, place)))
        else:
            _refuse(f"{place}.type", f"Tools of the type {str(kind)[:60]!r} are not offered here.")
    specs = _named_apart(functions)
    if functions:
        # The client runs the loop, and cannot be called from a turn of ours: its own tools are taken, and the
        # answer says that no others are.
        hosted = []
    return Tools(
        specs=specs,
        custom=frozenset(spec.name for _place, (_told, spec, is_custom) in functions if is_custom),
        hosted=tuple(kind for kind, _told in hosted),
        told=(*shown, *(told for _kind, told in hosted)),
    )


def read_choice(asked: Mode | Choice | None, tools: Tools) -> tuple[Mode | NamedTool, tuple[ToolSpec, ...]]:
    """Which tool is called, and which may be. Raises ApiError 400 for a tool that was not sent."""
    if asked is None or asked == "auto" or asked == "none":
        return asked or "auto", tools.specs
    if not tools.told:
        _refuse("tool_choice", "`tool_choice` asks for a call: send the `tools` to choose from.")
    if not isinstance(asked, Choice):
        return asked, tools.specs
    if asked.type in ("function", "custom"):
        return NamedTool(_known(asked.name, asked.namespace, tools)), tools.specs
    if asked.type == "allowed_tools":
        names = {_known(tool.name, tool.namespace, tools) for tool in asked.tools or ()}
        return asked.mode or "auto", tuple(spec for spec in tools.specs if spec.name in names)
    if asked.type not in tools.hosted:
        _refuse("tool_choice", f"`tool_choice` names the type {asked.type[:60]!r}, none of the `tools`.")
    return "auto", tools.specs


def read_format(asked: TextSettings | None) -> ResponseFormat | None:
    """None where the content is free text. Raises ApiError 400."""
    form = asked.format if asked else None
    if isinstance(form, JsonObjectFormat):
        return JsonObject()
    if isinstance(form, JsonSchemaFormat):
        json_schemas.check(form.schema, "text.format.schema")
        return JsonSchema(schema=form.schema, name=form.name)
    return None


def told_format(asked: TextSettings | None) -> dict[str, Any]:
    """As the answer repeats it."""
    settings = asked or TextSettings()
    told: dict[str, Any] = {"format": msgspec.to_builtins(settings.format or TextFormat())}
    if settings.verbosity:
        told["verbosity"] = settings.verbosity
    return told


def within(namespace: str, name: str) -> str:
    """The one name by which the model knows a tool of a namespace."""
    return f"{namespace}__{name}" if namespace else name


def names_within(told: Sequence[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Of the tools that lie in namespaces, by the model's name: the namespace and the name in it."""
    return {
        within(space["name"], tool["name"]): (space["name"], tool["name"])
        for space in told
        if space["type"] == NAMESPACE
        for tool in space["tools"]
    }


def custom_names(told: Sequence[dict[str, Any]]) -> list[str]:
    """The model's names of those that are called with free text."""
    spaces = [("", told), *((tool["name"], tool["tools"]) for tool in told if tool["type"] == NAMESPACE)]
    return [
        within(space, tool["name"]) for space, held in spaces for tool in held if tool["type"] == "custom"
    ]


def _named_apart(functions: Sequence[tuple[str, Taken]]) -> tuple[ToolSpec, ...]:
    """Their specs. The model calls each by one name, so no two may share it."""
    specs: dict[str, ToolSpec] = {}
    for place, (_told, spec, _is_custom) in functions:
        if spec.name in specs:
            _refuse(f"{place}.name", f"The model would call two of the `tools` {spec.name!r}: rename one.")
        specs[spec.name] = spec
    return tuple(specs.values())


def _namespace(tool: dict[str, Any], place: str) -> tuple[dict[str, Any], list[tuple[str, Taken]]]:
    read = _read(tool, Namespace, place)
    held: list[tuple[str, Taken]] = []
    for index, inner in enumerate(read.tools):
        where = f"{place}.tools[{index}]"
        kind = inner.get("type") if isinstance(inner, dict) else None
        if kind not in FUNCTIONS:
            _refuse(
                f"{where}.type", f"A namespace holds functions, not tools of the type {str(kind)[:60]!r}."
            )
        told, spec, is_custom = _taken(inner, where)
        held.append((where, (told, replace(spec, name=within(read.name, spec.name)), is_custom)))
    shown = {"type": NAMESPACE, "name": read.name, "description": read.description or ""}
    return shown | {"tools": [told for _where, (told, _spec, _is_custom) in held]}, held


def _taken(tool: dict[str, Any], place: str) -> Taken:
    return _function(tool, place) if tool["type"] == "function" else _custom(tool, place)


def _function(tool: dict[str, Any], place: str) -> Taken:
    read = _read(tool, Function, place)
    parameters = read.parameters or {"type": "object", "properties": {}}
    json_schemas.check(parameters, f"{place}.parameters", is_function=True)
    spec = ToolSpec(name=read.name, description=read.description or "", parameters=parameters)
    # A schema is always kept to; whoever asks whether it is strict hears what they have sent.
    told = {"type": "function", "strict": read.strict is not False, "parameters": parameters}
    return told | {"name": read.name, "description": read.description}, spec, False


def _custom(tool: dict[str, Any], place: str) -> Taken:
    read = _read(tool, Custom, place)
    description = read.description or ""
    if definition := (read.format or {}).get("definition"):
        description += f"\n\nThe input is of this grammar:\n{definition}"
    schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    spec = ToolSpec(name=read.name, description=description, parameters=schema)
    told = {"type": "custom", "name": read.name, "description": read.description}
    return told | ({"format": read.format} if read.format else {}), spec, True


def _hosted(tool: dict[str, Any], place: str) -> dict[str, Any]:
    read = _read(tool, Hosted, place)
    if tool["type"] == "mcp" and (read.server_label != PLATFORM or read.server_url):
        _refuse(
            f"{place}.server_label",
            "Tool servers are not asked from here, but the platform's own tools are: `server_label` is to be "
            f"{PLATFORM!r}, without `server_url`.",
        )
    if tool["type"] == "code_interpreter":
        return {"type": "code_interpreter", "container": tool.get("container") or {"type": "auto"}}
    return {name: value for name, value in tool.items() if name in ("type", "server_label")}


def _read(tool: dict[str, Any], kind: type[Any], place: str) -> Any:
    try:
        return msgspec.convert(tool, kind)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        raise bad_request(f"{problem}.", param=f"{place}{path.rstrip('`')}") from None


def _known(name: str | None, namespace: str | None, tools: Tools) -> str:
    known = within(namespace or "", name or "")
    if known not in {spec.name for spec in tools.specs}:
        _refuse("tool_choice", f"`tool_choice` names {known[:80]!r}, which is not among the `tools`.")
    return known


def _refuse(param: str, message: str) -> Never:
    raise bad_request(message, param=param)
