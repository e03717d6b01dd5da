"""kill -9 of the launcher in the middle of a call: the call ends, and the next one is served."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.sandbox import tiers
from tests.sandbox.test_tools import Desk, desk, launcher, pool
from tests.services import wait_until

__all__ = ["desk", "launcher", "pool"]
pytestmark = pytest.mark.skipif(not tiers.active().is_offered, reason="no sandbox on this machine")

ON_AND_ON = """
import time
open('kept.txt', 'w').write('kept')
while True:
    time.sleep(0.05)
"""


def children(pid: int) -> list[int]:
    """Those that serve the launcher's clients, and what they have started."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


@pytest.mark.parametrize(
    "victims",
    [lambda pid: [pid], lambda pid: children(pid), lambda pid: [pid, *children(pid)]],
    ids=["the launcher", "all that it has started", "both"],
)
async def test_a_death_in_the_middle_of_a_call_costs_the_call_at_most(
    victims: Callable[[int], list[int]], desk: Desk
) -> None:
    await desk.python("x = 1")
    launcher = desk.sandbox._pool._launcher  # nobody else knows which process it is
    pid = launcher.pid
    assert pid is not None
    call = asyncio.create_task(desk.python(ON_AND_ON, timeout_s=8))
    await asyncio.to_thread(
        wait_until, lambda: len(children(pid)) >= 2, within_s=20, what="the code is running"
    )
    await asyncio.sleep(0.5)
    for victim in victims(pid):
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
    cut = await asyncio.wait_for(call, 30)
    assert cut.is_error
    after = await desk.python("print(6 * 7)")
    assert (after.is_error, "42" in after.for_model) == (False, True)
    assert (await desk.shell("echo served")).for_model.startswith("served")
