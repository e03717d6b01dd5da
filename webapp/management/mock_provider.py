"""A provider that answers at once, for benches: what is measured beside it is everybody else.

`python -m webapp.management.mock_provider PORT`. A message "pieces=N" is answered in N pieces, "wait" never.
"""

import asyncio
import json
import re
import sys

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: "
_PIECES = re.compile(rb"pieces=(\d+)")


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            body = await reader.readexactly(length)
            found = _PIECES.search(body)
            num_pieces = int(found[1]) if found else 1
            is_stream = re.search(rb'"stream":\s*true', body) is not None
            writer.write(_stream(num_pieces) if is_stream else _whole(num_pieces))
            if b'"wait"' in body:
                await asyncio.sleep(3_600)
            if is_stream:
                writer.write(_chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def _stream(num_pieces: int) -> bytes:
    said = [_event({"role": "assistant", "content": ""})]
    said += [_event({"content": "first" if number == 0 else " word"}) for number in range(num_pieces)]
    said.append(_event({}, finish_reason="stop", usage=_usage(num_pieces)))
    head = HEAD + b"text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(map(_chunked, said))


def _event(delta: dict[str, str], *, finish_reason: str | None = None, usage: object = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {**_names("chat.completion.chunk"), "choices": [choice], "usage": usage}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _chunked(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _whole(num_pieces: int) -> bytes:
    message = {"role": "assistant", "content": "first" + " word" * (num_pieces - 1)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {**_names("chat.completion"), "choices": [choice], "usage": _usage(num_pieces)}
    body = json.dumps(answer, separators=(",", ":")).encode()
    return HEAD + f"application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _names(kind: str) -> dict[str, object]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "mock"}


def _usage(num_pieces: int) -> dict[str, int]:
    return {"prompt_tokens": 5, "completion_tokens": num_pieces, "total_tokens": 5 + num_pieces}


async def main(port: int) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", port, backlog=4_096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
