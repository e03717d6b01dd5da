"""An MCP server over HTTP that misbehaves as its tools are called, in the standard library alone."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

NAMES = ("echo", "die", "hang", "flood", "big", "packed", "redirect", "garbage", "error")


class Handler(BaseHTTPRequestHandler):
    elsewhere = ""
    num_elsewhere = 0

    def do_POST(self) -> None:
        if self.path == "/elsewhere":
            type(self).num_elsewhere += 1
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method = message.get("method")
        if method == "initialize":
            info = {"name": "raw", "version": "1"}
            version = message["params"]["protocolVersion"]
            self.answer(
                message, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            )
        elif method == "tools/list":
            tools = [{"name": name, "inputSchema": {"type": "object"}} for name in NAMES]
            self.answer(message, {"tools": tools})
        elif method == "tools/call":
            getattr(self, message["params"]["name"])(message)
        elif "id" in message:
            self.send(
                json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "?"}})
            )
        else:
            self.send("", status=202)

    def do_GET(self) -> None:
        self.send("", status=405)

    def answer(self, message: dict[str, Any], result: dict[str, Any]) -> None:
        self.send(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}))

    def send(self, text: str, *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content_type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments: object) -> None:
        pass

    # ---- the tools

    def echo(self, message: dict[str, Any]) -> None:
        self.answer(message, {"content": [{"type": "text", "text": "here"}]})

    def die(self, message: dict[str, Any]) -> None:
        self.close_connection = True

    def hang(self, message: dict[str, Any]) -> None:
        time.sleep(3)
        self.close_connection = True

    def flood(self, message: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"event: message\r\n" + b": " + b"x" * 60_000 + b"\r\n\r\n")
        except OSError:
            self.close_connection = True

    def big(self, message: dict[str, Any]) -> None:
        self.answer(message, {"content": [{"type": "text", "text": "x" * 20_000_000}]})

    def packed(self, message: dict[str, Any]) -> None:
        self.send("\x1f", content_encoding="gzip")

    def redirect(self, message: dict[str, Any]) -> None:
        self.send("", status=307, location=self.elsewhere)

    def garbage(self, message: dict[str, Any]) -> None:
        self.send("<html>Welcome!</html>")

    def error(self, message: dict[str, Any]) -> None:
        self.send("it broke", status=500)


@contextmanager
def serving() -> Iterator[tuple[str, type[Handler]]]:
    """Its URL, and the handler that counts who came to the other place it redirects to."""

    class Own(Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    server.daemon_threads = True
    # The same server under another name: another origin, and no host that was allowed.
    Own.elsewhere = f"http://localhost:{server.server_port}/elsewhere"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/mcp", Own
    finally:
        server.shutdown()
        server.server_close()
