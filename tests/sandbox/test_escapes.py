"""Hostile code in the sandbox gets nothing: not as it is by default, nor where a plain user started it."""

import os
import platform
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agents.sandbox import libraries, seccomp, tiers
from agents.sandbox.cell import Limits
from agents.sandbox.sessions import Launcher, SandboxFailed, Session
from tests.sandbox.attempts import ATTEMPTS, PRELUDE, SYSTEM_CALLS, Attempt

SECRET = "canary-5d20c7e1"
PLAIN_UID = 61_234
LIMITS = Limits(memory_bytes=384 * 2**20)
ROOT = Path(__file__).resolve().parents[2]
ABSTRACT = f"canary-{os.getpid()}"

pytestmark = [
    pytest.mark.skipif(not tiers.active().is_offered, reason="no sandbox on this machine"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls of x86-64"),
]


class Host:
    """A launcher, a work folder, and what lies outside for hostile code to reach."""

    def __init__(self, stack: ExitStack, *, is_plain: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="canaries-"))
        stack.callback(shutil.rmtree, self.folder)
        self.folder.chmod(0o777)
        (self.folder / "secret").write_text(SECRET)
        self.files = self.folder / "files"
        self.files.mkdir()
        python: tuple[str, ...] = (sys.executable,)
        if is_plain and os.geteuid() == 0:
            os.chown(self.files, PLAIN_UID, PLAIN_UID)
            words = ("setpriv", f"--reuid={PLAIN_UID}", f"--regid={PLAIN_UID}", "--clear-groups", "--")
            python = (*words, "/usr/bin/python3", "-B")
        shown = libraries.places(*libraries.DOCUMENTS, *libraries.SYMBOLS, *libraries.TESTING)
        self.launcher = Launcher(libraries=shown, python=python)
        stack.callback(self.launcher.close)
        self._session: Session | None = None
        self._listeners = [stack.enter_context(listener) for listener in self._listening()]

    def _listening(self) -> Iterator[socket.socket]:
        tcp = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", 0))
        abstract, path = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        abstract.bind(f"\0{ABSTRACT}")
        path.bind(str(self.folder / "socket"))
        (self.folder / "socket").chmod(0o777)
        for listener in (abstract, path):
            listener.listen()
        self.ports = {"tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1]}
        yield from (tcp, udp, abstract, path)

    def reached(self) -> list[socket.socket]:
        """The listeners that somebody has come to."""
        came = []
        for listener in self._listeners:
            listener.setblocking(False)
            try:
                listener.recv(1) if listener.type == socket.SOCK_DGRAM else listener.accept()
            except BlockingIOError:
                continue
            came.append(listener)
        return came

    def session(self) -> Session:
        if self._session is None or not self._session.is_alive:
            self._session = self.launcher.session(self.files)
        return self._session


@pytest.fixture(scope="module", params=["default", "plain user"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANTED_API_KEY", SECRET)
        is_plain = request.param == "plain user"
        made = Host(stack, is_plain=is_plain)
        try:
            made.session()
        except SandboxFailed as fault:
            # Some machines give plain users no namespaces. The default must work wherever bubblewrap is.
            if is_plain or shutil.which("bwrap") is None:
                pytest.skip(f"no sandbox for {request.param} here: {fault}")
            raise
        yield made


def addresses() -> list[str]:
    """This machine's own, the loopback first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ["127.0.0.1"]
        return ["127.0.0.1", probe.getsockname()[0]]


def code_of(attempt: Attempt, host: Host) -> str:
    numbers = {name: seccomp.number(name, "x86_64") for name in (*SYSTEM_CALLS, "clone", "clone3", "ioctl")}
    words = {"folder": host.folder, "root": ROOT, "abstract": ABSTRACT, "launcher": os.getpid()}
    return PRELUDE + attempt.code.format(**words, **host.ports, **numbers, addresses=addresses())


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_hostile_code_gets_nothing(host: Host, attempt: Attempt) -> None:
    outcome = host.session().python(code_of(attempt, host), wall_s=attempt.wall_s, limits=LIMITS)
    said = f"{outcome.output}{outcome.value}{outcome.error}"
    assert outcome.ending in attempt.endings, said[-2_000:]
    assert "ESCAPED" not in said
    assert SECRET not in said
    assert "NameError" not in said
    assert host.reached() == []
    for path in host.files.rglob("*"):
        about = path.lstat()
        assert stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)
        assert not about.st_mode & (stat.S_ISUID | stat.S_ISGID)
    clear = (
        "import glob, os, shutil\nfor p in glob.glob('*') + glob.glob('/tmp/*') + glob.glob('/dev/shm/*'):\n"
    )
    clear += " shutil.rmtree(p, True) if os.path.isdir(p) and not os.path.islink(p) else os.unlink(p)\n"
    clear += (
        "states = [open(p).read().rpartition(')')[2].split()[0] for p in glob.glob('/proc/[0-9]*/stat')]\n"
    )
    clear += "len([state for state in states if state not in 'ZX'])"
    tidied = host.session().python(clear, wall_s=10, limits=LIMITS)
    # Its init and itself: nothing that an attempt has started lives on.
    assert tidied.value == "2", tidied
    assert list(host.files.iterdir()) == []
