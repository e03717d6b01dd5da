"""Formulas worked out in sandboxes that see sympy and nothing else of ours."""

import asyncio
import json
import shutil
import tempfile
import threading
import weakref
from pathlib import Path

from agents.sandbox import libraries
from agents.sandbox.cell import Limits
from agents.sandbox.sessions import Launcher, SandboxFailed, Session
from agents.sandbox.turn_sandbox import Pool
from agents.sandbox.watching import Ending

START_S = 90.0  # sympy takes long to load where nobody has compiled it
ANSWER_S = 20.0
LIMITS = Limits(memory_bytes=512 * 2**20, num_processes=8)
MAX_SESSIONS = 4
_INSIDE = "algebra_inside"
_ENDED = {
    Ending.TIMEOUT: "it was stopped after {:.0f} seconds",
    Ending.MEMORY: "it was stopped, for it needed too much memory",
}


class AlgebraFault(Exception):
    """The formula cannot be worked out; the text says why."""


class Algebra:
    """Of one process. Sandboxes are warm: one for each `name`, the last few of them."""

    def __init__(self, *, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._lock = threading.Lock()
        self._pool: Pool | None = None
        self._folder: Path | None = None
        self._ready: weakref.WeakSet[Session] = weakref.WeakSet()

    async def work_out(self, formula: str, *, name: str) -> str:
        """Raises AlgebraFault. One formula of a name at a time."""
        task = asyncio.ensure_future(asyncio.to_thread(self._worked_out, formula, name))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._started().end(name)
            await asyncio.wait({task})
            task.cancelled() or task.exception()
            raise

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._pool = self._folder = None

    def _worked_out(self, formula: str, name: str) -> str:
        pool = self._started()
        assert self._folder is not None
        try:
            session = pool.take(name, self._folder)
            try:
                said = self._asked(session, formula)
            except (AlgebraFault, SandboxFailed):
                pool.end(name)
                raise
            finally:
                pool.give_back(name)
        except SandboxFailed as fault:
            raise AlgebraFault(str(fault)) from fault
        if "value" not in said:
            raise AlgebraFault(said.get("fault", "That cannot be worked out here."))
        return said["value"]

    def _asked(self, session: Session, formula: str) -> dict[str, str]:
        if session not in self._ready:
            begun = session.python(f"from {_INSIDE} import answers", wall_s=START_S, limits=LIMITS)
            if begun.ending is not Ending.DONE or begun.error:
                raise AlgebraFault("Algebra cannot be had at the moment: use run_python with sympy instead.")
            self._ready.add(session)
        # A string of Python, and so of no harm there either.
        code = f"answers.answer({formula!r})"
        outcome = session.python(code, wall_s=self._answer_s, limits=LIMITS)
        if outcome.ending is not Ending.DONE or outcome.error:
            why = _ENDED.get(outcome.ending, "sympy broke over it").format(self._answer_s)
            raise AlgebraFault(f"Not worked out: {why}. Ask for less at once, or for a number with N(...).")
        try:
            said = json.loads(outcome.output)
        except ValueError:
            said = {}
        return {str(key): str(value) for key, value in said.items()} if isinstance(said, dict) else {}

    def _started(self) -> Pool:
        with self._lock:
            if self._pool is None:
                self._folder = Path(tempfile.mkdtemp(prefix="algebra-"))
                shown = libraries.places(*libraries.SYMBOLS)
                shown[_INSIDE] = Path(__file__).with_name("inside")
                self._pool = Pool(Launcher(libraries=shown), max_sessions=MAX_SESSIONS)
            return self._pool
