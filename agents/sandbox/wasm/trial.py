"""Tries the sandbox in WebAssembly with hostile code, which asks Deno itself: what Python cannot do there is
no proof of what its host can.
"""

import json
import os
import secrets
import shutil
import socket
import tempfile
from pathlib import Path

from agents.sandbox import landlock
from agents.sandbox.cell import Limits
from agents.sandbox.sessions import Launcher, Session
from agents.sandbox.watching import Ending

START_S = 60.0
TRIAL_S = 20.0
LIMITS = Limits(memory_bytes=192 * 2**20)


def faults(launcher: Launcher) -> list[str]:
    """What it let happen, in words. Raises SandboxFailed."""
    folder = Path(tempfile.mkdtemp(prefix="sandbox-trial-"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        secret = folder / "secret"
        secret.write_text(secrets.token_hex(16))
        secret.chmod(0o644)
        folder.chmod(0o755)
        (folder / "files").mkdir()
        session = launcher.session(folder / "files")
        try:
            found = _broken(session, secret, folder / "canary", listener.getsockname()[1])
            try:
                listener.accept()
                found.append("the network of this machine was reached")
            except BlockingIOError:
                pass
            return found
        finally:
            session.kill()
            shutil.rmtree(folder, ignore_errors=True)


def described() -> str:
    return (
        "Landlock stands behind it"
        if landlock.version()
        else "this kernel has no Landlock to stand behind it"
    )


def _broken(session: Session, secret: Path, canary: Path, port: int) -> list[str]:
    words = {"secret": str(secret), "canary": str(canary), "port": port, "pid": os.getpid()}
    code = f"import pyodide.code\nprobe = pyodide.code.run_js({_PROBE!r})\nprobe({json.dumps(words)!r})"
    outcome = session.python(code, wall_s=TRIAL_S, limits=LIMITS)
    if outcome.ending is not Ending.DONE or outcome.error:
        return [f"the test itself ended with {outcome.error[-500:] or outcome.ending}"]
    try:
        found = [str(fault) for fault in json.loads(outcome.output)]
    except ValueError:
        found = ["the test said nothing"]
    if canary.exists():
        found.append("a file outside was written")
    outcome = session.python("b = bytearray(b'x') * 2**30", wall_s=TRIAL_S, limits=LIMITS)
    if outcome.ending is not Ending.MEMORY and "MemoryError" not in outcome.error:
        found.append("memory is not limited")
    session.python("1", wall_s=TRIAL_S, limits=LIMITS)
    outcome = session.python("while True: pass", wall_s=0.2, limits=LIMITS)
    if outcome.ending is not Ending.TIMEOUT:
        found.append("time is not limited")
    return found


_PROBE = """(words) => {
  const { secret, canary, port, pid } = JSON.parse(words);
  const tries = {
    "a file outside was read": () => Deno.readTextFileSync(secret),
    "accounts were read": () => Deno.readTextFileSync("/etc/passwd"),
    "a folder outside was listed": () => [...Deno.readDirSync("/")],
    "a file outside was written": () => Deno.writeTextFileSync(canary, "x"),
    "a port was opened": () => Deno.listen({ port: 0 }),
    "a program was started": () => new Deno.Command("/bin/true").outputSync(),
    "an environment was read": () => Deno.env.toObject(),
    "a process was signalled": () => Deno.kill(pid, "SIGCONT"),
    "a library was loaded": () => Deno.dlopen("libc.so.6", { getpid: { parameters: [], result: "i32" } }),
    "its own processes were read": () => Deno.readTextFileSync("/proc/self/environ"),
    "a permission was gained": () => {
      for (const name of ["read", "write", "net", "env", "run", "ffi", "sys"])
        if (Deno.permissions.requestSync({ name }).state === "granted") return;
      throw new Error("none");
    },
  };
  const happened = [];
  for (const [what, attempt] of Object.entries(tries)) {
    try { attempt(); happened.push(what); } catch { /* as it should be */ }
  }
  try { Deno.connect({ port }).catch(() => {}); } catch { /* as it should be */ }
  Deno.stderr.writeSync(new TextEncoder().encode(JSON.stringify(happened)));
}"""
