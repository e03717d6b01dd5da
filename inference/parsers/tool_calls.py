"""Tool calls as Qwen-style models write them: `<tool_call>{json}</tool_call>`, fenced JSON, or bare JSON.

A call is a JSON object with `name` and `arguments`. Fenced or bare it counts only when it names an offered
tool: everything else is the answer's own text.
"""

import json
import re
from collections.abc import Collection
from typing import Any, NamedTuple

from inference.tokenizer import marks

OPEN = marks.TOOL_CALL_OPEN
CLOSE = marks.TOOL_CALL_CLOSE
FENCE = "```"
BRACE = "{"

_FENCE_LANGUAGES = ("json", "tool_call")
# What stands between an opening fence and its JSON; models leave out the language, and the new line too.
_FENCE_HEAD = re.compile(r"[ \t]*(json|tool_call)?\s*")
# The start of a call, as far as it is there: the first key and, after the colon, the value.
_START = re.compile(
    r'\{+\s*(?:"(?P<key>[^"]*)(?P<key_end>")?)?\s*:?\s*(?:"(?P<value>[^"]*)(?P<value_end>")?)?'
)


class Call(NamedTuple):
    """`arguments` is JSON text."""

    name: str
    arguments: str


def as_written(name: str, arguments: str) -> Call:
    """A call of the conversation, in the form in which `parse` gives the same call."""
    try:
        return Call(name, json.dumps(json.loads(arguments), ensure_ascii=False))
    except (ValueError, RecursionError):
        return Call(name, arguments)


def parse(text: str) -> list[Call]:
    """The calls that the text consists of; none when anything else is in it."""
    calls: list[Call] = []
    rest = _without_fence(text.strip())
    while rest:
        decoded, rest = _decode(rest)
        found = decoded if isinstance(decoded, list) else [decoded]
        for one in found:
            call = _call(one)
            if call is None:
                return []
            calls.append(call)
    return calls


def first(text: str) -> tuple[Call | None, str]:
    """The call that the text begins with, once it is whole, and the text after it."""
    decoded, rest = _decode(text)
    call = _call(decoded)
    if call is not None and text.startswith("{{") and not text.removesuffix(rest).rstrip().endswith("}}}"):
        return None, ""  # the second brace is still to come
    return call, rest


def may_be_fenced_call(block: str, offered: Collection[str]) -> bool:
    """Whether this text after an opening fence can still turn out to be a call of an offered tool."""
    head = _FENCE_HEAD.match(block)
    body = block[head.end() :] if head else block
    if not body or body[0] in "{[":
        return may_be_call(body.lstrip("[ \n"), offered)
    return (
        head is not None
        and not head.group().strip(" ")
        and any(known.startswith(body) for known in _FENCE_LANGUAGES)
    )


def may_be_call(body: str, offered: Collection[str]) -> bool:
    """Whether this JSON, as far as it is there, can still turn out to be a call of an offered tool."""
    start = _START.match(body)
    if start is None:
        return not body
    key, value = start["key"], start["value"]
    if not start["key_end"]:
        return start.end() == len(body) and any(
            known.startswith(key or "") for known in ("name", "arguments")
        )
    if key != "name":
        return key == "arguments"
    if not start["value_end"]:
        return start.end() == len(body) and any(name.startswith(value or "") for name in offered)
    return value in offered


def _without_fence(text: str) -> str:
    if not text.startswith(FENCE):
        return text
    return _FENCE_HEAD.sub("", text.removesuffix(FENCE).removeprefix(FENCE), count=1).strip()


def _decode(text: str) -> tuple[Any, str]:
    """The first JSON value and the text after it; (None, "") when there is none."""
    # The templates of Qwen 2.5 show the call's form in doubled braces, and small models copy them.
    for candidate in (text, text.removeprefix("{")):
        try:
            decoded, end = json.JSONDecoder(strict=False).raw_decode(candidate)
        except (ValueError, RecursionError):
            continue
        rest = candidate[end:].lstrip()
        return decoded, rest.removeprefix("}").lstrip() if candidate is not text else rest
    return None, ""


def _call(decoded: Any) -> Call | None:
    if not isinstance(decoded, dict) or not isinstance(decoded.get("name"), str):
        return None
    arguments = decoded.get("arguments", decoded.get("parameters", {}))
    if isinstance(arguments, str):
        return Call(decoded["name"], arguments)
    return Call(decoded["name"], json.dumps(arguments, ensure_ascii=False))
