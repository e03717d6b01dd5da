"""How soon a provider is left after a person's stop, in each phase of an answer."""

import asyncio
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from inference.bench.report import Figure
from tests.faults.reader import Reader
from tests.load.listener import percentile
from tests.stack import Stack

MODEL = "endless"
MOST_MS = 300
PIECE_EVERY_S = 0.02
WITHIN_S = 30.0
PHASES: dict[str, tuple[str, str]] = {  # what the provider says for ever, and the event that shows it
    "before the first token": ("", "step.started"),
    "thinking": ("reasoning_content", "reasoning.delta"),
    "answering": ("content", "content.delta"),
}
MAKE_PERSON = """
from decimal import Decimal
from django.test import Client
from webapp.accounts.models import User
from webapp.billing import accounts
user = User.objects.create_user("stops", "stops@example.com")
accounts.credit(user, Decimal("10000"), "for the run")
client = Client()
client.force_login(user)
print(client.cookies["sessionid"].value)
"""


class Provider:
    """Answers without an end, and knows when the asker left. `says`: the field that it fills."""

    def __init__(self) -> None:
        self.says = ""
        self.left_at = 0.0
        self.has_left = threading.Event()
        self.is_asked = threading.Event()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._is_up.wait(WITHIN_S)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WITHIN_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._is_up.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"POST"):
            body = json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        speaking = asyncio.create_task(self._speak(writer))
        self.is_asked.set()
        with suppress(OSError):
            while await reader.read(65_536):
                pass
        self.left_at = time.monotonic()
        self.has_left.set()
        speaking.cancel()
        writer.close()

    async def _speak(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(PIECE_EVERY_S)
            if self.says:
                chunk = {"choices": [{"index": 0, "delta": {self.says: "word "}}]}
                writer.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


def measure(*, times: int = 20) -> list[Figure]:
    figures = []
    with tempfile.TemporaryDirectory(prefix="stops-") as folder, platform(Path(folder)) as (stack, provider):
        for phase in PHASES:
            took = stops(stack, provider, phase, times=times)
            name = f"stop {phase}: the provider is left, p95"
            figures.append(Figure(name=name, value=1000 * percentile(took, 0.95), unit="ms", most=MOST_MS))
    return figures


@contextmanager
def platform(folder: Path) -> Iterator[tuple[Stack, Provider]]:
    """With such a provider behind it."""
    provider = Provider()
    provider.start()
    stack = Stack(folder)
    stack.settings = {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{provider.port}/v1",
        "OPENAI_MODEL": MODEL,
        "TURNS_PER_MINUTE": "100000",
    }
    try:
        stack.start()
        yield stack, provider
    finally:
        stack.stop()
        provider.stop()


def stops(stack: Stack, provider: Provider, phase: str, *, times: int) -> list[float]:
    """Seconds from a person's stop until the provider's connection was closed, once for each turn."""
    says, event = PHASES[phase]
    provider.says = says
    person = MAKE_PERSON.replace("stops", f"stops{len(phase)}")
    reader = Reader(stack.url, cookie=stack.python(person).split()[-1])
    took = []
    try:
        for _ in range(times):
            provider.has_left.clear()
            provider.is_asked.clear()
            turn = reader.start("Go on for ever.", model=MODEL)
            reader.wait_for(turn, lambda heard: heard.frame["type"] == event, within_s=WITHIN_S, what=event)
            if not provider.is_asked.wait(WITHIN_S):
                raise TimeoutError("the provider was not asked")
            stopped_at = time.monotonic()
            reader.send({"op": "turn.stop", "turn": turn})
            if not provider.has_left.wait(WITHIN_S):
                raise TimeoutError("the provider was not left")
            took.append(provider.left_at - stopped_at)
            finished: Any = reader.wait_for(
                turn, lambda heard: heard.frame["type"] == "turn.finished", within_s=WITHIN_S, what="the end"
            )
            assert finished.frame["finish_reason"] == "cancelled"
    finally:
        reader.close()
    return took


if __name__ == "__main__":
    from inference.bench import report

    sys.stdout.write(report.table(measure()) + "\n")
