"""The fence around the browser: what must be on this machine for it, and the command that starts Chromium in
it. Without a fence there is no browser: its engine is too large to be trusted with a stranger's page."""

import asyncio
import importlib.util
import os
import shlex
import shutil
import socket
import tempfile
from functools import cache
from pathlib import Path

from agents.sandbox import launch
from agents.sandbox.launch import Bounds, Program

PROXY_PORT = 3128  # in the browser's own network, where nothing else listens
UID = launch.OWN_UID - 1  # who the browser is to the kernel, when we are root
NUM_PROCESSES = 600  # threads count
NUM_FILES = 4_096
SCRATCH_BYTES = 256 * 2**20
HANDOVER_S = 20.0
_PYTHON = "/usr/bin/python3"
_PLACES = (
    "/usr/lib/chromium/chromium",
    "/usr/lib/chromium-browser/chromium-browser",
    "/opt/google/chrome/chrome",
)


@cache
def chromium(place: str = "") -> Path | None:
    """The program itself, not the script that starts it; `place` is the operator's word for where it is."""
    places = [place] if place else _PLACES
    return next((path for path in map(Path, places) if path.is_file() and os.access(path, os.X_OK)), None)


@cache
def missing(place: str = "") -> str:
    """Why no page can be shown in a browser here, as a sentence for the operator; empty when one can."""
    if importlib.util.find_spec("playwright") is None:
        return "Playwright is not installed: pip install '.[browser]'."
    if chromium(place) is None:
        return f"There is no Chromium in {place or ', '.join(_PLACES)}: install it, or set CHROMIUM."
    if not Path(_PYTHON).exists():
        return f"There is no {_PYTHON}, which starts the browser in its fence: install the system's python3."
    return launch.fault()


class Fence:
    """A folder with what starts one browser. The start of it hands out the socket that its proxy listens
    on."""

    def __init__(self, browser: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="browser-"))
        self._folder.chmod(0o711)
        self._door = socket.socket(socket.AF_UNIX)
        self.command = self._written(browser)

    def close(self) -> None:
        self._door.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def listener(self) -> socket.socket:
        """Raises TimeoutError when no browser was started."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(HANDOVER_S):
            caller, _ = await loop.sock_accept(self._door)
            with caller:
                readable = asyncio.Event()
                loop.add_reader(caller, readable.set)
                try:
                    await readable.wait()
                finally:
                    loop.remove_reader(caller)
                _, handed, _, _ = socket.recv_fds(caller, 1, 1)
        if not handed:
            raise TimeoutError
        return socket.socket(fileno=handed[0])

    def _written(self, browser: Path) -> Path:
        """The script that Playwright takes for the browser."""
        starter = self._folder / "starter.py"
        starter.write_bytes(Path(__file__).with_name("starter.py").read_bytes())
        starter.chmod(0o644)
        hall = self._folder / "hall"
        hall.mkdir()
        hall.chmod(0o711)
        door = hall / "door"
        self._door.bind(str(door))
        door.chmod(0o777)
        self._door.listen(1)
        self._door.setblocking(False)
        outside_usr = () if browser.is_relative_to("/usr") else (browser.parent,)
        program = Program(
            command=(_PYTHON, "-I", str(starter), str(door), str(PROXY_PORT), str(browser)),
            readable=(starter, *outside_usr),
            writable=(hall,),
            # Chromium reserves far more addresses than it uses: its memory is watched instead.
            bounds=Bounds(
                num_processes=NUM_PROCESSES,
                num_files=NUM_FILES,
                memory_bytes=None,
                scratch_bytes=SCRATCH_BYTES,
            ),
            uid=UID,
            calls=("memfd_create",),  # it shares memory by it, which is watched as its own
        )
        environment = self._folder / "environment"
        environment.write_bytes(launch.environment(program))
        calls = self._folder / "calls"
        calls.write_bytes(launch.filter_of(program))
        filter_fd = 8 if calls.stat().st_size else None
        words = launch.arguments(program, fence=launch.fence(), environment_fd=9, filter_fd=filter_fd)
        script = self._folder / "chromium"
        given = f"9<{shlex.quote(str(environment))} 8<{shlex.quote(str(calls))}"
        script.write_text(f'#!/bin/sh\nexec env -i {shlex.join(words)} "$@" {given}\n')
        script.chmod(0o755)
        return script
