"""Daphne, with one difference: a send to a reader that lags waits until the reader has taken some.

Daphne itself keeps whatever a reader does not take, without bound. Run it as `python -m webapp.daphne`, with
Daphne's own options; under uvicorn, which waits by itself, nothing of this is needed.
"""

import asyncio
from typing import Any

from daphne.cli import CommandLineInterface
from daphne.server import Server

LOOK_AGAIN_S = 0.02


class PatientServer(Server):  # type: ignore[misc]  # Daphne has no types
    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        await super().handle_reply(protocol, message)
        while _is_full(protocol):
            await asyncio.sleep(LOOK_AGAIN_S)


class PatientCommandLine(CommandLineInterface):  # type: ignore[misc]
    server_class = PatientServer


def _is_full(protocol: Any) -> bool:
    """Whether the connection holds more unsent bytes than Twisted wants it to: then it has paused its
    producer.

    A websocket has its transport itself, a request by way of its channel; one that is gone holds nothing.
    """
    holder = getattr(protocol, "channel", None) or protocol
    return bool(getattr(getattr(holder, "transport", None), "producerPaused", False))


if __name__ == "__main__":
    PatientCommandLine.entrypoint()
