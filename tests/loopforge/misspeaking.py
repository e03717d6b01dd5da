"""How a model spoils its own calls."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.loopforge.faults import Fault

if TYPE_CHECKING:
    from tests.loopforge.course import Call

FOREIGN = ("call_9f2d", "toolu_01Ab", "chatcmpl-tool-7c")


def spoil(
    calls: Sequence["Call"], fault: Fault, tools: Mapping[str, Mapping[str, Any]]
) -> tuple["Call", ...]:
    """The calls with this fault in them."""
    if fault is Fault.REPEATED:
        return tuple(calls)
    if fault is Fault.DUPLICATE_IDS:  # one that the conversation had before, for all of them
        return tuple(replace(call, id=f"functions.{calls[0].name}:0") for call in calls)
    if fault is Fault.FOREIGN_IDS:
        return tuple(
            replace(call, id=f"{FOREIGN[at % 3]}{call.id.rpartition(':')[2]}")
            for at, call in enumerate(calls)
        )
    if fault is Fault.NO_IDS:
        return tuple(replace(call, id="") for call in calls)
    if fault is Fault.UNKNOWN_TOOL:
        index = calls[0].id.rpartition(":")[2]
        return (replace(calls[0], name="web_searhc", id=f"functions.web_searhc:{index}"), *calls[1:])
    spoilt = _spoilt(calls[0].arguments, fault, tools.get(calls[0].name, {}))
    return (replace(calls[0], arguments=spoilt), *calls[1:])


def _spoilt(text: str, fault: Fault, schema: Mapping[str, Any]) -> str:
    if fault is Fault.TRAILING:
        return f"{text}\nNow I wait for the result."
    if fault is Fault.STRINGIFIED:
        return json.dumps(text)
    if fault is Fault.FENCED:
        return f"```json\n{text}\n```"
    if fault is Fault.MALFORMED:
        return text[: len(text) // 2] + "}}"
    values: dict[str, Any] = json.loads(text)
    name = next(iter(schema.get("required", values)), None)
    if name is None:
        return "[]"
    if fault is Fault.MISSING:
        return json.dumps({key: value for key, value in values.items() if key != name})
    return json.dumps(values | {name: {"not": "what was asked for"}})
