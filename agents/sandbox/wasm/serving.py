"""One session of the launcher where sandboxes are Deno's: a Python that keeps its variables, whose files lie
in its own memory and travel as frames. It ends with its client.
"""

import base64
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.sandbox import mirror, serving, wire
from agents.sandbox.cell import Limits
from agents.sandbox.mirror import Difference, Seen
from agents.sandbox.wasm.cell import Place, WasmCell, counted
from agents.sandbox.watching import Ending, Watched, watch

START_S = 60.0  # the engine compiles Python first
FILES_S = 30.0
PIECE = 4 * 2**20
MAX_PATH_CHARS = 1_000
_HERE = Path(__file__).parent
_INSIDE = {"notebook.py": _HERE / "notebook.py", "inside.py": _HERE.parent / "inside.py"}


class _Stopped(Exception):
    """The program ended, or had to; `watched` says why."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched


def serve(client: socket.socket, place: Place, *, is_root: bool) -> None:
    """Answer one client's requests until it goes or is silent for too long."""
    place = replace(place, name=f"{place.name}-{os.getpid()}")
    slot = None
    if is_root:
        slot, uid = serving.free_slot()
        place = replace(place, uid=uid)
    client.settimeout(serving.IDLE_S)
    session = Session(client, place, Path(wire.receive(client)["files"]))
    try:
        wire.send(client, {"ready": True})
        while True:
            wire.send(client, session.answer(wire.receive(client)))
            if session.is_abandoned:
                return
    except (wire.Hungup, OSError):
        return
    finally:
        session.end()
        if slot is not None:
            slot.close()


class Session:
    def __init__(self, client: socket.socket, place: Place, files: Path) -> None:
        self._client = client
        self._place = place
        self._outside = os.open(files, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._known: dict[str, Seen] = {}
        self._cell: WasmCell | None = None
        self._num_cells = 0
        self._output_bytes = 0
        self.is_abandoned = False

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run it between two copies of the work folder. Raises wire.Hungup for what is no request."""
        if request["kind"] != "python":
            raise wire.Hungup("this sandbox runs Python alone")
        begun_at = time.monotonic()
        self._output_bytes = request["output_bytes"]
        limits = Limits(**request.get("limits", {}))
        is_new, left_out, changed, said = self._cell is None, [], Difference(), {}
        try:
            self._begin(limits)
            left_out = self._bring_in(limits)
            watched = self._run(request, limits)
            said = {name: str(watched.answer.get(name) or "") for name in ("value", "error")}
            changed = self._bring_out(limits)
            assert self._cell is not None
            self._cell.pause()
        except _Stopped as stopped:
            watched = stopped.watched
            self.end()
            if watched.ending is not Ending.ABANDONED:
                left_out.append("what this call has written (the sandbox ended with it)")
        self.is_abandoned = watched.ending is Ending.ABANDONED
        return {
            **said,
            "is_new": is_new,
            **serving.told(watched, changed, [*left_out, *changed.left_out], begun_at=begun_at),
        }

    def end(self) -> None:
        if self._cell is not None:
            self._cell.kill()
        self._cell = None
        self._known.clear()

    def _begin(self, limits: Limits) -> None:
        if self._cell is not None:
            self._cell.resume()
            return
        self._num_cells += 1
        name = f"{self._place.name}-{self._num_cells}"
        bounds = replace(limits, cpu_s=serving.CPU_OF_A_SESSION_S)
        self._cell = WasmCell(replace(self._place, name=name), bounds)
        modules = {name: path.read_text(encoding="utf-8") for name, path in _INSIDE.items()}
        self._ask({"modules": modules}, limits, START_S)

    def _run(self, request: dict[str, Any], limits: Limits) -> Watched:
        asked = {"op": "run", "code": request["code"], "name": request["name"]}
        return self._ask(asked, limits, request["wall_s"])

    # ---- files

    def _bring_in(self, limits: Limits) -> list[str]:
        """What has changed outside; in words, what could not be taken."""
        here, left_out = mirror.found(self._outside)
        if gone := [path for path in self._known if path not in here]:
            self._ask({"op": "remove", "paths": gone}, limits, FILES_S)
            for path in gone:
                self._known.pop(path)
        left = mirror.MAX_BYTES
        for path, seen in here.items():
            left -= seen.size
            if left < 0:
                left_out.append(f"{path} (all files together are larger than {mirror.MAX_BYTES >> 20} MiB)")
                break
            if self._known.get(path) == seen:
                continue
            try:
                for at, piece in self._pieces(path, left + seen.size):
                    data = base64.b64encode(piece).decode()
                    asked = {"op": "take", "path": path, "data": data, "at": at}
                    self._ask({**asked, "is_executable": seen.is_executable}, limits, FILES_S)
            except OSError as fault:
                left_out.append(f"{path} ({fault.strerror or fault})")
                continue
            self._known[path] = seen
        return left_out

    def _pieces(self, path: str, max_bytes: int) -> Iterator[tuple[int, bytes]]:
        with mirror.opened(self._outside, path) as reading:
            at = 0
            while at < max_bytes:
                piece = os.read(reading, min(PIECE, max_bytes - at))
                if piece or not at:
                    yield at, piece
                if not piece:
                    return
                at += len(piece)

    def _bring_out(self, limits: Limits) -> Difference:
        """What the program says that it has written: names, sizes and bytes are checked here."""
        told = self._ask({"op": "changed"}, limits, FILES_S).answer
        written: dict[str, int] = {}
        left_out: list[str] = []
        left = mirror.MAX_BYTES
        names = told.get("written")
        for path, about in list(names.items())[: mirror.MAX_FILES] if isinstance(names, dict) else ():
            if not mirror.is_kept(path):
                left_out.append(f"{path!a:.200} (a name that cannot be kept)")
                continue
            is_executable = isinstance(about, list) and about[-1:] == [True]
            try:
                size = self._fetched(path, left, limits, is_executable=is_executable)
            except OSError as fault:
                left_out.append(f"{path} ({fault.strerror or fault})")
                continue
            left -= size
            written[path] = size
        gone = told.get("removed")
        removed = (
            [path for path in gone if isinstance(path, str) and path in self._known]
            if isinstance(gone, list)
            else []
        )
        for path in removed:
            mirror.remove(self._outside, path)
            self._known.pop(path, None)
        return Difference(written, tuple(removed), tuple(left_out))

    def _fetched(self, path: str, max_bytes: int, limits: Limits, *, is_executable: bool) -> int:
        """Bring one file out; how large it is. Raises OSError."""
        size = 0
        with mirror.arriving(self._outside, path, is_executable=is_executable) as writing:
            while True:
                answer = self._ask({"op": "give", "path": path, "at": size}, limits, FILES_S).answer
                try:
                    piece = base64.b64decode(str(answer.get("data") or ""), validate=True)
                except ValueError:
                    piece = b""
                size += len(piece)
                if size > max_bytes:
                    raise OSError(f"all files together are larger than {mirror.MAX_BYTES >> 20} MiB")
                mirror.write_all(writing, piece)
                if len(piece) < PIECE:
                    break
            self._known[path] = mirror.seen(os.fstat(writing))
        return size

    # ---- asking it

    def _ask(self, asked: dict[str, Any], limits: Limits, wall_s: float) -> Watched:
        """Raises _Stopped."""
        assert self._cell is not None
        try:
            wire.send(self._cell.channel, asked)
        except OSError:
            raise _Stopped(Watched(Ending.CRASHED)) from None
        watched = watch(
            self._cell,
            self._client,
            talks=True,
            limits=counted(limits),
            wall_s=wall_s,
            output_bytes=self._output_bytes,
        )
        if watched.ending is not Ending.DONE:
            raise _Stopped(watched)
        return watched
