"""Runs inside the sandbox: keeps the variables of a notebook between calls. Nothing that it says is trusted.

It speaks frames over one socket: four bytes of length, then JSON. Requests are {"code", "name"}; answers are
{"value", "error", "files"}. What the code prints goes to the standard streams.
"""

import ast
import builtins
import contextlib
import json
import linecache
import os
import socket
import sys
import traceback
from typing import Any

MAX_VALUE_CHARS = 100_000
MAX_ERROR_CHARS = 20_000
PACKAGES = "/packages"
LIBRARIES = "/libraries"
SETTINGS_OF_PLOTS = "/tmp/matplotlib"


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(channel.fileno(), False)
    prepare()
    ours = os.getpid()
    variables: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    send(channel, {"ready": True})
    while (request := receive(channel)) is not None:
        answer = run(request["code"], request["name"], variables)
        if os.getpid() != ours:  # a copy of us that the code has made, not the one that is listened to
            os._exit(0)
        send(channel, answer)


def prepare() -> None:
    """What every call finds: the packages, and no need to search for fonts."""
    sys.path[:] = [path for path in sys.path if path]
    sys.path += [PACKAGES, LIBRARIES]
    sys.path.insert(0, os.getcwd())
    sys.argv[:] = [""]
    sys.dont_write_bytecode = True
    fonts = f"{PACKAGES}/.fonts"
    if os.path.isdir(fonts):
        os.mkdir(SETTINGS_OF_PLOTS)
        for name in os.listdir(fonts):
            with open(f"{fonts}/{name}", "rb") as kept, open(f"{SETTINGS_OF_PLOTS}/{name}", "wb") as copy:
                copy.write(kept.read())


def run(code: str, name: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Run a cell; the text of its last expression's value, and of what went wrong."""
    value, error, files = "", "", []
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    try:
        value = shown(evaluated(code, name, variables))
        files = saved_plots()
    except SystemExit as leaving:
        error = f"The code called exit({leaving.code!r}). Its variables are kept."
    except BaseException:
        error = told()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return {"value": value, "error": error, "files": files}


def evaluated(code: str, name: str, variables: dict[str, Any]) -> Any:
    """Run all of it; the value of the last line where that is an expression, else None."""
    tree = ast.parse(code, name)
    last = tree.body[-1] if tree.body else None
    body = tree.body[:-1] if isinstance(last, ast.Expr) else tree.body
    # To run what it is given is all that this program is for, and the sandbox is why it may.
    exec(compile(ast.Module(body, []), name, "exec"), variables)  # noqa: S102
    if not isinstance(last, ast.Expr):
        return None
    value = eval(compile(ast.Expression(last.value), name, "eval"), variables)  # noqa: S307
    if value is not None:
        variables["_"] = value
    return value


def shown(value: Any) -> str:
    if value is None:
        return ""
    text = repr(value)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}... [cut]"


def told() -> str:
    """The traceback as the code's author wants it: without the frames of this file."""
    kind, fault, trace = sys.exc_info()
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    text = "".join(traceback.format_exception(kind, fault, trace)).strip()
    if len(text) <= MAX_ERROR_CHARS:
        return text
    return f"{text[: MAX_ERROR_CHARS // 2]}\n[...]\n{text[-MAX_ERROR_CHARS // 2 :]}"


def saved_plots() -> list[str]:
    """Open figures become files and are closed."""
    plots = sys.modules.get("matplotlib.pyplot")
    if plots is None:
        return []
    names = []
    for number in plots.get_fignums():
        names.append(unused_name())
        plots.figure(number).savefig(names[-1], bbox_inches="tight", dpi=120)
    plots.close("all")
    return names


def unused_name() -> str:
    number = 1
    while os.path.lexists(f"figure-{number}.png"):
        number += 1
    return f"figure-{number}.png"


def receive(channel: socket.socket) -> Any:
    """The next request; None once nobody asks any more."""
    header = exactly(channel, 4)
    return json.loads(exactly(channel, int.from_bytes(header, "big"))) if header else None


def exactly(channel: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        piece = channel.recv(size - len(content))
        if not piece:
            return b""
        content += piece
    return content


def send(channel: socket.socket, answer: dict[str, Any]) -> None:
    content = json.dumps(answer, ensure_ascii=True).encode()
    channel.sendall(len(content).to_bytes(4, "big") + content)


if __name__ == "__main__":
    main()
