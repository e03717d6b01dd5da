"""Which sandbox this machine has, proved by trying it: what failed its test is not offered.

The test runs hostile code in a real sandbox, with canaries outside that must not be reached.
"""

import contextlib
import functools
import hashlib
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from agents.sandbox import cgroups, launch, seccomp
from agents.sandbox.cell import PYTHON, Limits
from agents.sandbox.cgroups import Version
from agents.sandbox.sessions import Launcher, SandboxFailed, Session, Wasm
from agents.sandbox.wasm import bundle
from agents.sandbox.wasm import trial as wasm_trial
from agents.sandbox.watching import Ending

TRIAL_S = 20.0
TRIAL_LIMITS = Limits(memory_bytes=192 * 2**20)


class Name(StrEnum):
    """From the strongest to none."""

    BUBBLEWRAP = "bubblewrap"
    WASM = "deno-pyodide"
    NONE = "none"


@dataclass(frozen=True)
class Tier:
    """`reason` says in a sentence why it is this one. NONE: code tools are not offered; WASM: those that run
    Python alone. `wasm` is then what it runs in."""

    name: Name
    reason: str
    wasm: Wasm | None = None

    @property
    def is_offered(self) -> bool:
        return self.name is not Name.NONE

    @property
    def has_programs(self) -> bool:
        """Whether all that the system has can be run, the shell and compiled libraries among it."""
        return self.name is Name.BUBBLEWRAP


_lock = threading.Lock()


def active(*, kept_in: Path | None = None, bundle_in: Path | None = None) -> Tier:
    """bubblewrap, else Deno with what lies in the folder `bundle_in`, else none. Tried once in a process;
    with `kept_in`, a file, what has passed is not tried again until the machine is started anew or something
    changes that it depends on. A worker that takes over from a dead one need not wait then."""
    with _lock:
        return _tried_once(kept_in, bundle_in)


def kept(kept_in: Path, *, bundle_in: Path) -> Tier | None:
    """What passed its test and would pass it again, tried by whichever process; None: nobody has tried."""
    return _kept(kept_in, bundle.found(bundle_in))


@functools.cache
def _tried_once(kept_in: Path | None, bundle_in: Path | None) -> Tier:
    wasm = bundle.found(bundle_in) if bundle_in else None
    if kept_in is None:
        return best(wasm)
    if (known := _kept(kept_in, wasm)) is not None:
        return known
    tier = best(wasm)
    if tier.is_offered:
        content = {"circumstances": _circumstances(wasm), "name": tier.name, "reason": tier.reason}
        temporary = kept_in.with_name(f"{kept_in.name}.{secrets.token_hex(4)}")
        kept_in.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content))
        temporary.replace(kept_in)
    return tier


def _kept(kept_in: Path, wasm: Wasm | None) -> Tier | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(kept_in.read_bytes())
        if content["circumstances"] == _circumstances(wasm):
            name = Name(content["name"])
            return Tier(name, str(content["reason"]), wasm if name is Name.WASM else None)
    return None


def best(wasm: Wasm | None) -> Tier:
    """Try now, the strongest first."""
    tier = tried()
    if tier.is_offered or wasm is None:
        return tier
    second = tried_wasm(wasm)
    return Tier(second.name, f"{second.reason} ({tier.reason.rstrip('.')})", second.wasm)


def _circumstances(wasm: Wasm | None) -> str:
    """Changes with this start of the machine, its kernel, who we are, the programs used, and this code."""
    digest = hashlib.sha256()
    with contextlib.suppress(OSError):
        digest.update(Path("/proc/sys/kernel/random/boot_id").read_bytes())
    digest.update(f"{os.uname().release} {os.geteuid()} {sys.executable}".encode())
    parts = () if wasm is None else (wasm.deno, wasm.bundle, wasm.bundle / "pyodide.asm.wasm")
    for path in (shutil.which("bwrap", path=launch.SYSTEM_PATH) or "bwrap", PYTHON, *parts):
        with contextlib.suppress(OSError):
            about = os.stat(path)
            digest.update(f"{path} {about.st_mtime_ns} {about.st_size}".encode())
    for ours in sorted([*Path(__file__).parent.rglob("*.py"), *Path(__file__).parent.rglob("*.mjs")]):
        digest.update(ours.read_bytes())
    return digest.hexdigest()


def tried(launcher: Launcher | None = None) -> Tier:
    """Try now, with this launcher or one of its own."""
    if fault := _lacks():
        return Tier(Name.NONE, fault)
    trial = launcher or Launcher()
    try:
        faults = _faults(trial)
    except SandboxFailed as fault:
        return Tier(Name.NONE, str(fault))
    finally:
        if launcher is None:
            trial.close()
    if faults:
        return Tier(Name.NONE, f"The sandbox failed its test: {', '.join(faults)}.")
    return Tier(Name.BUBBLEWRAP, f"bubblewrap passed its test; {_counting()}")


def tried_wasm(wasm: Wasm, *, python: tuple[str, ...] = (sys.executable,)) -> Tier:
    """Try now what runs in Deno."""
    trial = Launcher(wasm=wasm, python=python)
    try:
        seccomp.program()
        faults = wasm_trial.faults(trial)
    except (SandboxFailed, seccomp.UnknownMachine) as fault:
        return Tier(Name.NONE, str(fault))
    finally:
        trial.close()
    if faults:
        return Tier(Name.NONE, f"Deno's sandbox failed its test: {', '.join(faults)}.")
    return Tier(Name.WASM, f"Python in Deno passed its test; {wasm_trial.described()}", wasm)


def _lacks() -> str:
    if not Path(PYTHON).exists():
        return f"There is no {PYTHON} to run code with: install the system's python3."
    try:
        launch.fence()
        seccomp.program()
    except (launch.SandboxMissing, seccomp.UnknownMachine) as missing:
        return str(missing)
    return ""


def _counting() -> str:
    group = cgroups.create(f"0-trial-{secrets.token_hex(4)}", memory_bytes=2**30, num_processes=8)
    group.remove()
    if group.version is Version.NONE:
        return "there are no control groups for us: memory is added up process by process"
    return f"memory and processes are counted by control groups {group.version}"


def _faults(launcher: Launcher) -> list[str]:
    """What the sandbox let happen, in words."""
    folder = Path(tempfile.mkdtemp(prefix="sandbox-trial-"))
    secret = secrets.token_hex(16)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        (folder / "secret").write_text(secret)
        (folder / "files").mkdir()
        session = launcher.session(folder / "files")
        try:
            return [*_broken(session, folder, listener.getsockname()[1]), *_reached(listener)]
        finally:
            session.kill()
            shutil.rmtree(folder, ignore_errors=True)


def _broken(session: Session, folder: Path, port: int) -> list[str]:
    code = f"{_PROBE}\nprint(json.dumps(probe({str(folder / 'secret')!r}, {port})))"
    outcome = session.python(code, wall_s=TRIAL_S, limits=TRIAL_LIMITS)
    if outcome.ending is not Ending.DONE or outcome.error:
        return [f"the test itself ended with {outcome.error or outcome.ending}"]
    try:
        faults = [str(fault) for fault in json.loads(outcome.output)]
    except ValueError:
        faults = ["the test said nothing"]
    outcome = session.python("b = b'x' * 2**29", wall_s=TRIAL_S, limits=TRIAL_LIMITS)
    if outcome.ending is not Ending.MEMORY:
        faults.append("memory is not limited")
    outcome = session.python("while True: pass", wall_s=0.2)
    if outcome.ending is not Ending.TIMEOUT:
        faults.append("time is not limited")
    return faults


def _reached(listener: socket.socket) -> list[str]:
    try:
        listener.accept()
    except BlockingIOError:
        return []
    return ["the network of this machine was reached"]


_PROBE = """
import ctypes, json, os, socket

def happens(do):
    try:
        do()
        return True
    except (OSError, MemoryError):
        return False

def fill():
    names = [f"filling-{number}" for number in range(20)]
    try:
        for name in names:
            with open(name, "wb") as file:
                file.write(bytes(2**22))
    finally:
        for name in filter(os.path.exists, names):
            os.unlink(name)

def breed():
    born = 0
    try:
        while born < 200:
            if os.fork() == 0:
                os.kill(os.getpid(), 19)
                os._exit(0)
            born += 1
    except OSError:
        pass
    return born

def probe(secret, port):
    libc = ctypes.CDLL(None, use_errno=True)
    status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    faults = {
        "a file outside was read": happens(lambda: open(secret).read()),
        "accounts were read": happens(lambda: open("/etc/passwd").read()),
        "the system was written to": happens(lambda: open("/usr/lib/canary", "w")),
        "the network was reached": happens(lambda: socket.create_connection(("127.0.0.1", port), 1)),
        "an environment was read": open("/proc/1/environ").read() != "",
        "namespaces can be made": libc.unshare(0x10000000) == 0,
        "file systems can be mounted": libc.mount(b"x", b"/tmp", b"tmpfs", 0, None) == 0,
        "privileges are left": int(status["CapEff"], 16) + int(status["CapBnd"], 16) != 0,
        "privileges can be gained": status["NoNewPrivs"].strip() != "1",
        "system calls are not filtered": status["Seccomp"].strip() != "2",
        "it runs as root": os.getuid() == 0,
        "the disk is not limited": happens(fill),
        "processes are not limited": breed() > 64,
    }
    return [fault for fault, happened in faults.items() if happened]
"""
