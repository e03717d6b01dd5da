"""A request's messages, read: the question, what was said since, and what a strict provider finds wrong with
them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PLATFORM = "[Platform]"  # how a note of the platform begins; it is no question
KIMI_ID = re.compile(r"^functions\.(?P<name>.+):(?P<index>\d+)$")


class BadConversation(Exception):
    """A strict provider refuses these messages, and says why."""


@dataclass(frozen=True, kw_only=True)
class Talk:
    """`said` is what came after the question; `tools` are the parameters of each tool that may be called."""

    question: str
    said: Sequence[Mapping[str, Any]]
    tools: Mapping[str, Mapping[str, Any]]
    may_call: bool
    next_call: int

    def results(self, *, after: int) -> list[str]:
        """What the tools brought behind message number `after` of `said`."""
        return [text(message) for message in self.said[after + 1 :] if message["role"] == "tool"]


def read(body: Mapping[str, Any]) -> Talk:
    messages = body["messages"]
    place = max((at for at, message in enumerate(messages) if _is_question(message)), default=-1)
    tools = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in _tools(body)}
    return Talk(
        question=text(messages[place]) if place >= 0 else "",
        said=messages[place + 1 :],
        tools=tools,
        may_call=bool(tools) and body.get("tool_choice") != "none",
        next_call=1 + max((index for _, index in _indices(messages)), default=-1),
    )


def text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def check(body: Mapping[str, Any]) -> None:
    """Raises BadConversation for what makes real providers answer with 400."""
    messages = body["messages"]
    _check_pairs(messages)
    _check_ids(messages)
    if any(message["role"] == "system" for message in messages[1:]):
        raise BadConversation("A system message may only be the first.")
    since = max((at for at, message in enumerate(messages) if _is_question(message)), default=-1)
    for at, message in enumerate(messages[since + 1 :], start=since + 1):
        if message.get("tool_calls") and not message.get("reasoning_content"):
            raise BadConversation(
                f"thinking is enabled but reasoning_content is missing in assistant tool call message at "
                f"index {at}"
            )


def _check_pairs(messages: Sequence[Mapping[str, Any]]) -> None:
    """Each call has its one result right behind it, and each result its call."""
    waiting: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                raise BadConversation(f"tool_call_id {message.get('tool_call_id')} is not found")
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            raise BadConversation(f"tool_call_ids did not have response messages: {sorted(waiting)}")
        waiting = {call["id"] for call in message.get("tool_calls") or ()}
    if waiting:
        raise BadConversation(f"tool_call_ids did not have response messages: {sorted(waiting)}")


def _check_ids(messages: Sequence[Mapping[str, Any]]) -> None:
    """Ids as the model was trained on them: they count over the whole conversation."""
    last = -1
    for call, index in _indices(messages):
        if index <= last:
            raise BadConversation(f"the tool call id {call['id']!r} does not count on from {last}")
        last = index


def _indices(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], int]]:
    for message in messages:
        for call in message.get("tool_calls") or ():
            found = KIMI_ID.match(call["id"])
            if found is None or found["name"] != call["function"]["name"]:
                raise BadConversation(f"{call['id']!r} is no tool call id of this model")
            yield call, int(found["index"])


def _is_question(message: Mapping[str, Any]) -> bool:
    return message["role"] == "user" and not text(message).startswith(PLATFORM)


def _tools(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return body.get("tools") or ()
