"""One session of the launcher, in a process of its own: a work folder, a Python that keeps its variables, and
shells, for one turn. It ends with its client, and everything in it ends with it.
"""

import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.sandbox import system, wire
from agents.sandbox.cell import PYTHON, Cell, Limits, Place, bubble
from agents.sandbox.mirror import Difference, Mirror
from agents.sandbox.watching import Ending, Watched, watch

FIRST_UID = 65_401  # above those of MCP servers
NUM_SLOTS = 32
WORK_BYTES = 64 * 2**20
WORK_FILES = 4_096
IDLE_S = 600.0
START_S = 20.0
MAX_NAMES = 50
# Between calls the program stands still, so the wall limit of each call bounds this too.
CPU_OF_A_SESSION_S = 3_600


class NoSlot(Exception):
    """As many sandboxes run on this machine as there are users for them."""


def serve(client: socket.socket, place: Place, *, is_root: bool) -> None:
    """Answer one client's requests until it goes or is silent for too long."""
    place = replace(place, name=f"{place.name}-{os.getpid()}")
    system.own_mounts(as_root=True)
    slot = None
    if is_root:
        slot, uid = free_slot()
        place = replace(place, uid=uid)
    owner = "" if place.uid is None else f",uid={place.uid},gid={place.uid}"
    system.mount_memory(place.files, f"size={WORK_BYTES},nr_inodes={WORK_FILES},mode=0700{owner}")
    client.settimeout(IDLE_S)
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


def free_slot() -> tuple[socket.socket, int]:
    """A user that no other sandbox on this machine has, ours while the socket is open."""
    for uid in range(FIRST_UID, FIRST_UID + NUM_SLOTS):
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0agents-sandbox-{uid}")
        except OSError:
            lock.close()
            continue
        _end_all_of(uid)
        return lock, uid
    raise NoSlot(f"{NUM_SLOTS} sandboxes run on this machine already.")


def _end_all_of(uid: int) -> None:
    """What a crash may have left of the slot's last user: nobody else has this uid."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def told(watched: Watched, changed: Difference, left_out: list[str], *, begun_at: float) -> dict[str, Any]:
    """What came of a call, as it is sent to the client."""
    return {
        "ending": watched.ending,
        "status": watched.status,
        "output": watched.output.decode(errors="replace"),
        "num_output_bytes": watched.num_output_bytes,
        "written": dict(list(changed.written.items())[:MAX_NAMES]),
        "removed": list(changed.removed[:MAX_NAMES]),
        "left_out": left_out[: 2 * MAX_NAMES],
        "wall_ms": round(1_000 * (time.monotonic() - begun_at)),
    }


class Session:
    def __init__(self, client: socket.socket, place: Place, files: Path) -> None:
        self._client = client
        self._place = place
        self._mirror = Mirror(files, place.files, owner=place.uid)
        self._notebook: Cell | None = None
        self._num_cells = 0
        self.is_abandoned = False

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run it between two copies of the work folder. Raises wire.Hungup for what is no request."""
        begun_at = time.monotonic()
        brought = self._mirror.bring_in()
        runs = {"python": self._python, "shell": self._shell}
        limits = Limits(**request.get("limits", {}))
        watched, said = runs[request["kind"]](request, limits)
        self.is_abandoned = watched.ending is Ending.ABANDONED
        changed = Difference() if self.is_abandoned else self._mirror.bring_out()
        left_out = [*brought.left_out[:MAX_NAMES], *changed.left_out]
        return {**said, **told(watched, changed, left_out, begun_at=begun_at)}

    def end(self) -> None:
        if self._notebook is not None:
            self._notebook.kill()

    def _python(self, request: dict[str, Any], limits: Limits) -> tuple[Watched, dict[str, Any]]:
        is_new = self._notebook is None
        if self._notebook is None:
            command = (PYTHON, "-I", "-S", "/inside.py", "{channel}")
            limits = replace(limits, cpu_s=CPU_OF_A_SESSION_S)
            self._notebook = self._cell(command, limits)
            ready = self._watch(self._notebook, request, limits, talks=True, wall_s=START_S)
            if ready.ending is not Ending.DONE:
                return self._lost(ready), {"is_new": True}
        else:
            self._notebook.resume()
        wire.send(self._notebook.channel, {"code": request["code"], "name": request["name"]})
        watched = self._watch(self._notebook, request, limits, talks=True, wall_s=request["wall_s"])
        if watched.ending is not Ending.DONE:
            return self._lost(watched), {"is_new": is_new}
        if not self._notebook.pause():
            watched.ending = Ending.PROCESSES
            return self._lost(watched), {"is_new": is_new}
        said = {name: str(watched.answer.get(name) or "") for name in ("value", "error")}
        return watched, {**said, "is_new": is_new}

    def _shell(self, request: dict[str, Any], limits: Limits) -> tuple[Watched, dict[str, Any]]:
        cell = self._cell(("/bin/sh", "-c", request["code"]), limits)
        try:
            return self._watch(cell, request, limits, talks=False, wall_s=request["wall_s"]), {}
        finally:
            cell.kill()

    def _cell(self, command: tuple[str, ...], limits: Limits) -> Cell:
        self._num_cells += 1
        return bubble(replace(self._place, name=f"{self._place.name}-{self._num_cells}"), command, limits)

    def _watch(
        self, cell: Cell, request: dict[str, Any], limits: Limits, *, talks: bool, wall_s: float
    ) -> Watched:
        output_bytes = request["output_bytes"]
        return watch(cell, self._client, talks=talks, limits=limits, wall_s=wall_s, output_bytes=output_bytes)

    def _lost(self, watched: Watched) -> Watched:
        """The variables are gone with the program."""
        if self._notebook is not None:
            self._notebook.kill()
            self._notebook = None
        return watched
