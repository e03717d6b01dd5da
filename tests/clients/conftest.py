"""The whole platform as processes, for programs of others to speak to: web, workers, beat; one script that
says what the model answers to each of the questions below."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from inference.backends.scripted import Reply
from tests.stack import ROOT, Stack

PEERS = Path(os.environ.get("PEERS_DIR", ROOT / "var" / "peers")) / "clients"
MODEL = "kimi-k2-thinking"
SUM = "What is 17 * 23?"
HINT = "scripts/client-peers installs it"
WEATHER = 'call: weather {"city": "Paris"}'
ASK = 'call: ask_user {"question": "Which colour?"}'
# Coding agents ask with much around it: what they are to do is found by a word that nothing else says.
SCRIPT = (
    Reply(when="Refuse this", lines=("error: rejected No.",)),
    Reply(when="Think for an hour", lines=("think: hm", "stall:")),
    Reply(when="Ask me for a colour", step=1, lines=(ASK,)),
    Reply(when="Ask me for a colour", lines=("text: You said blue.",)),
    Reply(when="Which weather has Paris", step=1, lines=("think: I must look.", WEATHER)),
    Reply(when="Which weather has Paris", lines=("text: It rains in Paris, at 18 degrees.",)),
    Reply(lines=("think: 17 * 20 + 17 * 3", "text: The answer is 391.")),
)
PREPARE = f"""
from django.conf import settings
from webapp.accounts import keys
from webapp.accounts.models import User
from webapp.billing import seeds
from webapp.catalog.models import ServedModel
dialect = ServedModel.ThinkingDialect
for name in ("{MODEL}", "kimi-k2-thinking-turbo"):
    ServedModel.objects.update_or_create(name=name, defaults=dict(
        label="Kimi K2 Thinking", backend="scripted", upstream_name="scripted", context_tokens=262_144,
        max_output_tokens=65_536, thinks=True, calls_tools=True, thinking_dialect=dialect.ALWAYS,
        is_active=True, is_configured=True))
seeds.seed()
user = User.objects.create_user("carol", "carol@example.com", "carol-password-1")
print(keys.create(user, name="clients")[1])
"""


@dataclass(frozen=True)
class Platform:
    stack: Stack
    url: str
    secret: str
    webhook_url: str

    @property
    def environment(self) -> dict[str, str]:
        """What the clients read; nothing of the developer's own."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
        return kept | {
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": self.secret,
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": self.secret,
            "WEBHOOK_URL": self.webhook_url,
            "NO_PROXY": "*",
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, *command: str, folder: Path, within_s: float = 120.0, **environment: str) -> str:
        """What the program says, which ends well and in time."""
        environment = self.environment | {"HOME": str(folder)} | environment
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        told = f"{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{told[-4000:]}"
        return done.stdout

    def python(self, code: str) -> str:
        return self.stack.python(code).strip().splitlines()[-1]


class _Taken(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="session")
def webhook_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Taken) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory, webhook_url: str) -> Iterator[Platform]:
    settings = {
        "REQUESTS_PER_MINUTE": "100000",
        "CONCURRENT_REQUESTS": "100",
        "WEBHOOK_PRIVATE_HOSTS": webhook_url.removeprefix("http://").removesuffix("/"),
    }
    stack = Stack(tmp_path_factory.mktemp("clients"), settings=settings)
    try:
        stack.start()
        stack.script(*SCRIPT)
        secret = stack.python(PREPARE).strip().splitlines()[-1]
        yield Platform(stack, stack.url, secret, webhook_url)
    finally:
        stack.stop()


def peer(name: str, program: str = "bin/python") -> Path:
    """A program of the peer's folder; its test is left out where it was not installed."""
    path = PEERS / name / program
    if not (PEERS / name / ".wanted").exists() or not path.exists():
        pytest.skip(f"{name} is not installed: {HINT}")
    return path


def packages() -> Path:
    """A folder whose node_modules hold both official clients."""
    return peer("node", "node_modules/@anthropic-ai/sdk").parent.parent.parent


def seen(text: str) -> dict[str, object]:
    """What a probe tells in its last line."""
    told: dict[str, object] = json.loads(text.strip().splitlines()[-1])
    return told
