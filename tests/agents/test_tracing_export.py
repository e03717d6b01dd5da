"""The way of a span out of a Celery worker's process to the operator's collector."""

import os
import subprocess
import sys
import textwrap
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from uuid import UUID, uuid4

PROGRAM = """
    import sys, django
    django.setup()
    from webapp import telemetry
    from agents import tracing
    telemetry.start("celery-worker")
    with tracing.turn(sys.argv[1], model="kimi"):
        pass
"""


def run(turn_id: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), turn_id],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "webapp.settings", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_spans_arrive_at_the_collector_that_the_standard_setting_names() -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=server.serve_forever, daemon=True).start()
    turn_id = str(uuid4())
    endpoint = f"http://127.0.0.1:{server.server_port}"
    done = run(turn_id, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_COMPRESSION="none")
    server.shutdown()
    assert done.returncode == 0, done.stderr
    ((path, body),) = received
    assert path == "/v1/traces"
    for part in (b"celery-worker", b"invoke_agent assistant", UUID(turn_id).bytes):
        assert part in body
