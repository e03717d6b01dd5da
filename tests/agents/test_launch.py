"""What a program in the sandbox can reach, and that nothing of it outlives its end."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.sandbox import launch
from agents.sandbox.launch import Bounds, Program, SandboxMissing
from tests.services import wait_until

PYTHON = "/usr/bin/python3"
SECRET = "canary-3b1f0c"


sandboxed = pytest.mark.skipif(
    bool(launch.fault()) or not Path(PYTHON).exists(), reason="no bubblewrap on this machine"
)


async def outcome(code: str, **options) -> tuple[str, str]:
    """What the program printed, and its last words on stderr."""
    program = Program(command=(PYTHON, "-I", "-c", textwrap.dedent(code)), **options)
    process = await launch.start(program)
    try:
        out, err = await asyncio.wait_for(process.communicate(), 20)
    finally:
        await launch.end(process)
    return out.decode().strip(), err.decode().strip().rpartition("\n")[2]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that the sandbox's user may enter: pytest's own are for their owner alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@sandboxed
async def test_a_program_runs_with_its_own_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_API_KEY", SECRET)
    code = """
        import os
        environments = [os.environ.get("TOKEN", "")]
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for name in ("environ", "cmdline"):
                try: environments.append(open(f"/proc/{pid}/{name}").read())
                except OSError: pass
        print(len(environments) > 2, "mine" in environments[0])
        print(bytes.fromhex("63616e617279").decode() in "".join(environments))
    """
    out, err = await outcome(code, environment={"TOKEN": "mine"})
    assert out.split() == ["True", "True", "False"], err


@sandboxed
async def test_secrets_are_on_no_command_line() -> None:
    program = Program(command=("/usr/bin/sleep", "30"), environment={"TOKEN": SECRET})
    process = await launch.start(program)
    try:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert SECRET not in path.read_text(errors="replace")
            except OSError:
                continue
    finally:
        await launch.end(process)


@sandboxed
@pytest.mark.parametrize("value", ["x\0--bind\0/\0/host", "x" * 70_000])
async def test_no_value_of_the_environment_opens_the_sandbox(value: str) -> None:
    with pytest.raises(ValueError, match="environment"):
        await launch.start(Program(command=("/usr/bin/ls", "/host"), environment={"A": value}))


@sandboxed
async def test_files_outside_cannot_be_read_or_written(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (shared / "open").write_text("open")
    code = f"""
        import os
        def tries(do):
            try: return do()
            except OSError as fault: return type(fault).__name__
        print(tries(lambda: open({str(tmp_path / "secret")!r}).read()))
        print(tries(lambda: open("/etc/shadow").read()))
        print(tries(lambda: open({str(shared / "open")!r}).read()))
        print(tries(lambda: open({str(shared / "new")!r}, "w")))
        print(tries(lambda: open("/usr/lib/new", "w")))
        print(tries(lambda: os.mkdir("/new")))
        print(open("/tmp/mine", "w").write("x"))
    """
    out, err = await outcome(code, readable=(shared,))
    assert out.split() == [*["FileNotFoundError"] * 2, "open", "OSError", "OSError", "OSError", "1"], err


@sandboxed
async def test_what_it_writes_belongs_to_a_user_of_its_own(shared: Path) -> None:
    out, err = await outcome(f"open({str(shared / 'new')!r}, 'w').write('x')", writable=(shared,))
    owner = (shared / "new").stat().st_uid
    assert owner == (launch.OWN_UID if os.geteuid() == 0 else os.geteuid()), err


@sandboxed
async def test_there_is_no_network_unless_it_is_given() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port = listener.getsockname()[1]
    code = f"""
        import socket
        try: socket.create_connection(("127.0.0.1", {port}), 2); print("reached")
        except OSError: print("refused")
    """
    assert (await outcome(code))[0] == "refused"
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert (await outcome(code, has_network=True))[0] == "reached"
    listener.close()


@sandboxed
async def test_it_can_gain_no_rights() -> None:
    code = """
        import os, subprocess
        def tries(*command):
            return subprocess.run(command, capture_output=True).returncode == 0
        print(tries("unshare", "-U", "true"), tries("mount", "-t", "tmpfs", "x", "/tmp"))
        print(tries("/usr/sbin/chroot", "/usr", "bin/true"))
        print("NoNewPrivs:\\t1" in open("/proc/self/status").read(), os.getuid())
    """
    out, err = await outcome(code)
    assert out.split() == ["False", "False", "False", "True", str(launch.NOBODY)], err


@sandboxed
async def test_memory_files_and_scratch_are_bounded() -> None:
    bounds = Bounds(memory_bytes=512 * 1024**2, scratch_bytes=4 * 1024**2, num_files=32)
    code = """
        def tries(do):
            try: do(); return "fine"
            except (OSError, MemoryError) as fault: return type(fault).__name__
        def fill():
            for number in range(8):
                with open(f"/tmp/{number}", "wb") as file: file.write(bytes(2**20))
        print(tries(lambda: bytearray(2**30)), tries(fill))
        print(tries(lambda: [open("/dev/null") for _ in range(64)]))
    """
    assert (await outcome(code, bounds=bounds))[0].split() == ["MemoryError", "OSError", "OSError"]


@sandboxed
@pytest.mark.skipif(os.geteuid() != 0, reason="processes are counted for a user of its own")
async def test_a_fork_bomb_meets_its_limit() -> None:
    code = """
        import os, time
        born = 0
        try:
            while born < 500:
                if os.fork() == 0:
                    time.sleep(30); os._exit(0)
                born += 1
        except OSError:
            pass
        print(born)
    """
    out, err = await outcome(code, bounds=Bounds(num_processes=20), uid=launch.OWN_UID + 90)
    assert 0 < int(out) < 40, err


def alive(folder: Path) -> bool:
    """Whether the daemon still writes the time into its file."""
    try:
        return time.time() - float((folder / "beat").read_text() or 0) < 0.4
    except (OSError, ValueError):
        return False


def daemon(shared: Path) -> Program:
    """A program whose grandchild leaves its session and ignores every polite signal."""
    code = f"""
        import os, signal, time
        if os.fork() == 0:
            os.setsid()
            for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
            while True:
                open({str(shared / "beat")!r}, "w").write(str(time.time())); time.sleep(0.05)
        time.sleep(60)
    """
    return Program(command=(PYTHON, "-I", "-c", textwrap.dedent(code)), writable=(shared,))


@sandboxed
async def test_nothing_outlives_its_end(shared: Path) -> None:
    process = await launch.start(daemon(shared))
    await asyncio.to_thread(wait_until, lambda: alive(shared), within_s=10, what="the daemon's life")
    await launch.end(process)
    await launch.end(process)
    await asyncio.to_thread(wait_until, lambda: not alive(shared), within_s=5, what="the daemon's end")


@sandboxed
def test_nothing_outlives_a_killed_worker(shared: Path) -> None:
    code = """
        import asyncio, sys
        from pathlib import Path
        from tests.agents.test_launch import daemon
        from agents.sandbox import launch
        async def main():
            await launch.start(daemon(Path(sys.argv[1])))
            await asyncio.sleep(60)
        asyncio.run(main())
    """
    worker = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(shared)])
    try:
        wait_until(lambda: alive(shared), within_s=30, what="the daemon's life")
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    wait_until(lambda: not alive(shared), within_s=30, what="the daemon's end")


async def test_without_bubblewrap_nothing_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(launch, "SYSTEM_PATH", str(tmp_path))
    with pytest.raises(SandboxMissing, match="Install the packages bubblewrap"):
        await launch.start(Program(command=("/usr/bin/touch", str(tmp_path / "ran"))))
    assert not (tmp_path / "ran").exists()
    assert "Install the packages bubblewrap" in launch.fault()
