"""The process that starts sandboxes, started with an empty environment: it has no secrets to lose.

Its standard input is a socket. The first frame says where things are; every further message brings the
socket of a client, which is served in a process of its own. It ends when that socket does, and all sandboxes
with it.
"""

import hashlib
import json
import os
import signal
import socket
import stat
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from agents.sandbox import cgroups, serving, system, wire
from agents.sandbox.cell import Place
from agents.sandbox.wasm import serving as wasm
from agents.sandbox.wasm.cell import Place as WasmPlace

STAGE_BYTES = 2**20


def main() -> None:
    control = socket.socket(fileno=os.dup(0))
    about = wire.receive(control)
    is_root = os.geteuid() == 0
    os.umask(0o022)
    # Not the kernel but the socket tells that our parent has died: the thread that started us may end long
    # before its process.
    cgroups.sweep()
    if "wasm" in about:
        serve = partial(wasm.serve, place=_staged_wasm(about["wasm"], is_root=is_root))
    else:
        serve = partial(serving.serve, place=_staged(about, is_root=is_root))
    wire.send(control, {"ready": True})
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        client = socket.socket(fileno=descriptors[0])
        if os.fork() == 0:
            control.close()
            _serve(client, partial(serve, is_root=is_root))
        client.close()


def _stage(*, is_root: bool) -> Path:
    stage = Path("/run/agents-sandbox" if is_root else f"/tmp/agents-sandbox-{os.getuid()}")
    stage.mkdir(mode=0o755, exist_ok=True)
    state = stage.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
        raise PermissionError(f"{stage} is another's: remove it")
    return stage


def _staged_wasm(about: dict[str, str], *, is_root: bool) -> WasmPlace:
    """Our program lies where each user of a sandbox can read it."""
    host = Path(wasm.__file__).with_name("host.mjs").read_bytes()
    staged = _stage(is_root=is_root) / f"host-{hashlib.sha256(host).hexdigest()[:16]}.mjs"
    temporary = staged.with_name(f"{staged.name}.{os.getpid()}")
    temporary.write_bytes(host)
    temporary.replace(staged)
    return WasmPlace(
        name=str(os.getpid()), uid=None, deno=Path(about["deno"]), bundle=Path(about["bundle"]), host=staged
    )


def _staged(about: dict[str, Any], *, is_root: bool) -> Place:
    """A folder that only we and our children see, where each user of a sandbox can reach what it is shown."""
    stage = _stage(is_root=is_root)
    system.own_mounts(as_root=is_root)
    system.mount_memory(stage, f"size={STAGE_BYTES},mode=0755")
    inside = stage / "inside.py"
    inside.write_bytes(Path(__file__).with_name("inside.py").read_bytes())
    (stage / "files").mkdir()
    packages, libraries = stage / "packages", stage / "libraries"
    if about["packages"] is not None:
        packages.mkdir()
        system.show_read_only(Path(about["packages"]), packages)
    if about["libraries"]:
        libraries.mkdir()
        for name, path in about["libraries"].items():
            _show(Path(path), libraries / name)
    return Place(
        name=str(os.getpid()),
        bwrap=about["bwrap"],
        uid=None,
        files=stage / "files",
        inside=inside,
        packages=packages if packages.exists() else None,
        libraries=libraries if libraries.exists() else None,
    )


def _show(source: Path, place: Path) -> None:
    """A folder, or a single file."""
    if source.is_dir():
        place.mkdir()
    else:
        place.touch()
    system.show_read_only(source, place)


def _serve(client: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    """In the child: never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    system.die_with_parent()
    try:
        serve(client)
    except Exception as fault:
        # The outermost loop of this process: the client is told, which has a log to write it to.
        content = json.dumps({"fault": f"{fault}", "trace": traceback.format_exc()}).encode()
        client.sendall(len(content).to_bytes(4, "big") + content)
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
