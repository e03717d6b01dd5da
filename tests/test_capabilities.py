"""docs/capabilities.md names what shows each capability; this proves that the named things are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/capabilities.md").read_text()
LINES = re.findall(r"^\| ([A-I]\d\d) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
NUM_OF_GROUP = {"A": 28, "B": 15, "C": 10, "D": 10, "E": 8, "F": 8, "G": 8, "H": 8, "I": 4}


def test_every_capability_has_its_line():
    wanted = [f"{group}{at:02}" for group, num in NUM_OF_GROUP.items() for at in range(1, num + 1)]
    assert [name for name, _, _ in LINES] == wanted


@pytest.mark.parametrize(("name", "shown"), [(name, shown) for name, _, shown in LINES])
def test_what_shows_it_is_there_or_it_is_said_to_be_missing(name: str, shown: str):
    tests = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", shown)
    others = re.findall(r"`(make [\w-]+|python -m [\w.]+(?: \w+)?|manage\.py \w+)`", shown)
    assert tests or others or "Not yet" in shown, f"{name} names nothing that shows it"
    for path, function in tests:
        text = (ROOT / "tests" / path).read_text()
        assert not function or f"def {function}(" in text, f"{path} has no {function}"
    for command in others:
        assert _exists(command), command


def _exists(command: str) -> bool:
    program, *words = command.split()
    if program == "make":
        return re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.M) is not None
    if program == "manage.py":
        return any(ROOT.glob(f"*/**/management/commands/{words[0]}.py"))
    module = ROOT / words[1].replace(".", "/")
    return module.is_dir() or module.with_suffix(".py").exists()
