"""Chinese is complete: every string is translated, none by guess, and the compiled file is current."""

import gettext
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("webapp", "chat", "agents", "inference", "templates")
CATALOGUE = Path("webapp/locale/zh_Hans/LC_MESSAGES/django.po")

pytestmark = pytest.mark.skipif(not shutil.which("msgmerge"), reason="gettext is not installed")


def catalogue_of_now(folder: Path) -> Path:
    """The catalogue merged with every string of today's sources; in a copy, for it is written in place."""
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = (sys.executable, "-m", "django", "makemessages", "-l", "zh_Hans", "--verbosity", "0")
    subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, check=True)
    return folder / CATALOGUE


def test_every_string_is_translated_and_none_by_guess(tmp_path: Path) -> None:
    merged = catalogue_of_now(tmp_path)
    for fault in ("--untranslated", "--only-fuzzy"):
        found = subprocess.run(
            ["msgattrib", fault, "--no-obsolete", "--no-wrap", merged], check=True, capture_output=True
        )
        assert re.findall(r'^msgid "(.+)"', found.stdout.decode(), re.MULTILINE) == []


def test_the_compiled_catalogue_is_current(tmp_path: Path) -> None:
    subprocess.run(["msgfmt", "-o", tmp_path / "django.mo", ROOT / CATALOGUE], check=True)
    assert entries(tmp_path / "django.mo") == entries((ROOT / CATALOGUE).with_suffix(".mo"))


def entries(compiled: Path) -> dict[str, str]:
    with compiled.open("rb") as file:
        catalogue: dict[str, str] = vars(gettext.GNUTranslations(file))["_catalog"]
    return catalogue
