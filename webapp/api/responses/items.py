"""The items of the Responses dialect: what a client sends, checked and in the form in which it is kept."""

import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from webapp.api.errors import bad_request

MAX_ITEMS = 10_000
Id = Annotated[str, Meta(min_length=1, max_length=128)]
Name = Annotated[str, Meta(pattern="^[a-zA-Z0-9_.-]{1,128}$")]
Stored = dict[str, Any]  # an item as it is kept and told


class Text(Struct, tag_field="type", tag="input_text"):
    text: str


class OutputText(Struct, tag_field="type", tag="output_text"):
    text: str
    annotations: list[Any] = []
    logprobs: list[Any] | None = None


class PlainText(Struct, tag_field="type", tag="text"):
    text: str


class Refusal(Struct, tag_field="type", tag="refusal"):
    refusal: str


class Image(Struct, tag_field="type", tag="input_image"):
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class File(Struct, tag_field="type", tag="input_file"):
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None


Part = Text | OutputText | PlainText | Refusal | Image | File


class ReasoningText(Struct, tag_field="type", tag="reasoning_text"):
    text: str


class SummaryText(Struct, tag_field="type", tag="summary_text"):
    text: str


class Message(Struct, kw_only=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part]
    id: Id | None = None


class FunctionCall(Struct, kw_only=True):
    call_id: Id
    name: Name
    namespace: Name | None = None
    arguments: str
    id: Id | None = None


class CustomCall(Struct, kw_only=True):
    call_id: Id
    name: Name
    namespace: Name | None = None
    input: str
    id: Id | None = None


class CallOutput(Struct, kw_only=True):
    call_id: Id
    output: str | list[Part]
    id: Id | None = None


class Reasoning(Struct, kw_only=True):
    id: Id | None = None
    summary: list[SummaryText] = []
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None


class ItemReference(Struct, kw_only=True):
    id: Id


class Compaction(Struct, kw_only=True):
    encrypted_content: str
    id: Id | None = None


class ApprovalResponse(Struct, kw_only=True):
    approval_request_id: Id
    approve: bool
    reason: str | None = None
    id: Id | None = None


class HostedCall(Struct, kw_only=True):
    """A call of one of our own tools, in an answer that comes back."""

    id: Id
    name: str = ""
    arguments: str = ""
    output: str | None = None
    error: Any = None
    server_label: str = ""


KINDS: dict[str, type[Struct]] = {
    "message": Message,
    "function_call": FunctionCall,
    "function_call_output": CallOutput,
    "custom_tool_call": CustomCall,
    "custom_tool_call_output": CallOutput,
    "reasoning": Reasoning,
    "item_reference": ItemReference,
    "compaction": Compaction,
    "mcp_call": HostedCall,
    "mcp_approval_request": HostedCall,
    "mcp_approval_response": ApprovalResponse,
}
PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
    "compaction": "cmp",
    "mcp_approval_response": "mcpr",
}

T = TypeVar("T", bound=Struct)


def read(sent: str | Sequence[Any] | None, *, param: str = "input") -> list[Stored]:
    """The items in the form in which they are kept, each with an id. A reference stays one. Raises ApiError
    400 that names the item."""
    if sent is None:
        return []
    if isinstance(sent, str):
        sent = [{"role": "user", "content": sent}]
    if len(sent) > MAX_ITEMS:
        raise bad_request(f"`{param}` holds more than {MAX_ITEMS} items.", param=param)
    return [_stored(item, place=f"{param}[{index}]") for index, item in enumerate(sent)]


def struct_of(item: Stored, kind: type[T]) -> T:
    """A kept item as what it is."""
    return msgspec.convert(item, kind, strict=False)


def text_of(content: str | Sequence[Part], *, place: str) -> str:
    """Raises ApiError 400 for what a model of text cannot see."""
    if isinstance(content, str):
        return content
    return "\n".join(_text(part, place=place) for part in content)


def _stored(item: Any, *, place: str) -> Stored:
    if not isinstance(item, dict):
        raise bad_request("An item is an object, like a message.", param=place)
    kind = item.get("type") or ("message" if "role" in item else "item_reference")
    if not isinstance(kind, str) or kind not in KINDS:
        raise bad_request(
            f"Items of the type {str(kind)[:60]!r} are not taken here: send {', '.join(sorted(KINDS))}.",
            param=f"{place}.type",
        )
    try:
        checked = msgspec.convert(item, KINDS[kind])
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        raise bad_request(f"{problem}.", param=f"{place}{path.rstrip('`')}") from None
    if kind == "item_reference":
        return {"type": kind, "id": item["id"]}
    given = msgspec.to_builtins(checked)
    id = given.pop("id", None) or f"{PREFIXES.get(kind, 'item')}_{uuid.uuid4().hex}"
    stored = {"id": id, "type": kind, **{name: value for name, value in given.items() if value is not None}}
    return _as_told(stored)


def _as_told(item: Stored) -> Stored:
    """With the fields that clients' types ask for."""
    kind = item["type"]
    if kind == "message":
        own = "output_text" if item["role"] == "assistant" else "input_text"
        content = item["content"]
        parts = [{"type": own, "text": content}] if isinstance(content, str) else content
        item["content"] = [_part(part, own=own) for part in parts]
    if kind in ("message", "function_call", "function_call_output"):
        item["status"] = "completed"
    if kind == "reasoning":
        item.setdefault("summary", [])
    return item


def _part(part: dict[str, Any], *, own: str) -> dict[str, Any]:
    if part["type"] not in ("text", "input_text", "output_text"):
        return part
    if own == "output_text":
        return {"type": own, "text": part["text"], "annotations": part.get("annotations", []), "logprobs": []}
    return {"type": own, "text": part["text"]}


def _text(part: Part, *, place: str) -> str:
    if isinstance(part, Image):
        raise bad_request(
            "This model cannot see images: describe it in text, or leave it out.", param=f"{place}.content"
        )
    if isinstance(part, File):
        raise bad_request(
            "This model reads files as text only: send its text as `input_text`.", param=f"{place}.content"
        )
    return part.refusal if isinstance(part, Refusal) else part.text
