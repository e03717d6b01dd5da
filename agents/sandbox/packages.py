"""The Python packages that code in the sandbox finds, in a folder that it can only read."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from agents.sandbox.cell import PYTHON
from agents.sandbox.sessions import Launcher

# With what they need themselves: nothing is chosen when they are installed.
PINNED = (
    *("numpy==2.4.6", "pandas==3.1.1", "scipy==1.17.1", "sympy==1.14.0", "matplotlib==3.11.2"),
    *("pillow==13.0.0", "openpyxl==3.1.5", "lxml==6.1.3"),
    *("contourpy==1.3.3", "cycler==0.12.1", "et_xmlfile==2.0.0", "fonttools==4.68.0", "kiwisolver==1.5.1"),
    *("mpmath==1.3.0", "packaging==26.3", "pyparsing==3.3.3", "python-dateutil==4.0.0", "tzdata==2026.6"),
)
SHOWN = "numpy, pandas, scipy, sympy, matplotlib, pillow, openpyxl and lxml"
LONGEST_S = 1_800
_DONE = ".complete"
_FONTS = ".fonts"
_FIND_FONTS = """
import glob, shutil
import matplotlib.font_manager
for name in glob.glob("/tmp/matplotlib/fontlist*"):
    shutil.copy(name, ".")
"""


class InstallFailed(Exception):
    """The packages could not be brought; the text is what pip or Python said."""


def installed(folder: Path, pinned: tuple[str, ...] = PINNED) -> Path | None:
    """The folder, when all packages of today's list are in it."""
    try:
        is_whole = (folder / _DONE).read_text() == _digest(pinned)
    except OSError:
        return None
    return folder if is_whole else None


def install(folder: Path, pinned: tuple[str, ...] = PINNED) -> None:
    """Bring them all; what was there is replaced at once at the end. Raises InstallFailed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        new.chmod(0o755)
        version = _said([PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
        _said(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--no-compile", "--only-binary", ":all:", "--python-version", version),
                *("--target", str(new), *pinned),
            ]
        )
        # By the Python that will read them; a file that it cannot compile is one that nobody imports.
        subprocess.run(
            [PYTHON, "-m", "compileall", "-q", "-j", "0", str(new)],
            check=False,
            timeout=LONGEST_S,
            stdout=subprocess.DEVNULL,
        )
        if pinned is PINNED:
            _keep_fonts(new)
        (new / _DONE).write_text(_digest(pinned))
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _keep_fonts(folder: Path) -> None:
    """Finding fonts takes seconds, which the first plot of every turn need not wait for."""
    work = Path(tempfile.mkdtemp())
    launcher = Launcher(folder)
    try:
        outcome = launcher.session(work).python(_FIND_FONTS, wall_s=120)
        if outcome.error:
            raise InstallFailed(outcome.error)
        (folder / _FONTS).mkdir()
        for name in outcome.written:
            shutil.copy(work / name, folder / _FONTS / name)
    finally:
        launcher.close()
        shutil.rmtree(work)


def _said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    if done.returncode != 0:
        raise InstallFailed(done.stderr.strip())
    return done.stdout


def _digest(pinned: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(pinned).encode()).hexdigest()
