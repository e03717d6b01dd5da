"""Repairs of arguments that models get wrong, each only where no other meaning is possible. Pure."""

import json
import re
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 40

_FENCE = re.compile(r"\A```[a-zA-Z0-9]*\s*\n(?P<inside>.*?)\n?```\s*\Z", re.DOTALL)
_NUMBER = re.compile(r"\A-?(?:0|[1-9]\d{0,300})(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?\Z")
_BOOLEANS = {"true": True, "True": True, "false": False, "False": False}
_PAIRS = {"{": "}", "[": "]"}


class Irreparable(Exception):
    """What is meant cannot be told for sure."""


# ---- the text


def whole_object(text: str, *, may_close: bool) -> str:
    """The JSON object within the text: without a code fence around it, words or marks after it, and one comma
    too many; with `may_close`, its last bracket added where it is missing. Raises Irreparable."""
    text = text.strip()
    if fenced := _FENCE.match(text):
        text = fenced["inside"].strip()
    if text.startswith('"'):
        return _unwrapped(text)
    if not text.startswith("{"):
        raise Irreparable("it does not begin with an object")
    if (end := _end_of_object(text)) is None:
        text = _without_comma(text)
        end = _end_of_object(text)
    if end is not None:
        _check_rest(text[end:])
        return text[:end]
    if not may_close:
        raise Irreparable("it may have been cut off")
    return _closed(text)


def _end_of_object(text: str) -> int | None:
    """Where the object that the text begins with ends; None when it is not whole."""
    try:
        return json.JSONDecoder().raw_decode(text)[1]
    except ValueError:
        return None


def _check_rest(rest: str) -> None:
    """Words and marks may follow the object. Another object may not: which of them is meant?"""
    if "{" in rest or "[" in rest:
        raise Irreparable("more than one object")


def _unwrapped(text: str) -> str:
    """The object in a JSON text: some models write their arguments as a string."""
    inner = json.loads(text)
    if not isinstance(inner, str) or not inner.lstrip().startswith("{"):
        raise Irreparable("it is no object")
    return inner


def _outside_strings(text: str) -> Iterator[tuple[int, str]]:
    """The characters that are in no string, with their places; a string counts as its closing quote."""
    is_inside, is_escaped = False, False
    for at, character in enumerate(text):
        if not is_inside:
            if character == '"':
                is_inside = True
            else:
                yield at, character
        elif is_escaped:
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif character == '"':
            is_inside = False
            yield at, character
    if is_inside:
        raise Irreparable("a text has no end")


def _without_comma(text: str) -> str:
    """Without the comma before a closing bracket, when there is exactly one such."""
    extra, before = [], (0, "")
    for at, character in _outside_strings(text):
        if character.isspace():
            continue
        if character in "}]" and before[1] == ",":
            extra.append(before[0])
        before = (at, character)
    return text[: extra[0]] + text[extra[0] + 1 :] if len(extra) == 1 else text


def _closed(text: str) -> str:
    """The text with its one missing bracket. Not after a number: "10" may be the beginning of "100"."""
    stack: list[str] = []
    for _, character in _outside_strings(text):
        if character in _PAIRS:
            stack.append(character)
        elif character in "}]" and (not stack or _PAIRS[stack.pop()] != character):
            raise Irreparable("its brackets do not match")
    if len(stack) != 1 or not text.endswith(('"', "}", "]", "true", "false", "null")):
        raise Irreparable("it may have been cut off")
    return text + _PAIRS[stack[0]]


# ---- the values


def coerced(value: Any, schema: dict[str, Any]) -> Any:
    """The value with numbers, booleans, objects and lists that were written as texts, where the schema wants
    no text there."""
    return _coerced(value, schema, schema, 0)


def _coerced(value: Any, schema: Any, root: dict[str, Any], depth: int) -> Any:
    schema = _resolved(schema, root)
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return value
    if isinstance(value, str):
        value = _from_text(value, _types(schema, root))
    if isinstance(value, dict):
        return {
            name: _coerced(member, _member_schema(schema, name, root), root, depth + 1)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_coerced(item, schema.get("items"), root, depth + 1) for item in value]
    return value


def _resolved(schema: Any, root: dict[str, Any]) -> Any:
    """The schema that a reference within the same document names."""
    for _ in range(MAX_DEPTH):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        schema = root
        for name in reference[2:].split("/"):
            name = name.replace("~1", "/").replace("~0", "~")
            schema = schema.get(name) if isinstance(schema, dict) else None
    return None


def _alternatives(schema: dict[str, Any], root: dict[str, Any]) -> list[Any]:
    return [_resolved(one, root) for keyword in ("anyOf", "oneOf") for one in schema.get(keyword, ())]


def _types(schema: dict[str, Any], root: dict[str, Any]) -> set[str]:
    """The types that the schema allows; empty where it does not say, or allows a text in some other way."""
    wanted = schema.get("type")
    if wanted is not None:
        return {wanted} if isinstance(wanted, str) else set(wanted)
    types: set[str] = set()
    for one in _alternatives(schema, root):
        named = one.get("type") if isinstance(one, dict) else None
        if named is None:
            return set()
        types |= {named} if isinstance(named, str) else set(named)
    return types


def _member_schema(schema: dict[str, Any], name: str, root: dict[str, Any]) -> Any:
    for one in (schema, *_alternatives(schema, root)):
        if isinstance(one, dict) and name in one.get("properties", {}):
            return one["properties"][name]
    return schema.get("additionalProperties")


def _from_text(text: str, types: set[str]) -> Any:
    """What the text says, when only one of the types can be meant."""
    if not types or "string" in types:
        return text
    bare = text.strip()
    if "boolean" in types and bare in _BOOLEANS:
        return _BOOLEANS[bare]
    if types & {"integer", "number"} and _NUMBER.match(bare):
        return json.loads(bare)
    wanted = {"object": dict, "array": list}
    if types & set(wanted) and bare[:1] in ("{", "["):
        try:
            inner = json.loads(bare)
        except ValueError:
            return text
        if any(name in types and isinstance(inner, kind) for name, kind in wanted.items()):
            return inner
    return text
