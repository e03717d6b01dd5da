"""Frames between the launcher and those it serves: four bytes of length, then JSON."""

import json
import socket
from typing import Any

MAX_FRAME_BYTES = 8 * 2**20


class Hungup(Exception):
    """The other side is gone, or does not speak frames."""


def send(channel: socket.socket, frame: dict[str, Any]) -> None:
    """Raises OSError."""
    content = json.dumps(frame).encode()
    channel.sendall(len(content).to_bytes(4, "big") + content)


def receive(channel: socket.socket) -> dict[str, Any]:
    """Raises Hungup, TimeoutError when the socket has a timeout, or OSError."""
    size = int.from_bytes(_exactly(channel, 4), "big")
    return decoded(_exactly(channel, checked(size)))


def checked(size: int) -> int:
    if size > MAX_FRAME_BYTES:
        raise Hungup("a frame is too large")
    return size


def decoded(content: bytes | bytearray) -> dict[str, Any]:
    try:
        frame = json.loads(content)
    except (ValueError, RecursionError) as fault:
        raise Hungup("a frame is no JSON") from fault
    if not isinstance(frame, dict):
        raise Hungup("a frame is no object")
    return frame


def _exactly(channel: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        piece = channel.recv(min(size - len(content), 1 << 16))
        if not piece:
            raise Hungup("the other side is gone")
        content += piece
    return bytes(content)
