"""From the messages of Anthropic's dialect to a conversation: text, reasoning, calls, results."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Never

import orjson

from inference.schema import ERROR_MARK, ChatMessage, Role, ToolCall
from webapp.api import thinking_seal, tool_use_id
from webapp.api.errors import bad_request
from webapp.api.messages_blocks import (
    Block,
    Contents,
    Document,
    Image,
    PlainText,
    RedactedThinking,
    SearchResult,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    WireMessage,
)
from webapp.catalog.models import ServedModel


def check(messages: Sequence[WireMessage]) -> None:
    """Raises ApiError 400 for what no conversation can hold: calls without results, results of no call."""
    open_ids: dict[str, None] = {}
    for index, (role, blocks) in enumerate(_merged(messages)):
        place = f"messages[{index}].content"
        if not any(_says_something(block) for block in blocks):
            _refuse(place, f"The {role} message has no content.")
        _check_places(blocks, role=role, place=place)
        results = [block.tool_use_id for block in blocks if isinstance(block, ToolResult)]
        for id in results:
            if id not in open_ids:
                _refuse(
                    place, f"The tool_result of {id[:80]!r} answers no tool_use of the message before it."
                )
            del open_ids[id]
        if open_ids and role != "system":
            _refuse(place, f"The tool_use {next(iter(open_ids))[:80]!r} has no tool_result right after it.")
        for block in blocks:
            if isinstance(block, ToolUse):
                if block.id in open_ids:
                    _refuse(place, f"Two tool_use blocks have the id {block.id[:80]!r}.")
                open_ids[block.id] = None
    if messages[-1].role == "assistant":
        _check_begun(messages[-1].blocks)


def read(
    messages: Sequence[WireMessage], *, system: str | list[Text] | None, model: ServedModel, tenant: str
) -> tuple[ChatMessage, ...]:
    """Reasoning is kept for the running tool loop only. Raises ApiError 400 for what the model cannot see."""
    reader = _Reader(model=model, tenant=tenant)
    merged = _merged(messages)
    loop_begins = max(
        (index for index, (role, blocks) in enumerate(merged) if _asks(role, blocks)), default=-1
    )
    said = _system(system)
    for index, (role, blocks) in enumerate(merged):
        place = f"messages[{index}].content"
        if role == "assistant":
            said.append(reader.assistant(blocks, keeps_reasoning=index > loop_begins))
        elif role == "user":
            said += reader.user(blocks, place=place)
        else:
            said.append(ChatMessage(role=Role.SYSTEM, content=reader.text(blocks, place=place)))
    return tuple(said)


def _merged(messages: Iterable[WireMessage]) -> list[tuple[str, list[Block]]]:
    """Neighbours of one role are one message, as that API has it."""
    merged: list[tuple[str, list[Block]]] = []
    for message in messages:
        if merged and merged[-1][0] == message.role:
            merged[-1][1].extend(message.blocks)
        else:
            merged.append((message.role, list(message.blocks)))
    return merged


def _asks(role: str, blocks: list[Block]) -> bool:
    """Whether a tool loop begins here. Text beside a tool's result is said in the midst of one."""
    return role == "user" and not any(isinstance(block, ToolResult) for block in blocks)


def _says_something(block: Block) -> bool:
    return not isinstance(block, Text) or bool(block.text)


def _check_places(blocks: list[Block], *, role: str, place: str) -> None:
    for block in blocks:
        is_answer = isinstance(block, ToolUse | Thinking | RedactedThinking)
        is_ask = isinstance(block, ToolResult | Image | Document | SearchResult)
        if (is_answer and role != "assistant") or (is_ask and role != "user"):
            kind = block.__struct_config__.tag
            _refuse(place, f"A {kind} block has no place in a message of the role {role}.")


def _check_begun(blocks: list[Block]) -> None:
    """The last message, the assistant's, is the beginning of the answer."""
    if not blocks or any(not isinstance(block, Text | Thinking | RedactedThinking) for block in blocks):
        _refuse("messages", "The last message is a begun answer, which holds text only, or the user's.")
    last = blocks[-1]
    if isinstance(last, Text) and last.text != last.text.rstrip():
        _refuse("messages", "A begun answer, the assistant's last message, cannot end in space.")


def _system(system: str | list[Text] | None) -> list[ChatMessage]:
    text = system if isinstance(system, str) else "\n".join(block.text for block in system or ())
    return [ChatMessage(role=Role.SYSTEM, content=text)] if text else []


@dataclass(frozen=True, kw_only=True)
class _Reader:
    model: ServedModel
    tenant: str

    def assistant(self, blocks: list[Block], *, keeps_reasoning: bool) -> ChatMessage:
        thoughts = [block for block in blocks if isinstance(block, Thinking)] if keeps_reasoning else []
        return ChatMessage(
            role=Role.ASSISTANT,
            content="".join(block.text for block in blocks if isinstance(block, Text)),
            reasoning="".join(block.thinking for block in thoughts if self._is_genuine(block)),
            tool_calls=tuple(_call(block) for block in blocks if isinstance(block, ToolUse)),
        )

    def user(self, blocks: list[Block], *, place: str) -> list[ChatMessage]:
        """The results first: they answer the calls of the message before."""
        results = [block for block in blocks if isinstance(block, ToolResult)]
        said = [self._result(block, place=place) for block in results]
        text = self.text([block for block in blocks if not isinstance(block, ToolResult)], place=place)
        return [*said, ChatMessage(role=Role.USER, content=text)] if text or not said else said

    def text(self, blocks: Iterable[Block], *, place: str) -> str:
        return "\n".join(self._text(block, place=place) for block in blocks)

    def _result(self, block: ToolResult, *, place: str) -> ChatMessage:
        content = block.content or ""
        text = content if isinstance(content, str) else self.text(content, place=place)
        if block.is_error and not text.startswith(ERROR_MARK):
            text = ERROR_MARK + text
        return ChatMessage(role=Role.TOOL, content=text, tool_call_id=tool_use_id.read(block.tool_use_id))

    def _text(self, block: Block, *, place: str) -> str:
        if isinstance(block, Text):
            return block.text
        if isinstance(block, SearchResult):
            return f"{block.title} ({block.source})\n{self.text(block.content, place=place)}"
        if not isinstance(block, Document):
            _refuse(place, f"{self.model.label} cannot see images: describe it in text, or leave it out.")
        return self._document(block, place=place)

    def _document(self, document: Document, *, place: str) -> str:
        source = document.source
        if isinstance(source, PlainText):
            text = source.data
        elif isinstance(source, Contents):
            contents = source.content
            text = contents if isinstance(contents, str) else self.text(contents, place=place)
        else:
            _refuse(
                place,
                f"{self.model.label} reads documents as text only: send its text as a source of the type "
                "`text`.",
            )
        return "\n".join(part for part in (document.title, document.context, text) if part)

    def _is_genuine(self, block: Thinking) -> bool:
        """Another's thoughts, or thoughts that were changed, are left out: the model would take them for its
        own.
        """
        return thinking_seal.is_genuine(
            block.thinking, block.signature, tenant=self.tenant, model=self.model.name
        )


def _call(block: ToolUse) -> ToolCall:
    return ToolCall(
        id=tool_use_id.read(block.id), name=block.name, arguments=orjson.dumps(block.input).decode()
    )


def _refuse(param: str, message: str) -> Never:
    raise bad_request(message, param=param)
