"""A model's own chat template: messages in, a prompt out in which no message can set a control token.

The template is foreign code and runs in Jinja's sandbox. What people, tools and the model wrote is foreign
text: a control token spelled out in it stays text. So every such spelling is broken with a mark before
rendering; what then still reads as a control token came from the template. The marks are taken out again.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from jinja2 import TemplateError, TemplateSyntaxError, meta
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from inference.schema import ChatMessage, ToolSpec
from inference.tokenizer import kimi_messages

# Private-use characters; one that no text of the request holds becomes the mark.
_MARKS = [chr(code) for code in range(0xE000, 0xE100)]


class TemplateRefused(Exception):
    """The template cannot render these messages; its text says why."""


class Piece(NamedTuple):
    """Either one control token, or text in which none counts."""

    text: str
    is_control: bool


class Prompt(NamedTuple):
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    def with_text(self, text: str) -> "Prompt":
        """The prompt with trusted plain text after it."""
        if not text:
            return self
        last = self.pieces[-1] if self.pieces else Piece("", is_control=False)
        if last.is_control:
            return Prompt((*self.pieces, Piece(text, is_control=False)))
        return Prompt((*self.pieces[:-1], Piece(last.text + text, is_control=False)))


class ChatTemplate:
    """`control` are the spellings of the model's control tokens; `is_kimi`: messages and tools are put the
    way Kimi's own tokenizer puts them before its template sees them.

    `thinks`: it shows reasoning. `always_thinks`: and nothing in it can switch that off.
    """

    def __init__(
        self, source: str, *, control: Iterable[str], bos: str = "", eos: str = "", is_kimi: bool = False
    ) -> None:
        """Raises TemplateRefused for a template that is broken."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now(UTC).strftime(form)
        try:
            self._template = environment.from_string(source)
            names = meta.find_undeclared_variables(environment.parse(source))
        except TemplateSyntaxError as error:
            raise TemplateRefused(f"The model's chat template is broken: {error}") from error
        self._names = {"bos_token": bos, "eos_token": eos}
        # A single character cannot be broken: it stays text, in the template too.
        control = sorted((spelling for spelling in control if len(spelling) > 1), key=len, reverse=True)
        self._split = re.compile("(" + "|".join(map(re.escape, control)) + ")") if control else None
        self._is_kimi = is_kimi
        self.thinks = "<think>" in source
        self.always_thinks = self.thinks and not names & {"thinking", "enable_thinking"}
        self.knows_tools = "tools" in names

    def render(
        self, messages: Sequence[ChatMessage], *, tools: Sequence[ToolSpec] = (), thinking: bool = False
    ) -> Prompt:
        """The prompt up to where the model's answer begins. Raises TemplateRefused."""
        try:
            data = self._data(messages, tools)
            mark = _unused_mark(data)
            text = self._template.render(
                **self._break_spellings(data, mark),
                **self._names,
                add_generation_prompt=True,
                enable_thinking=thinking,
                thinking=thinking,
            )
        except RecursionError as error:
            raise TemplateRefused("A tool or a call is nested too deeply: make it flatter.") from error
        # What Jinja does not wrap: the faults of Python's own methods, which a template may call.
        except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise TemplateRefused(f"The model's chat template refused these messages: {error}") from error
        return self._prompt(text, mark)

    def pieces(self, text: str) -> Prompt:
        """Our own text, in which the spelling of a control token is that token."""
        return self._prompt(text, "")

    def _data(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> dict[str, Any]:
        declared = [_declaration(tool) for tool in tools]
        if self._is_kimi:
            messages, declared = kimi_messages.numbered(messages), kimi_messages.sorted_keys(declared)
        read = _as_written if self._is_kimi else _object_or_text
        return {
            "messages": [_as_template_sees(message, read) for message in messages],
            "tools": declared or None,
        }

    def _break_spellings(self, value: Any, mark: str) -> Any:
        if isinstance(value, str):
            return self._break_text(value, mark)
        if isinstance(value, dict):
            return {
                self._break_spellings(key, mark): self._break_spellings(item, mark)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._break_spellings(item, mark) for item in value]
        return value

    def _break_text(self, text: str, mark: str) -> str:
        """Again until none is left: a spelling may begin inside another one."""
        if self._split is None:
            return text
        while (broken := self._split.sub(lambda found: found[0][0] + mark + found[0][1:], text)) != text:
            text = broken
        return text

    def _prompt(self, text: str, mark: str) -> Prompt:
        parts = self._split.split(text) if self._split else [text]
        pieces = (
            Piece(part if number % 2 or not mark else part.replace(mark, ""), is_control=bool(number % 2))
            for number, part in enumerate(parts)
        )
        return Prompt(tuple(piece for piece in pieces if piece.text))


def _as_template_sees(message: ChatMessage, read: Callable[[str], Any]) -> dict[str, Any]:
    """The shape that templates of published models expect; what is not there is left out."""
    seen: dict[str, Any] = {"role": message.role.value, "content": message.content}
    if message.reasoning:
        seen["reasoning_content"] = message.reasoning
    if message.tool_calls:
        seen["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": read(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        seen["tool_call_id"] = message.tool_call_id
    if message.name:
        seen["name"] = message.name
    return seen


def _declaration(tool: ToolSpec) -> dict[str, Any]:
    return {"type": "function", "function": msgspec.to_builtins(tool)}


def _as_written(arguments: str) -> str:
    return arguments


def _object_or_text(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _unused_mark(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=False)
    mark = next((mark for mark in _MARKS if mark not in text), None)
    if mark is None:
        raise TemplateRefused("The messages hold every private-use character there is: take some out.")
    return mark


def _to_json(
    value: Any,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
    ensure_ascii: bool = False,
) -> str:
    """As models were trained to see it; Jinja's own filter escapes for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: str) -> None:
    raise TemplateError(message)
