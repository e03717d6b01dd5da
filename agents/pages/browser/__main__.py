"""The browser's process: `python -m agents.pages.browser CHROMIUM` answers what comes over its standard
input, one page after another, until that ends or a page has broken the browser."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from agents.pages import side_process
from agents.pages.browser.chromium import Chromium
from agents.pages.browser.wire import Ask


async def serve(program: Path) -> None:
    asked, tell = await _streams()
    async with Chromium.started(program) as chromium:
        while not chromium.is_spent and (message := await _message(asked)) is not None:
            ask = msgspec.msgpack.decode(message, type=Ask)
            with side_process.own_end(ask.total_s):
                shown = await chromium.shown(ask)
            answer = msgspec.msgpack.encode(shown)
            await asyncio.to_thread(_write, tell, len(answer).to_bytes(8, "big") + answer)


async def _streams() -> tuple[asyncio.StreamReader, int]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader, sys.stdout.fileno()


async def _message(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readexactly(int.from_bytes(await reader.readexactly(8), "big"))
    except asyncio.IncompleteReadError:
        return None


def _write(pipe: int, message: bytes) -> None:
    view = memoryview(message)
    while view:
        view = view[os.write(pipe, view) :]


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
