"""Searches files for a regular expression in a process of its own: a pattern without end dies with it.

It reads a request from its standard input and writes what it found: both JSON.
"""

import asyncio
import os
import re
import resource
import sys
from pathlib import Path

import msgspec

from agents.tools.files import acting, text
from agents.workspace import NoSuchFile, WorkFolder

TIME_S = 10
MEMORY_BYTES = 1024**3
MAX_FOUND = 200
LINE_CHARS = 300
ROOT = Path(__file__).resolve().parents[3]


class TakesTooLong(Exception):
    """The search was stopped."""


class Asked(msgspec.Struct):
    folder: str
    paths: list[str]
    pattern: str


class Found(msgspec.Struct):
    """`lines` are path, number and text. `fault` says what is wrong with the pattern."""

    lines: list[tuple[str, int, str]] = []
    num_skipped: int = 0
    is_cut: bool = False
    fault: str = ""


async def search(asked: Asked) -> Found:
    """Raises TakesTooLong. Cancelling it ends the process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
        env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"},
    )
    try:
        async with asyncio.timeout(TIME_S):
            said, _ = await process.communicate(msgspec.json.encode(asked))
        return msgspec.json.decode(said, type=Found)
    except (TimeoutError, msgspec.DecodeError) as fault:
        raise TakesTooLong from fault
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (TIME_S + 1, TIME_S + 1))
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
    sys.stdout.buffer.write(msgspec.json.encode(_found(asked)))


def _found(asked: Asked) -> Found:
    try:
        pattern = re.compile(asked.pattern)
    except (re.error, OverflowError, RecursionError) as fault:
        return Found(fault=str(fault))
    found, folder = Found(), WorkFolder(Path(asked.folder))
    for path in asked.paths:
        try:
            lines = text.read(folder, path).text.splitlines()
        except (acting.Refused, NoSuchFile):
            found.num_skipped += 1
            continue
        for number, line in enumerate(lines, start=1):
            if (hit := pattern.search(line)) is None:
                continue
            if len(found.lines) == MAX_FOUND:
                found.is_cut = True
                return found
            start = max(0, min(hit.start() - LINE_CHARS // 3, len(line) - LINE_CHARS))
            found.lines.append((path, number, line[start : start + LINE_CHARS].strip()))
    return found


if __name__ == "__main__":
    main()
