"""Pages shown in a browser: for those that say little before their scripts have run."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import httpx2
import msgspec

from agents.pages import politeness
from agents.pages.browser.wire import Ask, Shown
from agents.pages.faults import Kind, PageFault
from agents.pages.reach import Reach
from agents.pages.side_process import Busy, Died, SideProcess

TOTAL_S = 20.0
WAIT_S = 25.0  # for the pages of others; then this one does without
PAGES_OF_A_BROWSER = 50
_START_S = 15.0
_SPARE_S = 5.0
_BREAKS = ("late", "memory", "broken")  # the browser, too: the next page gets another one

_WORDS = {
    "late": (Kind.TIMEOUT, "The page needs a browser, and its scripts came to no end in time."),
    "memory": (Kind.TOO_LARGE, "The page needs a browser, and takes more memory than a page is given."),
    "broken": (Kind.FAILED, "The page needs a browser, and breaks it."),
    "unreachable": (Kind.UNREACHABLE, "The page needs a browser, which could not reach it."),
}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Of one page. `memory_bytes` is of the whole browser, which takes about 400 MB itself."""

    total_s: float = TOTAL_S
    settle_s: float = 6.0
    max_bytes: int = 30 * 1024 * 1024
    max_connections: int = 150
    memory_bytes: int = 1024**3


class Renderer:
    """One browser, one page at a time, started with the first. For any thread and event loop."""

    def __init__(self, chromium: Path, *, reach: Reach, bounds: Bounds | None = None) -> None:
        self._reach = reach
        self._bounds = bounds or Bounds()
        self._process = SideProcess("agents.pages.browser", str(chromium), num_answers=PAGES_OF_A_BROWSER)

    async def show(self, url: str) -> Shown:
        """What the page shows, or where it leads on. Raises PageFault."""
        shown = await asyncio.to_thread(self._show, url)
        if shown.fault in _WORDS:
            kind, why = _WORDS[shown.fault]
            raise PageFault(kind, f"{why} Look for the same in another source.")
        return shown

    def close(self) -> None:
        self._process.close()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def _show(self, url: str) -> Shown:
        bounds, domains = self._bounds, self._reach.domains
        # A stranger's page is not let to the operator's own sites, nor one of these to another.
        own_sites = (url,) if self._reach.is_own(httpx2.URL(url)) else ()
        ask = Ask(
            url=url,
            user_agent=politeness.USER_AGENT,
            allowed=domains.allowed,
            denied=domains.denied,
            own_sites=own_sites,
            total_s=bounds.total_s,
            settle_s=bounds.settle_s,
            max_bytes=bounds.max_bytes,
            max_connections=bounds.max_connections,
            memory_bytes=bounds.memory_bytes,
        )
        time_s = _START_S + bounds.total_s + _SPARE_S
        try:
            answer = self._process.ask(msgspec.msgpack.encode(ask), time_s=time_s, wait_s=WAIT_S)
            shown = msgspec.msgpack.decode(answer, type=Shown)
        except Busy:
            return Shown(fault="late")
        except Died as died:
            return Shown(fault="late" if died.is_late else "broken")
        except msgspec.MsgspecError:
            shown = Shown(fault="broken")
        if shown.fault in _BREAKS:
            self.close()
        return shown
