"""The sandbox of one turn: its work folder, the Python that keeps its variables, and what becomes of them."""

import asyncio
import collections
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agents.sandbox.cell import Limits
from agents.sandbox.sessions import Launcher, Outcome, SandboxFailed, Session
from agents.sandbox.watching import Ending
from agents.workspace import TurnFiles, Workspace, WorkspaceFull

MAX_SESSIONS = 8
_HOLDS_VARIABLES = "variables"


class Pool:
    """Sessions by their turns, of one process: the ones used longest ago are ended for new ones."""

    def __init__(self, launcher: Launcher, *, max_sessions: int = MAX_SESSIONS) -> None:
        self._launcher = launcher
        self._max_sessions = max_sessions
        self._lock = threading.Lock()
        self._sessions: collections.OrderedDict[str, Session] = collections.OrderedDict()
        self._busy: set[str] = set()

    def take(self, name: str, files: Path) -> Session:
        """The turn's session, or a new one, until `give_back`. Raises SandboxFailed."""
        with self._lock:
            session = self._sessions.pop(name, None)
            if session is None or not session.is_alive:
                self._make_room()
                session = self._launcher.session(files)
            self._sessions[name] = session
            self._busy.add(name)
            return session

    def give_back(self, name: str) -> None:
        with self._lock:
            self._busy.discard(name)

    def end(self, name: str) -> None:
        with self._lock:
            self._busy.discard(name)
            if (session := self._sessions.pop(name, None)) is not None:
                session.kill()

    def close(self) -> None:
        """End all of them, and the launcher."""
        for name in list(self._sessions):
            self.end(name)
        self._launcher.close()

    def _make_room(self) -> None:
        idle = [name for name in self._sessions if name not in self._busy]
        for name in idle[: max(0, len(self._sessions) - self._max_sessions + 1)]:
            self._sessions.pop(name).kill()


class TurnSandbox:
    """Its sessions see the turn's `files`. Calls must not overlap."""

    def __init__(self, pool: Pool, name: str, files: TurnFiles) -> None:
        self._pool = pool
        self._name = name
        self.files = files

    async def python(self, code: str, *, wall_s: float, step: int) -> tuple[Outcome, bool]:
        """What it brought, and whether variables of earlier calls were lost before. Raises SandboxFailed."""
        outcome = await self._run(lambda session: session.python(code, wall_s=wall_s), step)
        workspace = await self.files.workspace()
        has_lost = outcome.is_new and workspace.has_mark(_HOLDS_VARIABLES)
        workspace.set_mark(_HOLDS_VARIABLES, is_set=outcome.ending is Ending.DONE)
        return outcome, has_lost

    async def shell(self, command: str, *, wall_s: float, step: int) -> Outcome:
        """Raises SandboxFailed."""
        limits = Limits(cpu_s=int(wall_s) + 1)
        return await self._run(lambda session: session.shell(command, wall_s=wall_s, limits=limits), step)

    async def go_back(self, to_step: int, *, at_step: int) -> str:
        """Bring the files back to how they were after `to_step`, for the rollback tool. The variables go:
        nobody could say which of them belong to what is left."""
        await asyncio.to_thread(self._pool.end, self._name)
        return await self.files.go_back(to_step, at_step=at_step)

    def read(self, path: str, *, max_bytes: int) -> bytes:
        """A file that a call has written. Raises NoSuchFile, BadPath, WorkspaceFull."""
        return self.files.at_hand.folder.read(path, max_bytes=max_bytes)

    async def _run(self, call: Callable[[Session], Outcome], step: int) -> Outcome:
        """In a thread, which ends with the sandbox when the call is cancelled."""
        workspace = await self.files.workspace()
        task = asyncio.ensure_future(asyncio.to_thread(self._called, call, workspace, step))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._pool.end(self._name)
            await asyncio.wait({task})
            task.cancelled() or task.exception()
            raise

    def _called(self, call: Callable[[Session], Outcome], workspace: Workspace, step: int) -> Outcome:
        session = self._pool.take(self._name, workspace.files)
        try:
            outcome = call(session)
        except SandboxFailed:
            self._pool.end(self._name)
            raise
        finally:
            self._pool.give_back(self._name)
        if outcome.written or outcome.removed:
            # Where it does not fit, others have filled the folder too, which they are told.
            with suppress(WorkspaceFull):
                workspace.take(step)
        return outcome
