"""The way to the sandbox: sessions of a launcher process that this process starts when it first needs one.

Blocking; call it from a thread. Everything that comes back was made by hostile code.
"""

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agents.sandbox import launch, wire
from agents.sandbox.cell import Limits
from agents.sandbox.watching import Ending

logger = logging.getLogger(__name__)

OUTPUT_BYTES = 256 * 1024
START_S = 30.0
ENDING_S = 0.5
MARGIN_S = 45.0  # for a start, and for copying files on a busy machine
LIMITS = Limits()
_ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.insert(0, sys.argv[1]); from agents.sandbox import launcher; launcher.main()"


class SandboxFailed(Exception):
    """The sandbox itself does not work; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Wasm:
    """Where Deno is, and the folder of Python for it (agents.sandbox.wasm.bundle)."""

    deno: Path
    bundle: Path


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a call brought. `is_new`: its Python had no variables of earlier calls. `written` has the bytes of
    each new or changed file by its path."""

    ending: Ending
    status: int | None = None
    output: str = ""
    num_output_bytes: int = 0
    value: str = ""
    error: str = ""
    is_new: bool = False
    written: dict[str, int] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    wall_ms: int = 0


class Launcher:
    """The launcher process, and new sessions of it. `packages` is the folder of Python packages that the
    sandbox may read, `libraries` are modules of ours by their names (agents.sandbox.libraries), `python` is
    what the launcher is run with. With `wasm` its sandboxes are Deno's rather than bubblewrap's: they run
    Python alone, and find the bundle's packages alone."""

    def __init__(
        self,
        packages: Path | None = None,
        *,
        libraries: Mapping[str, Path] = MappingProxyType({}),
        python: tuple[str, ...] = (sys.executable,),
        wasm: Wasm | None = None,
    ) -> None:
        self._packages = packages
        self._wasm = wasm
        self._libraries = dict(libraries)
        self._python = python
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def session(self, files: Path) -> "Session":
        """A new sandbox whose work folder is kept like `files`. Raises SandboxFailed."""
        for is_last in (False, True):
            ours, theirs = socket.socketpair()
            try:
                with self._lock, theirs:
                    socket.send_fds(self._running(), [b"+"], [theirs.fileno()])
                return Session(ours, files)
            except OSError as fault:
                ours.close()
                self.close()
                if is_last:
                    raise SandboxFailed(f"The sandbox cannot be started: {fault}") from fault
            except SandboxFailed:
                # It took the request and was dying already.
                if is_last or self._is_alive():
                    raise
                self.close()
        raise AssertionError

    def _is_alive(self) -> bool:
        """Whether the launcher is; one that ends just now is given the time to."""
        if self._process is None:
            return False
        try:
            self._process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            return True
        return False

    @property
    def pid(self) -> int | None:
        """Of the launcher process; None before it is needed."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End the launcher and with it every sandbox of it."""
        with self._lock:
            if self._control is not None:
                self._control.close()
                self._control = None
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                self._process = None

    def _running(self) -> socket.socket:
        if self._control is None:
            try:
                self._control = self._started()
            except (launch.SandboxMissing, wire.Hungup) as fault:
                raise SandboxFailed(str(fault)) from fault
        return self._control

    def _started(self) -> socket.socket:
        about = self._about()
        control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*self._python, "-I", "-S", "-c", _START, str(_ROOT)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
        control.settimeout(START_S)
        wire.send(control, about)
        wire.receive(control)
        control.settimeout(None)
        return control

    def _about(self) -> dict[str, Any]:
        """Where things are, for the launcher. Raises launch.SandboxMissing."""
        if self._wasm is not None:
            return {"wasm": {"deno": str(self._wasm.deno), "bundle": str(self._wasm.bundle)}}
        packages = str(self._packages) if self._packages else None
        libraries = {name: str(place) for name, place in self._libraries.items()}
        return {"bwrap": launch.fence().bwrap, "packages": packages, "libraries": libraries}


class Session:
    """One sandbox. A call that ends otherwise than DONE has cost it its variables; one that fails ends the
    session."""

    def __init__(self, channel: socket.socket, files: Path) -> None:
        self._channel = channel
        self._num_calls = 0
        self.is_alive = True
        self._ask({"files": os.path.abspath(files)}, START_S)

    def python(self, code: str, *, wall_s: float, limits: Limits = LIMITS) -> Outcome:
        """Raises SandboxFailed."""
        self._num_calls += 1
        return self._run("python", code, wall_s, limits, name=f"<call {self._num_calls}>")

    def shell(self, command: str, *, wall_s: float, limits: Limits = LIMITS) -> Outcome:
        """Raises SandboxFailed."""
        return self._run("shell", command, wall_s, limits)

    def kill(self) -> None:
        """End the sandbox at once, from any thread; a call under way fails."""
        self.is_alive = False
        try:
            self._channel.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _run(self, kind: str, code: str, wall_s: float, limits: Limits, **more: str) -> Outcome:
        request = {"kind": kind, "code": code, "wall_s": wall_s, "output_bytes": OUTPUT_BYTES, **more}
        said = self._ask({**request, "limits": asdict(limits)}, wall_s + MARGIN_S)
        said |= {"ending": Ending(said["ending"])}
        said |= {"removed": tuple(said["removed"]), "left_out": tuple(said["left_out"])}
        return Outcome(**said)

    def _ask(self, request: dict[str, Any], within_s: float) -> dict[str, Any]:
        try:
            self._channel.settimeout(within_s)
            wire.send(self._channel, request)
            said = wire.receive(self._channel)
        except (wire.Hungup, OSError) as fault:
            self.is_alive = False
            self._channel.close()
            raise SandboxFailed(f"The sandbox is gone: {fault}") from fault
        if "fault" in said:
            self.is_alive = False
            self._channel.close()
            logger.error("a session of the sandbox failed: %s", said.get("trace", ""))
            raise SandboxFailed(f"The sandbox cannot be had: {said['fault']}")
        return said
