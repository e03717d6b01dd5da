"""How often and how many at once a host is asked, over all turns of this process; and what its robots.txt
says."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from protego import Protego

AGENT = "KimiThinkingBot"
USER_AGENT = f"Mozilla/5.0 (compatible; {AGENT}/1.0)"
AT_ONCE = 2
DELAY_S = 0.5
LONGEST_DELAY_S = 10.0
ROBOTS_TTL_S = 3_600.0
MAX_ROBOTS_BYTES = 512 * 1024
MAX_HOSTS = 1_000
LONGEST_PAUSE_S = 3_600.0
_POLL_S = 0.02


@dataclass
class _Host:
    num_open: int = 0
    free_at: float = 0.0


@dataclass(frozen=True)
class Rules:
    """What robots.txt says to us. `text` None: the host cannot tell, so nothing may be read."""

    text: str | None
    read_at: float = field(default_factory=time.monotonic)

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.read_at < ROBOTS_TTL_S

    def permit(self, url: str) -> bool:
        return self.text is not None and bool(self._parsed.can_fetch(url, AGENT))

    @property
    def delay_s(self) -> float:
        wished = self._parsed.crawl_delay(AGENT) if self.text else None
        return min(max(float(wished or 0.0), DELAY_S), LONGEST_DELAY_S)

    @property
    def _parsed(self) -> Protego:
        return Protego.parse(self.text or "")


class Politeness:
    """For any thread and event loop of the process."""

    def __init__(self, *, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}
        self._rules: dict[str, Rules] = {}
        self._pauses: dict[str, float] = {}

    @asynccontextmanager
    async def turn(self, origin: str, *, delay_s: float) -> AsyncIterator[None]:
        """Waits until the host may be asked again."""
        while not self._enter(origin, delay_s):
            await asyncio.sleep(_POLL_S)
        try:
            yield
        finally:
            with self._lock:
                self._hosts[origin].num_open -= 1

    def pause(self, origin: str, *, for_s: float) -> None:
        """The host has asked not to be asked for so long."""
        with self._lock:
            now = time.monotonic()
            if len(self._pauses) >= MAX_HOSTS:
                self._pauses = {name: until for name, until in self._pauses.items() if until > now}
            self._pauses[origin] = now + min(for_s, LONGEST_PAUSE_S)

    def paused_s(self, origin: str) -> float:
        """How long the host is still to be left alone."""
        return max(0.0, self._pauses.get(origin, 0.0) - time.monotonic())

    def rules(self, origin: str) -> Rules | None:
        """What is known of the host's robots.txt; None when it has to be read."""
        rules = self._rules.get(origin)
        return rules if rules is not None and rules.is_fresh else None

    def learn(self, origin: str, rules: Rules) -> None:
        with self._lock:
            if len(self._rules) >= MAX_HOSTS:
                self._rules.clear()
            self._rules[origin] = rules

    def _enter(self, origin: str, delay_s: float) -> bool:
        with self._lock:
            now = time.monotonic()
            if len(self._hosts) >= MAX_HOSTS:
                self._hosts = {
                    name: host for name, host in self._hosts.items() if host.num_open or host.free_at > now
                }
            host = self._hosts.setdefault(origin, _Host())
            if host.num_open >= self._at_once or now < host.free_at:
                return False
            host.num_open += 1
            host.free_at = now + delay_s
            return True
