"""An MCP server in the standard library alone, which behaves as badly as its tools are called.

Run by the system's Python inside the sandbox; speaks the protocol by hand.
"""

import json
import os
import sys
import time
from typing import Any

Message = dict[str, Any]
HUNG = os.environ.get("HUNG_FILE", "/tmp/hung")  # written by a call that hangs


def tool(name: str, schema: Message | None = None, **more: object) -> Message:
    return {"name": name, "description": name, "inputSchema": schema or {"type": "object"}, **more}


TOOLS = [
    tool("echo", {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}),
    *(tool(name) for name in ("die", "hang", "flood", "long_line", "garbage", "fail", "pid", "environment")),
    tool("look", annotations={"readOnlyHint": True}),
    tool("destroy", annotations={"readOnlyHint": False, "destructiveHint": True}),
    tool("nonsense", {"type": "object", "properties": {"a": {"type": "no such type"}}}),
    tool("huge", {"type": "object", "description": "x" * 20_000}),
    tool("x" * 80),
    tool("dotted.name/x"),
]


def send(**message: object) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(id: object, text: str, *, is_error: bool = False) -> None:
    send(id=id, result={"content": [{"type": "text", "text": text}], "isError": is_error})


def call(id: object, name: str, arguments: Message, meta: Message) -> None:
    texts = {
        "echo": lambda: arguments["text"],
        "pid": lambda: f"{STARTED} {meta.get('kimi-k2/idempotency-key', '')}",
        "environment": lambda: json.dumps(dict(os.environ)),
    }
    if name == "fail":
        answer(id, "it did not work", is_error=True)
    elif name in texts:
        answer(id, texts[name]())
    else:
        misbehave(id, name)


def misbehave(id: object, name: str) -> None:
    if name == "die":
        os._exit(3)
    elif name == "hang":
        with open(HUNG, "w"):
            time.sleep(600)
    elif name == "flood":
        while True:
            send(method="notifications/message", params={"level": "info", "data": "x" * 1_000})
    elif name == "long_line":
        sys.stdout.write("x" * 32_000_000)
        sys.stdout.flush()
    elif name == "garbage":
        sys.stdout.write("Welcome!\n{]\n[1, 2]\n\n")
        answer(id, "after the garbage")
    else:
        answer(id, f"{name}: done")


def serve() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        method, id = message.get("method"), message.get("id")
        parameters = message.get("params") or {}
        if method == "initialize":
            capabilities: Message = {"tools": {}}
            info = {"name": "raw", "version": "1"}
            version = parameters["protocolVersion"]
            send(id=id, result={"protocolVersion": version, "capabilities": capabilities, "serverInfo": info})
        elif method == "tools/list":
            send(id=id, result={"tools": TOOLS})
        elif method == "tools/call":
            call(id, parameters["name"], parameters.get("arguments") or {}, parameters.get("_meta") or {})
        elif id is not None:
            send(id=id, error={"code": -32601, "message": "Method not found"})


STARTED = time.time_ns()

if __name__ == "__main__":
    serve()
