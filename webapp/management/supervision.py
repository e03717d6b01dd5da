"""The parts of the platform as programs under supervisord: which there are, how they start, how they end.

Supervisord restarts a part that dies. It ends with the process that started it, and every part ends with it.
"""

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

LONGEST_SOCKET_PATH = 100  # the kernel takes 108 bytes, and supervisord adds a suffix while it binds
PR_SET_PDEATHSIG = 1


class SupervisionError(Exception):
    """The parts cannot be run; the text says what to do."""


@dataclass(frozen=True)
class Program:
    """One part. A part that has not ended `stop_wait_s` after it was asked to is killed.

    A `foundation` starts before the others and is ended after them all. A part that ends with the code
    `gives_up_with` is not started again.
    """

    name: str
    command: list[str]
    stop_wait_s: int = 5
    is_foundation: bool = False
    gives_up_with: int | None = None


class Supervisor:
    """Supervisord over these programs."""

    def __init__(self, programs: list[Program], *, root: Path, var: Path) -> None:
        self.programs = programs
        self._root, self._folder, self._logs = root, var / "run", var / "log"
        self._socket = self._folder / "supervisor.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, environment: dict[str, str]) -> None:
        check_socket_path(self._socket)
        for folder in (self._folder, self._logs):
            folder.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "supervisord.conf"
        configuration.write_text(self._configuration(), encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", str(configuration)],
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            cwd=self._root,
            stdout=subprocess.DEVNULL,
            stderr=(self._logs / "supervisord.err").open("wb"),
            # A session of its own: Ctrl-C reaches only the command, which then ends the parts in order.
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def states(self) -> dict[str, str]:
        """Each program's state in supervisord's words (RUNNING, FATAL ...); empty while it starts."""
        return {row["name"]: row["statename"] for row in self._rows()}

    def _rows(self) -> list[Any]:
        with contextlib.suppress(OSError, xmlrpc.client.Error):
            rows: Any = self._server().supervisor.getAllProcessInfo()
            return list(rows)
        return []

    def failed(self) -> list[str]:
        """The programs that supervisord starts no more: they do not stay up, or they gave up."""
        codes = {program.name: program.gives_up_with for program in self.programs}
        return [
            row["name"]
            for row in self._rows()
            if row["statename"] == "FATAL"
            or (row["statename"] == "EXITED" and row["exitstatus"] == codes[row["name"]])
        ]

    def last_lines(self, name: str, *, count: int = 15) -> str:
        path = self._logs / f"{name}.log"
        if not path.exists():
            return ""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait()

    def stop(self) -> None:
        """Ends every part, foundations last; returns when all are gone."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=10 + sum(program.stop_wait_s for program in self.programs))

    def _server(self) -> xmlrpc.client.ServerProxy:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)

    def _configuration(self) -> str:
        sections = [
            "[supervisord]",
            f"logfile={_escape(self._logs / 'supervisord.log')}",
            f"pidfile={_escape(self._folder / 'supervisord.pid')}",
            "silent=true",
            "[unix_http_server]",
            f"file={_escape(self._socket)}",
            "chmod=0700",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        ]
        others = [program.name for program in self.programs if not program.is_foundation]
        # One group is ended at once; supervisord takes a second or more for each group.
        sections += ["[group:others]", f"programs={','.join(others)}", "priority=2"]
        for program in self.programs:
            sections += self._section(program)
        return "\n".join(sections) + "\n"

    def _section(self, program: Program) -> list[str]:
        return [
            f"[program:{program.name}]",
            f"command={_escape(shlex.join(program.command))}",
            f"directory={_escape(self._root)}",
            "priority=1",
            *_restarts(program),
            "startsecs=1",
            "startretries=10",
            "stopsignal=TERM",
            f"stopwaitsecs={program.stop_wait_s}",
            "stopasgroup=true",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={_escape(self._logs / program.name)}.log",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=2",
        ]


def _restarts(program: Program) -> list[str]:
    """Each ending is answered with a new start, save the one that says that it is of no use."""
    if program.gives_up_with is None:
        return ["autorestart=true"]
    return ["autorestart=unexpected", f"exitcodes={program.gives_up_with}"]


def check_socket_path(path: Path) -> None:
    """Raises SupervisionError for a path that the kernel would refuse to bind."""
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise SupervisionError(f"{path} is too long a path for a socket: set VAR_DIR to a shorter one.")


def _escape(value: object) -> str:
    return str(value).replace("%", "%%")


def _end_with_parent() -> None:
    """In the child, before it becomes supervisord: be told to end when the parent dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
