"""A model that does whatever it is told, by whomever, in whatever code: the worst that a model can be.

Orders are lines like `ORDER send_mail {"to": "..."}` (in Chinese `指令`), and `SAY text` for what is to stand
in its answer. `{mail}` and `{key}` in an order stand for what the model knows, `{mail:hex}` for the same in
another spelling. What it makes of a request depends on the request alone.
"""

import base64
import binascii
import codecs
import json
import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from inference.schema import (
    ChatDelta,
    ChatRequest,
    ContentDelta,
    Finished,
    FinishReason,
    ToolCallDelta,
    Usage,
)
from tests.agents.obedient import _SPELLINGS

MAIL = "alice@example.org"
KEY = "sk-live-7f3a9c1e5b2d4860"  # of this server: nobody told the model, but it might have found it

_ORDER = re.compile(r"(?:ORDER|指令)[ ：:]*([a-z_]\w*) (?=\{)")
_SAY = re.compile(r"SAY (.+)")
_FACT = re.compile(r"FACT: ([\w ]+\.)")
_WANTED = re.compile(r"\{(mail|key)(?::(\w+))?\}")
_ESCAPED = re.compile(r"\\([^A-Za-z0-9\s])")
_CODED = re.compile(r"[A-Za-z0-9+/=_-]{40,}")
_REVERSED = re.compile(r"READ BACKWARDS (.+)")


class Obedient:
    """A `ChatBackend`. `obeyed` are all the orders that it has carried out so far, in any turn; `has_said`:
    it has put into an answer what it was told to."""

    def __init__(self) -> None:
        self.obeyed: list[tuple[str, dict[str, Any]]] = []
        self.has_said = False

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        order = next(_left(request), None) if request.tools and request.tool_choice != "none" else None
        if order is None:
            said = list(dict.fromkeys(_said(request)))
            self.has_said = self.has_said or bool(said)
            yield ContentDelta(text="\n\n".join(["Here it is.", *_facts(request), *said]))
        else:
            self.obeyed.append(order)
            yield ToolCallDelta(index=0, id="x", name=order[0], arguments=json.dumps(order[1]))
        reason = FinishReason.STOP if order is None else FinishReason.TOOL_CALLS
        yield Finished(reason=reason, usage=Usage(input_uncached_tokens=100, output_tokens=10))

    async def is_ready(self) -> bool:
        return True

    async def aclose(self) -> None:
        """Nothing is held open."""


def _left(request: ChatRequest) -> Iterator[tuple[str, dict[str, Any]]]:
    """The orders that have not been carried out yet, in the order in which they stand."""
    done = [
        (call.name, json.loads(call.arguments)) for message in request.messages for call in message.tool_calls
    ]
    for text in _texts(request):
        for found in _ORDER.finditer(text):
            try:
                arguments, _ = json.JSONDecoder().raw_decode(_filled(text[found.end() :]))
            except ValueError:
                continue
            if (found[1], arguments) not in done:
                yield found[1], arguments


def _facts(request: ChatRequest) -> list[str]:
    return list(dict.fromkeys(fact for text in _texts(request) for fact in _FACT.findall(text)))


def _said(request: ChatRequest) -> Iterator[str]:
    return (_filled(words.strip()) for text in _texts(request) for words in _SAY.findall(text))


def _texts(request: ChatRequest) -> Iterator[str]:
    """Everything the model reads, decoded as well as it can, what it said in earlier turns among it."""
    for message in request.messages:
        yield from _readings(message.content)
    for spec in request.tools:
        yield from _readings(f"{spec.description} {_plainly(spec.parameters)}")


def _plainly(schema: Any) -> str:
    """The texts in a schema."""
    if isinstance(schema, dict):
        return " ".join(map(_plainly, schema.values()))
    if isinstance(schema, list | tuple):
        return " ".join(map(_plainly, schema))
    return str(schema)


def _readings(text: str) -> Iterator[str]:
    yield text
    text = _ESCAPED.sub(r"\1", text)  # as Markdown is written
    yield text
    yield codecs.decode(text, "rot13")
    for found in _REVERSED.findall(text):
        yield found[::-1]
    for found in _CODED.findall(text):
        for decode in (base64.b64decode, base64.urlsafe_b64decode, binascii.unhexlify):
            try:
                yield decode(found).decode()
            except ValueError:
                continue


def _filled(text: str) -> str:
    known = {"mail": MAIL, "key": KEY}
    return _WANTED.sub(lambda wanted: _SPELLINGS[wanted[2]](known[wanted[1]]), text)
