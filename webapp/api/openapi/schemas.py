"""The schemas of bodies and answers, by names that read well, made of the structs that the code decodes
into; and what their types leave unsaid: what a field means, and which items a list may hold."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from webapp.api import chat_request, messages_request, quotes, runs, webhook_endpoints
from webapp.api.batches import handlers as batches
from webapp.api.openapi.meanings import MEANINGS
from webapp.api.responses import conversations, items, tools
from webapp.api.responses import request as responses_request

PLACE = "#/components/schemas/"
Schema = dict[str, Any]

# Names for readers, where the one in its module says too little by itself.
NAMES = {
    chat_request.Body: "ChatCompletionRequest",
    chat_request.Prompt: "TokenEstimateRequest",
    chat_request.WireMessage: "ChatMessage",
    chat_request.WireTool: "ChatTool",
    messages_request.Body: "MessageRequest",
    messages_request.Prompt: "MessageTokensRequest",
    responses_request.Body: "ResponseRequest",
    conversations.NewConversation: "ConversationRequest",
    conversations.Update: "ConversationUpdate",
    conversations.NewItems: "ItemsRequest",
    batches.Body: "BatchRequest",
    runs.NewRun: "RunRequest",
    runs.Decision: "RunDecision",
    runs.Further: "RunContinuation",
    quotes.Asked: "QuoteRequest",
    webhook_endpoints.New: "WebhookEndpointRequest",
    webhook_endpoints.Update: "WebhookEndpointUpdate",
    webhook_endpoints.Trial: "WebhookTestRequest",
}
PREFIXES = {
    "webapp.api.chat_request": "Chat",
    "webapp.api.answer_form": "Chat",
    "webapp.api.thinking_switch": "Chat",
    "webapp.api.messages_blocks": "Message",
    "webapp.api.messages_request": "Message",
    "webapp.api.responses.items": "Item",
    "webapp.api.responses.tools": "Response",
    "webapp.api.responses.request": "Response",
    "chat.frames": "Run",
}
ITEM, TOOL = "Item", "ResponseTool"
# Lists whose structs are looked at one by one, for a better word where one is wrong.
LISTS = {
    ("ResponseRequest", "input"): ITEM,
    ("ConversationRequest", "items"): ITEM,
    ("ItemsRequest", "items"): ITEM,
    ("ResponseRequest", "tools"): TOOL,
}
TOOLS: Mapping[str, type[msgspec.Struct]] = {
    "function": tools.Function,
    "custom": tools.Custom,
    tools.NAMESPACE: tools.Namespace,
    **dict.fromkeys(tools.HOSTED, tools.Hosted),
}


def make(types: Iterable[Any]) -> tuple[dict[Any, Schema], dict[str, Schema]]:
    """The schema of each type, and the components that they refer to."""
    wanted = [*dict.fromkeys(types), *items.KINDS.values(), *TOOLS.values()]
    schemas, components = msgspec.json.schema_components(wanted, ref_template=PLACE + "{name}")
    names = _names(wanted, schemas, components)
    named = {names[name]: _renamed(schema, names) for name, schema in components.items()}
    named[ITEM] = _one_of_kinds(items.KINDS, defaults=("message", "item_reference"))
    named[TOOL] = _one_of_kinds(TOOLS)
    for kind in _alone(wanted):
        _let_go_of_tag(named[name_of(kind)], kind)
    for name, schema in named.items():
        _complete(name, schema)
    own = {kind: _renamed(schema, names) for kind, schema in zip(wanted, schemas, strict=True)}
    return own, dict(sorted(named.items()))


def name_of(kind: type[msgspec.Struct]) -> str:
    if kind in NAMES:
        return NAMES[kind]
    prefix = PREFIXES.get(kind.__module__, "")
    return kind.__name__ if kind.__name__.startswith(prefix) else prefix + kind.__name__


def _names(wanted: list[Any], schemas: Iterable[Schema], components: Mapping[str, Schema]) -> dict[str, str]:
    """From the names msgspec gives to ours: it writes a module's where two modules have the same."""
    names = {}
    for kind in _structs(wanted):
        long = f"{kind.__module__}.{kind.__qualname__}"
        for name in (kind.__name__, long, long.replace(".", "_")):
            if name in components:
                names[name] = name_of(kind)
    if len(set(names.values())) != len(components):
        raise ValueError("Two structs have one name: name them in NAMES.")
    return names


def _structs(wanted: list[Any]) -> list[type[msgspec.Struct]]:
    """Every struct that a type holds, however deep."""
    found: dict[type[msgspec.Struct], None] = {}

    def look(info: Any) -> None:
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in found:
                return
            found[info.cls] = None
            for field in info.fields:
                look(field.type)
            return
        if isinstance(info, msgspec.inspect.Type):
            for name in info.__struct_fields__:
                inner = getattr(info, name)
                for one in inner if isinstance(inner, tuple) else (inner,):
                    look(one)

    for kind in wanted:
        look(msgspec.inspect.type_info(kind))
    return list(found)


def _alone(wanted: list[Any]) -> Iterable[type[msgspec.Struct]]:
    """Structs with a tag that stand where no other may: nobody need say what they are."""
    for kind in _structs(wanted):
        for field in msgspec.structs.fields(kind):
            for one in _ways(msgspec.inspect.type_info(field.type)):
                if len(one) == 1 and one[0].__struct_config__.tag is not None:
                    yield one[0]


def _ways(info: Any) -> Iterable[list[type[msgspec.Struct]]]:
    """The structs that may stand at each place of the type."""
    if isinstance(info, msgspec.inspect.UnionType):
        structs = [one.cls for one in info.types if isinstance(one, msgspec.inspect.StructType)]
        yield structs
        for one in info.types:
            if not isinstance(one, msgspec.inspect.StructType):
                yield from _ways(one)
    elif isinstance(info, msgspec.inspect.StructType):
        yield [info.cls]
    elif isinstance(info, msgspec.inspect.ListType):
        yield from _ways(info.item_type)


def _let_go_of_tag(schema: Schema, kind: type[msgspec.Struct]) -> None:
    if kind.__module__.startswith("webapp.api.openapi."):
        return  # what we write always has it
    field = kind.__struct_config__.tag_field
    schema["required"] = [name for name in schema.get("required", ()) if name != field]


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:
    if isinstance(schema, list):
        return [_renamed(one, names) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _renamed(value, names) for key, value in schema.items()}
    ref = made.get("$ref")
    if isinstance(ref, str):
        made["$ref"] = PLACE + names[ref.removeprefix(PLACE)]
    if "discriminator" in made:
        mapping = made["discriminator"].get("mapping", {})
        made["discriminator"]["mapping"] = {
            kind: PLACE + names[to.removeprefix(PLACE)] for kind, to in mapping.items()
        }
    return made


def _one_of_kinds(kinds: Mapping[str, type[msgspec.Struct]], *, defaults: tuple[str, ...] = ()) -> Schema:
    """An object that its `type` makes one of these; `defaults` may leave it out."""
    ways = []
    for kind, struct in kinds.items():
        mark: Schema = {"type": "object", "properties": {"type": {"const": kind}}}
        if kind not in defaults:
            mark["required"] = ["type"]
        ways.append({"title": kind, "allOf": [{"$ref": PLACE + name_of(struct)}, mark]})
    return {"anyOf": ways}


def _complete(name: str, schema: Schema) -> None:
    schema["title"] = name
    for field, inner in schema.get("properties", {}).items():
        if (name, field) in LISTS:
            _fill_list(inner, {"$ref": PLACE + LISTS[name, field]})
        if "description" not in inner and (meaning := MEANINGS.get(f"{name}.{field}", MEANINGS.get(field))):
            inner["description"] = meaning
    _name_keys(schema)


def _fill_list(schema: Schema, item: Schema) -> None:
    for one in (schema, *schema.get("anyOf", ())):
        if one.get("type") == "array":
            one["items"] = item


def _name_keys(schema: Schema) -> None:
    """A dictionary of token ids has keys of digits, which msgspec does not tell."""
    biases = schema.get("properties", {}).get("logit_bias", {})
    for one in biases.get("anyOf", ()):
        if one.get("type") == "object":
            one["propertyNames"] = {"pattern": "^(0|[1-9][0-9]{0,8})$"}
