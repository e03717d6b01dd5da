"""The second sandbox, Python in Deno: hostile code gets nothing, a notebook works, and it is chosen only
where the first cannot be had."""

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from agents.sandbox import launch, tiers
from agents.sandbox.cell import Limits
from agents.sandbox.sessions import Launcher, Session
from agents.sandbox.tiers import Name
from agents.sandbox.turn_sandbox import Pool, TurnSandbox
from agents.sandbox.wasm import bundle
from agents.sandbox.watching import Ending
from agents.tool import Fault, ToolContext, ToolResult
from agents.tools.run_python import RunPython
from agents.workspace import Workspace, at_hand
from tests.environment import ROOT, WASM
from tests.sandbox.attempts import Attempt
from tests.sandbox.wasm_attempts import ATTEMPTS, PRELUDE

SECRET = "canary-93be1f20"
LIMITS = Limits(memory_bytes=256 * 2**20)
wasm = bundle.found(WASM)
installed = pytest.mark.skipif(wasm is None, reason="manage.py sandbox install-wasm has not been run")


class Host:
    """A launcher, a work folder, and what lies outside for hostile code to reach."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        assert wasm is not None
        self.folder = Path(tempfile.mkdtemp(prefix="canaries-"))
        stack.callback(shutil.rmtree, self.folder)
        self.folder.chmod(0o777)
        (self.folder / "secret").write_text(SECRET)
        self.files = self.folder / "files"
        self.files.mkdir()
        self.launcher = Launcher(wasm=wasm)
        stack.callback(self.launcher.close)
        tcp = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", 0))
        path, self.abstract = socket.socket(socket.AF_UNIX), f"canary-wasm-{os.getpid()}"
        path.bind(str(self.folder / "socket"))
        (self.folder / "socket").chmod(0o777)
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind(f"\0{self.abstract}")
        path.listen()
        abstract.listen()
        self.ports = {"tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1]}
        self._listeners = [stack.enter_context(one) for one in (tcp, udp, path, abstract)]
        self._session: Session | None = None

    def session(self) -> Session:
        if self._session is None or not self._session.is_alive:
            self._session = self.launcher.session(self.files)
        return self._session

    def reached(self) -> int:
        """How many of the listeners somebody has come to."""
        came = 0
        for listener in self._listeners:
            listener.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                listener.recv(1) if listener.type == socket.SOCK_DGRAM else listener.accept()
                came += 1
        return came


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANTED_API_KEY", SECRET)
        yield Host(stack)


@installed
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_hostile_code_gets_nothing_of_the_machine(host: Host, attempt: Attempt) -> None:
    words = {"folder": host.folder, "root": ROOT, "bundle": WASM, "launcher": os.getpid()}
    words |= {"abstract": host.abstract, "addresses": ["127.0.0.1"], **host.ports}
    code = PRELUDE + attempt.code.format(**words)
    outcome = host.session().python(code, wall_s=attempt.wall_s, limits=LIMITS)
    said = f"{outcome.output}{outcome.value}{outcome.error}"
    assert outcome.ending in attempt.endings, said[-2_000:]
    assert "ESCAPED" not in said
    assert SECRET not in said
    assert "NameError" not in said
    assert "SyntaxError" not in said
    # What was promised for later has had its time once a further call is answered.
    tidied = host.session().python(
        "import os, shutil\n[os.unlink(p) for p in os.listdir() if os.path.isfile(p) or os.path.islink(p)]",
        wall_s=10,
        limits=LIMITS,
    )
    assert tidied.ending in (Ending.DONE, Ending.CRASHED, Ending.PROCESSES, Ending.MEMORY)
    assert host.reached() == 0
    assert (host.folder / "secret").read_text() == SECRET
    assert not list(host.folder.glob("**/canary"))
    assert not list(WASM.glob("**/canary*")) + list(WASM.glob("link"))
    for path in host.files.iterdir():
        assert path.is_file()
        assert not path.is_symlink()
        path.unlink()


class Desk:
    def __init__(self, root: Path, pool: Pool) -> None:
        self.sandbox = TurnSandbox(pool, "turn", at_hand(Workspace(root)))
        self.files = self.sandbox.files.at_hand.files
        self._python = RunPython(self.sandbox, packages=bundle.SHOWN)

    async def python(self, code: str, *, timeout_s: int = 30) -> ToolResult:
        return await self._python.run({"code": code, "timeout_s": timeout_s}, ToolContext(key="k", step=1))


@installed
async def test_a_notebook_keeps_variables_takes_files_and_gives_them_back(tmp_path: Path) -> None:
    pool = Pool(Launcher(wasm=wasm))
    desk = Desk(tmp_path, pool)
    (desk.files / "in").mkdir()
    (desk.files / "in" / "data.csv").write_text("a,b\n1,2\n")
    (desk.files / "large").write_bytes(bytes(9 * 2**20))
    try:
        assert (
            await desk.python("import sympy\nx = sympy.Symbol('x')\nopen('gone', 'w').write('x')")
        ).for_model
        result = await desk.python(
            "import os\nos.mkdir('out')\nos.unlink('gone')\n"
            "open('out/b.txt', 'w').write(open('in/data.csv').read().upper())\n"
            "open('large.copy', 'wb').write(open('large', 'rb').read())\nsympy.integrate(2 * x)"
        )
        assert result.for_model.startswith("x**2\n[Files written: "), result.for_model
        assert (desk.files / "out" / "b.txt").read_text() == "A,B\n1,2\n"
        assert (desk.files / "large.copy").stat().st_size == 9 * 2**20
        assert not (desk.files / "gone").exists()
        (desk.files / "in" / "data.csv").unlink()
        assert "FileNotFoundError" in (await desk.python("open('in/data.csv')")).for_model
        cut = await desk.python("open('late', 'w').write('x')\nwhile True: pass", timeout_s=1)
        assert cut.fault is Fault.TIMEOUT
        assert "Not kept: what this call has written" in cut.for_model
        after = await desk.python("print(sorted(os.listdir()) if 'os' in dir() else 'new')\nx")
        assert after.for_model.startswith("new\nTraceback")
    finally:
        pool.close()


@installed
def test_it_is_chosen_only_where_the_first_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(launch, "SYSTEM_PATH", str(tmp_path))
    kept = tmp_path / "tier.json"
    tier = tiers.active(kept_in=kept, bundle_in=WASM)
    assert (tier.name, tier.has_programs, tier.wasm) == (Name.WASM, False, wasm)
    assert "bubblewrap" in tier.reason  # and says why it is not that one
    assert tiers.kept(kept, bundle_in=WASM) == tier
    assert tiers.kept(kept, bundle_in=tmp_path) is None
    tiers._tried_once.cache_clear()


@installed
def test_a_deno_that_may_read_everything_is_not_offered(tmp_path: Path) -> None:
    assert wasm is not None
    holed = tmp_path / "python"
    holed.write_text(
        f'#!/bin/sh\nexec {sys.executable} -I -S -c "'
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from agents.sandbox import landlock, launcher\n"
        "from agents.sandbox.wasm import cell\n"
        "landlock.version = lambda: 0\n"
        "cell._PERMISSIONS = ('--no-prompt', '--allow-write', '--allow-read=/')\n"
        'launcher.main()" "$5"\n'
    )
    holed.chmod(0o755)
    tier = tiers.tried_wasm(wasm, python=(str(holed),))
    assert tier.name is Name.NONE
    assert "accounts were read" in tier.reason


def test_a_download_that_is_not_the_checked_one_installs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"something else")

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(bundle, "PYODIDE", f"http://127.0.0.1:{server.server_port}/pyodide.tgz")
        with pytest.raises(bundle.InstallFailed, match="not the file that was checked"):
            bundle.install(tmp_path / "wasm")
        server.shutdown()
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert "install-wasm" in bundle.lacks(tmp_path)
    assert bundle.found(tmp_path) is None
