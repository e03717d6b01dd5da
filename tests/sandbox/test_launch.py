"""Programs of the fence without the whole profile, those of tool servers, run behind the filter of calls,
too."""

import pytest

from agents.sandbox import launch
from agents.sandbox.launch import Program

pytestmark = pytest.mark.skipif(launch.fault() != "", reason="no sandbox on this machine")

_TRIES = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def refused(*words):
    ctypes.set_errno(0)
    return libc.syscall(*words) == -1 and os.strerror(ctypes.get_errno())
def family(number):
    try:
        socket.socket(number, 3).close()
    except OSError as fault:
        return os.strerror(fault.errno)
print(refused(272, 0x10000000), refused(250, 0, 0, 0), refused(319, b"x", 0), family(16), family(17), sep="|")
"""


async def _said(program: Program) -> list[str]:
    process = await launch.start(program)
    try:
        assert process.stdout is not None
        return (await process.stdout.read()).decode().strip().split("|")
    finally:
        await launch.end(process)


async def test_a_tool_servers_program_cannot_make_the_calls_that_lead_out() -> None:
    refused = "Operation not permitted"
    command = ("/usr/bin/python3", "-I", "-c", _TRIES)
    assert await _said(Program(command=command)) == [refused] * 5
    with_network = await _said(Program(command=command, has_network=True, calls=("memfd_create",)))
    assert with_network == [refused, refused, "False", "None", refused]
