"""Runs inside, in Python compiled to WebAssembly: a notebook whose files lie in memory. Nothing that it says
is trusted.

The work folder is not one of the machine: its files come as requests and are asked for again after a call.
"""

import base64
import builtins
import hashlib
import json
import os
import stat
from collections.abc import Callable
from typing import Any

import inside  # type: ignore[import-not-found]  # beside this file, there

WORK = "/workspace"
PIECE = 4 * 2**20
MAX_FILES = 4_096

_variables: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
_known: dict[str, bytes] = {}

inside.prepare()


def answer(request: str) -> str:
    asked = json.loads(request)
    return json.dumps(_ANSWERS[asked.pop("op")](**asked))


def run(code: str, name: str) -> dict[str, Any]:
    said: dict[str, Any] = inside.run(code, name, _variables)
    os.chdir(WORK)
    return said


def take(path: str, data: str, at: int, is_executable: bool) -> dict[str, Any]:
    place = os.path.join(WORK, path)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "r+b" if at else "wb") as file:
        file.seek(at)
        file.write(base64.b64decode(data))
    os.chmod(place, 0o755 if is_executable else 0o644)
    _known[path] = _mark(place)
    return {}


def remove(paths: list[str]) -> dict[str, Any]:
    for path in paths:
        _known.pop(path, None)
        try:
            os.unlink(os.path.join(WORK, path))
        except OSError:
            continue
    return {}


def changed() -> dict[str, Any]:
    """What the code has written, and removed, since we last knew."""
    now: dict[str, bytes] = {}
    written: dict[str, tuple[int, bool]] = {}
    for at, _, names in os.walk(WORK):
        for name in names:
            place = os.path.join(at, name)
            about = os.lstat(place)
            if not stat.S_ISREG(about.st_mode) or len(now) == MAX_FILES:
                continue
            path = os.path.relpath(place, WORK)
            now[path] = _mark(place)
            if _known.get(path) != now[path]:
                written[path] = (about.st_size, bool(about.st_mode & stat.S_IXUSR))
    removed = [path for path in _known if path not in now]
    _known.clear()
    _known.update(now)
    return {"written": written, "removed": removed}


def give(path: str, at: int) -> dict[str, Any]:
    with open(os.path.join(WORK, path), "rb") as file:
        file.seek(at)
        return {"data": base64.b64encode(file.read(PIECE)).decode()}


def _mark(place: str) -> bytes:
    with open(place, "rb") as file:
        mode = os.stat(place).st_mode & stat.S_IXUSR
        return hashlib.file_digest(file, "blake2b").digest() + bytes([bool(mode)])


_ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {
    "run": run,
    "take": take,
    "remove": remove,
    "changed": changed,
    "give": give,
}
