"""The JSON Schemas of a request: of a function's arguments, or of an answer.

All of JSON Schema 2020-12 is taken, of which Moonshot's published subset (MFJS) is a part, and what drafts 7
and 4 wrote otherwise. What is no schema is refused before anything is charged, with the path of the fault:
the worker that would stumble over it is far behind the queue.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Never
from urllib.parse import unquote

import jsonschema_rs
import msgspec

from webapp.api.errors import bad_request

MAX_NESTING = 100
_MOST_WORDS = 300
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$-]*")
_KINDS = "array, boolean, integer, null, number, object, string"
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems", "items")
_ONES = (
    *("items", "additionalProperties", "additionalItems", "unevaluatedItems", "unevaluatedProperties"),
    *("not", "if", "then", "else", "contains", "propertyNames"),
)
Path = tuple[str | int, ...]


_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_newest = jsonschema_rs.validator_for({"$schema": _DRAFT, "$ref": _DRAFT}, validate_formats=True)


def check(schema: dict[str, Any], place: str, *, is_function: bool = False) -> None:
    """Raises ApiError 400, which names the fault's path below `place`.

    `is_function`: the schema describes a function's arguments, which are one object.
    """
    if _is_nested_deeply(schema):
        _refuse(place, (), f"A schema is nested more than {MAX_NESTING} deep")
    try:
        msgspec.msgpack.encode(schema)  # as the request queue carries it
    except OverflowError:
        _refuse(place, (), "A whole number of a schema is longer than 64 bits")
    _check_keywords(schema, place)
    if is_function and schema.get("type", "object") not in ("object", ["object"]):
        _refuse(place, ("type",), "A function's arguments are one object: its schema's `type` is `object`")
    _check_references(schema, place)


def _refuse(place: str, path: Path, message: str) -> Never:
    param = (place + "".join(_step(step) for step in path))[:_MOST_WORDS]
    raise bad_request(f"{message} (`{param}`).", param=param)


def _step(step: str | int) -> str:
    if isinstance(step, str):
        return f".{step}" if _IDENTIFIER.fullmatch(step) else f"[{json.dumps(step, ensure_ascii=False)}]"
    return f"[{step}]"


def _is_nested_deeply(schema: dict[str, Any]) -> bool:
    level: list[Any] = [schema]
    for _ in range(MAX_NESTING):
        insides = (value.values() if isinstance(value, dict) else value for value in level)
        level = [value for inside in insides for value in inside if isinstance(value, dict | list)]
        if not level:
            return False
    return True


def _check_keywords(schema: dict[str, Any], place: str) -> None:
    for path, message in _faults(schema, ()):
        if path[-1:] == ("type",) or path[-2:-1] == ("type",):
            message = f"a `type` is one of {_KINDS}, or a list of such"
        _refuse(place, path, f"This is no JSON Schema: {message[:_MOST_WORDS]}")


def _faults(schema: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Where it is no JSON Schema of the draft 2020-12, nor written as drafts 7 and 4 have it."""
    for fault in _newest.iter_errors(schema):
        where = (*path, *_steps(schema, fault.instance_path))
        keyword = "" if where[-2:-1] == ("properties",) else where[-1] if where else ""
        if keyword == "items" and isinstance(fault.instance, list):
            for index, one in enumerate(fault.instance):
                yield from _faults(one, (*where, index))
        elif keyword not in ("exclusiveMinimum", "exclusiveMaximum") or not isinstance(fault.instance, bool):
            yield where, fault.message


def _steps(value: Any, path: Sequence[str | int]) -> Iterator[str | int]:
    """The path with its names as they are: the library tells a member "0" as it tells a place in a list."""
    for told in path:
        step = str(told) if isinstance(value, dict) else told
        yield step
        value = value[step]


# ---- references


def _check_references(schema: dict[str, Any], place: str) -> None:
    """Each points to a schema within this one, and some value can be written to its end."""
    inner = list(_schemas(schema, ()))
    anchors = {one["$anchor"]: one for _path, one in inner if "$anchor" in one}
    targets: dict[str, Any] = {}
    for path, one in inner:
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in one:
                try:
                    targets[one[keyword]] = _target(schema, one[keyword], anchors)
                except LookupError as fault:
                    _refuse(place, (*path, keyword), str(fault.args[0]))
    ending: set[str] = set()
    while more := {name for name in targets.keys() - ending if _can_end(targets[name], ending)}:
        ending |= more
    for path, one in inner:
        if one.get("$ref", "") in targets.keys() - ending:
            _refuse(place, (*path, "$ref"), "No value could ever end: what this points to requires itself")


def _schemas(schema: Any, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """This one and all within it, each with its path."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for keyword, value in schema.items():
        if keyword in _MAPS and isinstance(value, dict):
            for name, one in value.items():
                yield from _schemas(one, (*path, keyword, name))
        elif keyword in _LISTS and isinstance(value, list):
            for index, one in enumerate(value):
                yield from _schemas(one, (*path, keyword, index))
        elif keyword in _ONES:
            yield from _schemas(value, (*path, keyword))


def _target(schema: dict[str, Any], reference: str, anchors: dict[str, Any]) -> Any:
    """What the reference points to. Raises LookupError, whose text says why it points to nothing."""
    base, _hash, fragment = reference.partition("#")
    if base and base != schema.get("$id", "").partition("#")[0]:
        raise LookupError(
            "A reference stays within its schema, as `#`, `#/$defs/name` or `#anchor`: nothing is fetched"
        )
    if fragment and not fragment.startswith("/"):
        if fragment not in anchors:
            raise LookupError("This points to an anchor that is not there")
        return anchors[fragment]
    found: Any = schema
    for step in unquote(fragment).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            raise LookupError("This points to a schema that is not there")
    if not isinstance(found, dict | bool):
        raise LookupError("This points to something that is no schema")
    return found


def _can_end(schema: Any, ending: set[str]) -> bool:
    """Is there a value of an end, as far as is known: `ending` are the references whose target has one?"""
    if not isinstance(schema, dict):
        return True
    if "$ref" in schema and schema["$ref"] not in ending:
        return False
    if not all(_can_end(one, ending) for one in schema.get("allOf", ())):
        return False
    for keyword in ("anyOf", "oneOf"):
        if schema.get(keyword) and not any(_can_end(one, ending) for one in schema[keyword]):
            return False
    kinds = schema.get("type")
    if kinds in ("object", ["object"]):
        properties = schema.get("properties", {})
        return all(_can_end(properties.get(name), ending) for name in schema.get("required", ()))
    if kinds in ("array", ["array"]) and schema.get("minItems", 0) > 0:
        return _can_end(schema.get("items"), ending)
    return True
