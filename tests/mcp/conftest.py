"""MCP servers to talk to: in the sandbox, and on the loopback."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agents.mcp import servers
from agents.mcp.pool import Pool
from agents.sandbox import launch
from tests.services import free_port, wait_until
from tests.turn.conftest import alice_tab, celery_worker, open_tab, server

__all__ = ["alice_tab", "celery_worker", "open_tab", "server"]

HERE = Path(__file__).parent
PYTHON = "/usr/bin/python3"

MakePool = Callable[..., Pool]


@cache
def can_sandbox() -> bool:
    return not launch.fault() and Path(PYTHON).exists()


def same_python() -> bool:
    """Whether the system's Python can load the packages of ours."""
    version = subprocess.run([PYTHON, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True)
    return version.stdout.split() == [str(part).encode() for part in sys.version_info[:2]]


@pytest.fixture
def pool() -> Iterator[MakePool]:
    """`pool(name={...})` of servers as the operator's file describes them."""
    pools: list[Pool] = []

    def make(**sections: dict[str, Any]) -> Pool:
        pools.append(Pool(servers.parse({"servers": sections}, lookup=os.environ.__getitem__)))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The section of the server that misbehaves. Its file lies where the sandbox's user may read it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    program = Path(shutil.copy(HERE / "raw_server.py", folder))
    yield {"command": [PYTHON, "-I", str(program)], "writable": [str(folder)], "timeout_s": 1}
    shutil.rmtree(folder)


@pytest.fixture
def sdk_over_stdio() -> Iterator[dict[str, Any]]:
    if not can_sandbox() or not same_python():
        pytest.skip("the system's Python is another version, or there is no bubblewrap")
    packages = Path(httpx2.__file__).parent.parent
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    program = shutil.copy(HERE / "sdk_server.py", folder)
    yield {
        "command": [PYTHON, str(program)],
        "environment": {"PYTHONPATH": str(packages)},
        "readable": [str(packages), str(folder)],
    }
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def sdk_over_http() -> Iterator[dict[str, Any]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(HERE / "sdk_server.py"), str(port)], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _listens(port), within_s=30, what="the MCP server")
        yield {"url": f"http://127.0.0.1:{port}/mcp", "private": True, "timeout_s": 5}
    finally:
        process.terminate()
        process.wait(timeout=10)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
