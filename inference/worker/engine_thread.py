"""The one thread that steps the engine; what the engine says reaches the event loop in its order."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from inference.engine import Sequence, StepOutput

logger = logging.getLogger(__name__)

_LONGEST_STEP_S = 2.0


class Engine(Protocol):
    """What the worker needs of an engine. All but `step` may be called from another thread."""

    def add(self, sequence: Sequence) -> None: ...
    def abort(self, sequence_id: str) -> None: ...
    def force(self, sequence_id: str, token_ids: list[int]) -> None: ...
    def step(self) -> list[StepOutput]: ...
    def has_work(self) -> bool: ...
    def describe(self) -> dict[str, Any]: ...


class EngineThread:
    """Started inside the event loop that hears `on_outputs`, and `on_crash` when the engine cannot go on."""

    def __init__(
        self, engine: Engine, *, on_outputs: Callable[[list[StepOutput]], None], on_crash: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._on_outputs = on_outputs
        self._on_crash = on_crash
        self._loop = asyncio.get_running_loop()
        self._has_news = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def add(self, sequence: Sequence) -> None:
        """Raises what the engine's `add` raises."""
        self._engine.add(sequence)
        self._has_news.set()

    def abort(self, sequence_id: str) -> None:
        self._engine.abort(sequence_id)
        self._has_news.set()

    def force(self, sequence_id: str, token_ids: list[int]) -> None:
        self._engine.force(sequence_id, token_ids)
        self._has_news.set()

    def stop(self) -> None:
        """Ends the thread after the step it is in, and waits for that: a process that ends while one of its
        threads is inside torch is aborted.
        """
        self._is_stopping = True
        self._has_news.set()
        self._thread.join(_LONGEST_STEP_S)

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._step()
        # The outermost loop of this thread: without it the worker would live on, deaf. A panic in a library
        # written in Rust is no Exception.
        except BaseException:
            logger.exception("the engine stopped")
            self._loop.call_soon_threadsafe(self._on_crash)

    def _step(self) -> None:
        if not self._engine.has_work():
            self._has_news.wait()
            self._has_news.clear()
            return
        outputs = self._engine.step()
        if outputs:
            self._loop.call_soon_threadsafe(self._on_outputs, outputs)
