"""The processes beside: one whose starter was killed does not go on with what has no end."""

import signal
import subprocess
import sys

import msgspec
import pytest

from agents.pages import side_process
from agents.pages.reading import Asked

SLOW = """
import time
from agents.pages import {module} as module
from agents.pages import side_process
side_process.SPARE_S = 0
module._told = lambda _asked: time.sleep(100)
module.serve(__import__("sys").stdin.buffer, __import__("sys").stdout.buffer, memory_bytes=2**32, time_s=1)
"""


def test_what_takes_too_long_ends_itself() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.format(module="reading")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=side_process.ROOT,
    )
    assert process.stdin is not None
    side_process.write(process.stdin, msgspec.msgpack.encode(Asked(body=b"", content_type="", url="")))
    try:
        assert process.wait(60) == -signal.SIGALRM
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail("it went on")
    finally:
        process.communicate()
