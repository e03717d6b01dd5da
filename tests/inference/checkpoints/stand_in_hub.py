"""A hub on this machine: one repository, served as far as a snapshot needs."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "c" * 40


@dataclass
class StandIn:
    """A hub's repository: its files, which of them fail now or break off half-way once; and what was asked
    for, from which byte on.
    """

    files: dict[str, bytes]
    broken: set[str] = field(default_factory=set)
    cut_once: set[str] = field(default_factory=set)
    fetched: list[tuple[str, int]] = field(default_factory=list)
    endpoint: str = ""


class Handler(BaseHTTPRequestHandler):
    """As much of the hub's protocol as a snapshot needs: the repository's listing, and its files."""

    def __init__(self, hub: StandIn, *rest: Any) -> None:
        self.hub = hub
        super().__init__(*rest)

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        name = self.path.rpartition(f"/resolve/{COMMIT}/")[2]
        if "/tree/" in self.path:
            tree = [
                {"type": "file", "path": name, "size": len(body), "oid": "0" * 40}
                for name, body in self.hub.files.items()
            ]
            self._send(200, json.dumps(tree).encode())
        elif "/api/models/" in self.path:
            listing = {
                "id": "someone/k2",
                "sha": COMMIT,
                "siblings": [{"rfilename": f} for f in self.hub.files],
            }
            self._send(200, json.dumps(listing).encode())
        elif name in self.hub.files and name not in self.hub.broken:
            self._send_file(name, self.hub.files[name])
        else:
            self._send(404 if name not in self.hub.files else 403, b"")

    def _send_file(self, name: str, body: bytes) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        num_sent = len(body) - start
        if self.command == "GET":
            self.hub.fetched.append((name, start))
            if name in self.hub.cut_once:
                self.hub.cut_once.remove(name)
                num_sent //= 2
        headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
        self._send(206 if start else 200, body[start:], num_sent=num_sent, **headers)

    def _send(self, status: int, body: bytes, *, num_sent: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:num_sent])

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serving(folder: Path) -> Iterator[StandIn]:
    """A folder's files, and a piece of code that nobody must fetch, as the repository someone/k2."""
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    hub = StandIn({**files, "modeling_kimi.py": b"raise SystemExit('the code of a repository was fetched')"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, hub))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
