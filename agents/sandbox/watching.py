"""Waits for a cell to be done, and keeps it to the limits of one call. See `watch`."""

import contextlib
import os
import select
import socket
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agents.sandbox import wire
from agents.sandbox.cell import Cell, Limits

TICK_S = 0.05
CHUNK = 1 << 16
PATIENCE_BYTES = 16 * 2**20  # of output that is thrown away before the code is stopped for it


class Ending(StrEnum):
    """Why a call of the sandbox is over."""

    DONE = "done"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    PROCESSES = "processes"
    OUTPUT = "output"
    CRASHED = "crashed"
    ABANDONED = "abandoned"  # by whoever asked for it


@dataclass
class Watched:
    """What came of a call. `answer` is what the program said over its channel, `status` how it ended; output
    beyond the cap is counted and thrown away."""

    ending: Ending = Ending.DONE
    answer: dict[str, Any] = field(default_factory=dict)
    status: int | None = None
    output: bytearray = field(default_factory=bytearray)
    num_output_bytes: int = 0


def watch(
    cell: Cell, client: socket.socket, *, talks: bool, limits: Limits, wall_s: float, output_bytes: int
) -> Watched:
    """Returns once the cell has answered (`talks`) or ended, or must be killed, which the caller does."""
    watcher = _Watcher(cell, client, limits=limits, talks=talks, output_bytes=output_bytes)
    return watcher.run(time.monotonic() + wall_s)


class _Watcher:
    def __init__(
        self, cell: Cell, client: socket.socket, *, limits: Limits, talks: bool, output_bytes: int
    ) -> None:
        self._cell = cell
        self._client = client
        self._limits = limits
        self._output_bytes = output_bytes
        self._talks = talks
        self._frame = bytearray()
        self._is_silent = False  # its output is closed
        self._seen = Watched()

    def run(self, until: float) -> Watched:
        ending = None
        while ending is None:
            ending = self._moment(until)
        self._seen.ending = ending
        self._take_output()
        return self._seen

    def _moment(self, until: float) -> Ending | None:
        left = until - time.monotonic()
        if left <= 0:
            return Ending.TIMEOUT
        channels: list[int | socket.socket] = [self._client]
        if self._talks:
            channels.append(self._cell.channel)
        if not self._is_silent:
            channels.append(self._cell.output)
        is_polled = self._is_silent or not self._cell.is_counted()
        ready, _, _ = select.select(channels, [], [], min(left, TICK_S) if is_polled else left)
        if self._client in ready:
            return Ending.ABANDONED
        self._take_output()
        if self._seen.num_output_bytes > self._output_bytes + PATIENCE_BYTES:
            return Ending.OUTPUT
        if self._cell.channel in ready:
            return self._hear()
        if self._is_silent and not self._talks and (status := self._cell.ended_with(TICK_S)) is not None:
            return self._ended(status)
        return None if self._cell.is_counted() else self._overuse()

    def _hear(self) -> Ending | None:
        piece = b""
        with contextlib.suppress(ConnectionError):
            piece = self._cell.channel.recv(CHUNK)
        if not piece:
            return self._ended(self._cell.ended_with(1.0), is_early=True)
        self._frame += piece
        try:
            size = wire.checked(int.from_bytes(self._frame[:4], "big")) if len(self._frame) >= 4 else 1 << 32
            if len(self._frame) < 4 + size:
                return None
            if len(self._frame) > 4 + size:
                return Ending.CRASHED  # it says more than one thing: it is not our program that talks
            self._seen.answer = wire.decoded(self._frame[4:])
        except wire.Hungup:
            return Ending.CRASHED
        return Ending.DONE

    def _ended(self, status: int | None, *, is_early: bool = False) -> Ending:
        self._seen.status = status
        if self._cell.group.has_run_out_of_memory():
            return Ending.MEMORY
        return Ending.CRASHED if is_early else Ending.DONE

    def _overuse(self) -> Ending | None:
        if self._cell.num_tasks() > self._limits.num_processes + 2:
            return Ending.PROCESSES
        return Ending.MEMORY if self._cell.uses_more_than(self._limits.memory_bytes) else None

    def _take_output(self) -> None:
        """What there is, and no more than a call may bring: who writes for ever is not read for ever."""
        for _ in range(64):
            try:
                piece = os.read(self._cell.output, CHUNK)
            except BlockingIOError:
                return
            except OSError:
                piece = b""
            if not piece:
                self._is_silent = True
                return
            self._seen.num_output_bytes += len(piece)
            room = self._output_bytes - len(self._seen.output)
            self._seen.output += piece[: max(room, 0)]
