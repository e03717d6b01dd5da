"""What the sandbox in WebAssembly is made of: Pyodide, from npm's registry, and packages of pure Python, in
one folder. Fetched by `install` alone, checked, never while it is used.
"""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import httpx

from agents.sandbox.sessions import Launcher, SandboxFailed, Wasm
from agents.sandbox.watching import Ending

PYODIDE = "https://registry.npmjs.org/pyodide/-/pyodide-314.0.7.tgz"
SHA512 = "0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A=="
_FILES = (
    *("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm"),
    *("pyodide-lock.json", "python_stdlib.zip", "package.json"),
)
# With what they need themselves. What is compiled, numpy and all that stands on it, is on neither registry.
PINNED = ("sympy==1.14.0", "mpmath==1.3.0", "openpyxl==3.1.5", "et_xmlfile==2.0.0", "pypdf==7.1.0")
SHOWN = "sympy, mpmath, openpyxl and pypdf (no numpy, pandas or matplotlib)"
MOST_BYTES = 64 * 2**20
LONGEST_S = 600
_DONE = ".complete"
_COMPILE = """
import importlib.util, os, py_compile
unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
for at, _, names in os.walk("/packages"):
    for name in names:
        if name.endswith(".py") and "/tests" not in at:
            source = f"{at}/{name}"
            target = importlib.util.cache_from_source(os.path.relpath(source, "/packages"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            py_compile.compile(source, target, source, invalidation_mode=unchecked)
"""


class InstallFailed(Exception):
    """It could not be brought; the text says why."""


def found(folder: Path) -> Wasm | None:
    """What is installed, with Deno; None where either is missing."""
    deno = _deno()
    try:
        is_whole = (folder / _DONE).read_text() == _digest()
    except OSError:
        return None
    return Wasm(deno=deno, bundle=folder) if is_whole and deno is not None else None


def has_deno() -> bool:
    return _deno() is not None


def lacks(folder: Path) -> str:
    """What to do to have it; empty when it is there."""
    if not has_deno():
        return "pip install '.[wasm]', then manage.py sandbox install-wasm"
    return "" if found(folder) else "manage.py sandbox install-wasm"


def install(folder: Path) -> None:
    """Bring it; what was there is replaced at once at the end. Raises InstallFailed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        new.chmod(0o755)
        _unpack(_fetched(), new)
        _bring_packages(new / "packages")
        _compile(new)
        (new / _DONE).write_text(_digest())
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _deno() -> Path | None:
    """Of the extra's wheel, beside our Python."""
    place = Path(sys.executable).with_name("deno")
    return place.resolve() if place.exists() else None


def _fetched() -> bytes:
    content = bytearray()
    try:
        with httpx.stream("GET", PYODIDE, timeout=60.0, follow_redirects=False) as answer:
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > MOST_BYTES:
                    raise InstallFailed(f"{PYODIDE} is larger than it should be.")
    except httpx.HTTPError as fault:
        raise InstallFailed(f"{PYODIDE} could not be fetched: {fault}") from fault
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != SHA512:
        raise InstallFailed(f"{PYODIDE} is not the file that was checked: nothing was installed.")
    return bytes(content)


def _unpack(content: bytes, folder: Path) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            for name in _FILES:
                member = archive.extractfile(f"package/{name}")
                if member is None:
                    raise InstallFailed(f"{name} is not in {PYODIDE}.")
                (folder / name).write_bytes(member.read())


def _bring_packages(folder: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--no-compile", "--only-binary", ":all:", "--platform", "any", "--target", str(folder), *PINNED),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    if done.returncode != 0:
        raise InstallFailed(done.stderr.strip() or "pip failed")


def _compile(folder: Path) -> None:
    """By the Python that will read them, and in its sandbox: compiling them anew takes each turn seconds."""
    deno = _deno()
    if deno is None:
        raise InstallFailed("Deno is missing: pip install '.[wasm]'")
    work = Path(tempfile.mkdtemp())
    launcher = Launcher(wasm=Wasm(deno=deno, bundle=folder))
    try:
        outcome = launcher.session(work).python(_COMPILE, wall_s=LONGEST_S)
        if outcome.error or outcome.ending is not Ending.DONE:
            raise InstallFailed(f"The packages cannot be compiled: {outcome.error or outcome.ending}")
        shutil.copytree(work, folder / "packages", dirs_exist_ok=True)
        (folder / "packages").chmod(0o755)
    except SandboxFailed as fault:
        raise InstallFailed(str(fault)) from fault
    finally:
        launcher.close()
        shutil.rmtree(work)


def _digest() -> str:
    return hashlib.sha256("\n".join((PYODIDE, SHA512, *PINNED, _COMPILE)).encode()).hexdigest()
