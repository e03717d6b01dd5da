"""Web servers on 127.0.0.1 for tests: an ASGI application in a thread, and one that speaks raw bytes."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from tests.loopforge import serving
from tests.services import free_port


@dataclass(frozen=True, kw_only=True)
class Answer:
    body: bytes = b""
    status: int = 200
    content_type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Request:
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Pages:
    """Answers by path; what is not there is 404. `asked` is every request, robots.txt among them."""

    answers: dict[str, Answer | Callable[[Request], Answer]] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        request = Request(
            path=scope["path"],
            query=dict(parse_qsl(scope["query_string"].decode())),
            headers={name.decode(): value.decode() for name, value in scope["headers"]},
            body=json.loads(body) if body else None,
        )
        self.asked.append(request)
        answer = self.answers.get(scope["path"], Answer(status=404))
        answer = answer if isinstance(answer, Answer) else answer(request)
        headers = {"content-type": answer.content_type, **answer.headers}
        start = {"type": "http.response.start", "status": answer.status}
        await send({**start, "headers": [(k.encode(), v.encode()) for k, v in headers.items()]})
        await send({"type": "http.response.body", "body": answer.body})

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.asked if request.path != "/robots.txt"]


@contextmanager
def serve(app: Any) -> Iterator[str]:
    """The address of the application."""
    with serving.serve(app, port=free_port()) as base_url:
        yield base_url.removesuffix("/v1")


@contextmanager
def speaking(talk: Callable[[socket.socket, str], None]) -> Iterator[str]:
    """The address of a server whose answer `talk` writes byte by byte, told the request's path; it has no
    robots.txt."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    is_over = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            path = connection.recv(65_536).split(b" ")[1].decode()
            if path == "/robots.txt":
                connection.sendall(b"HTTP/1.1 404 None\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            else:
                talk(connection, path)

    def listen() -> None:
        while not is_over.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        is_over.set()
        thread.join(timeout=5)
        listener.close()
