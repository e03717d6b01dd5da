"""Daphne, with three differences: a send to a reader that lags waits until the reader has taken some, a
request that is longer than any of ours is refused before it is stored, and sockets are told when it ends.

Daphne itself keeps whatever a reader does not take, and whatever a sender sends, without bound. Run it as
`python -m webapp.daphne`, with Daphne's own options; under uvicorn, which waits by itself, nothing of this is
needed.
"""

import asyncio
from functools import lru_cache
from typing import Any

import daphne.server
from daphne.cli import CommandLineInterface
from daphne.http_protocol import HTTPFactory, WebRequest
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import reactor, task
from twisted.web import http

LOOK_AGAIN_S = 0.02
APPLICATION = "application_instance"
FAREWELL_S = 0.2  # for what was said last to leave
COME_BACK = 4503  # the code that the chat's own sockets close with when something they need is away
MOST_BODY_BYTES = 128 * 2**20  # what the API reads at most to refuse with an answer; no upload may be longer
LINGER_S = 2.0  # for a sender to take the refusal, while what it sends is thrown away
_WORDS = b'{"code": "too_large", "message": "The request is longer than 128 MB. Send less."}'
_REFUSAL = (
    b"HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_WORDS), _WORDS)
)


class PatientServer(Server):  # type: ignore[misc]  # Daphne has no types
    connections: dict[Any, dict[str, Any]]

    def kill_all_applications(self) -> Any:
        """Before it ends: sockets are told to come back, so that none waits for a server that is gone."""
        for protocol in list(self.connections):
            if isinstance(protocol, WebSocketProtocol):
                protocol.serverClose(code=COME_BACK)
        # Daphne stumbles over requests that have become sockets: they have no application any more.
        self.connections = {
            protocol: details for protocol, details in self.connections.items() if APPLICATION in details
        }
        ended = super().kill_all_applications()
        return ended.addCallback(lambda _: task.deferLater(reactor, FAREWELL_S, lambda: None))

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        await super().handle_reply(protocol, message)
        while _is_full(protocol):
            await asyncio.sleep(LOOK_AGAIN_S)


class BoundedRequest(WebRequest):  # type: ignore[misc]
    _is_refused = False

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        super().gotLength(None if length is None else min(length, MOST_BODY_BYTES))
        if length is not None and length > MOST_BODY_BYTES:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        if self._is_refused:
            return
        super().handleContentChunk(data)
        if self.content.tell() > MOST_BODY_BYTES:
            self._refuse()

    def process(self) -> Any:
        return None if self._is_refused else super().process()

    def _refuse(self) -> None:
        self._is_refused = True
        self.content.truncate(0)
        transport = self.channel.transport
        transport.write(_REFUSAL)
        asyncio.get_event_loop().call_later(LINGER_S, transport.abortConnection)


class BoundedFactory(HTTPFactory):  # type: ignore[misc]
    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = BoundedRequest
        return protocol


class PatientCommandLine(CommandLineInterface):  # type: ignore[misc]
    server_class = PatientServer


def _is_full(protocol: Any) -> bool:
    """Whether the connection holds more unsent bytes than Twisted wants it to: then it has paused its
    producer.

    A websocket has its transport itself, a request by way of its channel; one that is gone holds nothing.
    """
    holder = getattr(protocol, "channel", None) or protocol
    return bool(getattr(getattr(holder, "transport", None), "producerPaused", False))


daphne.server.HTTPFactory = BoundedFactory
# Twisted asks the library for e-mail what a body is, which takes it a tenth of the time of a short request.
if hasattr(http, "_parseContentType"):
    http._parseContentType = lru_cache(maxsize=256)(http._parseContentType)

if __name__ == "__main__":
    PatientCommandLine.entrypoint()
