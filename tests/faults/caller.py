"""One streamed request in any of the three dialects, as a client sees it: whole, or cut at one of its pieces.

A cut client closes its side alone and reads on until the server closes, too: what it has then is all that was
delivered, to the byte.
"""

import contextlib
import http.client
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson

End = Literal["whole", "cut", "broken", "refused"]
QUESTION = [{"role": "user", "content": "Go."}]
WITHIN_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """`read` gives of an event: the answer's id, the text that it brings, whether it is the last."""

    path: str
    body: dict[str, Any]
    read: Callable[[dict[str, Any]], tuple[str, str, bool]]


@dataclass(frozen=True, kw_only=True)
class Seen:
    dialect: str
    end: End
    status: int = 0
    id: str = ""
    text: str = ""


def _of_chat(event: dict[str, Any]) -> tuple[str, str, bool]:
    choices = event.get("choices") or [{}]
    text = choices[0].get("delta", {}).get("content") or ""
    return event.get("id", ""), text, choices[0].get("finish_reason") is not None


def _of_messages(event: dict[str, Any]) -> tuple[str, str, bool]:
    id = event["message"]["id"] if event["type"] == "message_start" else ""
    return id, event.get("delta", {}).get("text", ""), event["type"] == "message_stop"


def _of_responses(event: dict[str, Any]) -> tuple[str, str, bool]:
    id = event["response"]["id"] if "response" in event else ""
    text = event["delta"] if event["type"] == "response.output_text.delta" else ""
    return id, text, event["type"] == "response.completed"


DIALECTS = {
    "chat": Dialect(path="/v1/chat/completions", body={"messages": QUESTION}, read=_of_chat),
    "messages": Dialect(
        path="/v1/messages", body={"messages": QUESTION, "max_tokens": 500}, read=_of_messages
    ),
    "responses": Dialect(path="/v1/responses", body={"input": "Go."}, read=_of_responses),
}


def ask(url: str, secret: str, model: str, *, dialect: str, cut: int | None = None) -> Seen:
    """`cut`: the client closes its side once it has so many pieces of text."""
    asked = DIALECTS[dialect]
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=WITHIN_S)
    seen = Seen(dialect=dialect, end="broken")
    try:
        connection.connect()
        line: socket.socket = connection.sock
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        body = orjson.dumps({"model": model, "stream": True, **asked.body})
        connection.request("POST", asked.path, body, headers)
        answer = connection.getresponse()
        if answer.status != 200:
            return Seen(dialect=dialect, end="refused", status=answer.status)
        id, texts, end = "", list[str](), "broken"
        for event in _events(answer):
            of, text, is_last = asked.read(event)
            id = of or id
            texts += [text] if text else []
            end = "whole" if is_last else end
            if len(texts) == cut and end == "broken":
                end = "cut"
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_WR)
            seen = Seen(dialect=dialect, end=end, status=200, id=id, text="".join(texts))  # type: ignore[arg-type]
    except (OSError, http.client.HTTPException):
        pass  # what came before is in `seen`
    finally:
        connection.close()
    return seen


def _events(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(http.client.HTTPException, OSError):
        while line := answer.readline():
            if line.startswith(b"data: {"):
                yield orjson.loads(line.removeprefix(b"data: "))
