"""One thing at a time for many: whoever asks often waits for those who ask seldom, each tenant in turn."""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_asking: ContextVar[str] = ContextVar("asking", default="")


@contextmanager
def asking_for(tenant: str) -> Iterator[None]:
    """Whom the work inside is for; threads that are started from here know it, too."""
    before = _asking.set(tenant)
    try:
        yield
    finally:
        _asking.reset(before)


class RoundRobin:
    """A lock that goes from tenant to tenant; those of one tenant are served in the order they came."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_taken = False
        self._called: object = None  # who may go on now
        self._waiting: OrderedDict[str, deque[object]] = OrderedDict()

    def acquire(self, *, timeout: float = -1) -> bool:
        """False when the time is up first."""
        with self._changed:
            if not self._is_taken:
                self._is_taken = True
                return True
            tenant, ticket = _asking.get(), object()
            self._waiting.setdefault(tenant, deque()).append(ticket)
            within = None if timeout < 0 else timeout
            if self._changed.wait_for(lambda: self._called is ticket, within):
                self._called = None
                return True
            self._waiting[tenant].remove(ticket)
            if not self._waiting[tenant]:
                del self._waiting[tenant]
            return False

    def release(self) -> None:
        with self._changed:
            if not self._waiting:
                self._is_taken = False
                return
            tenant, tickets = self._waiting.popitem(last=False)
            self._called = tickets.popleft()
            if tickets:
                self._waiting[tenant] = tickets
            self._changed.notify_all()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
