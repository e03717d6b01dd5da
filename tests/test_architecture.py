"""The shape of the code that no linter knows: lengths, kernel twins, and words that do not belong."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
# Written by others or by a program.
NOT_OURS = (
    "static/vendor/",
    "static/built/",
    "tests/e2e/vendor/",
    "/migrations/",
    "webapp/locale/",
    "package-lock.json",
)
TEXT = {
    ".py",
    ".js",
    ".mjs",
    ".css",
    ".html",
    ".md",
    ".toml",
    ".yml",
    ".yaml",
    ".po",
    ".json",
    ".txt",
    ".lua",
    "",
}
EMOJI = re.compile("[\U0001f300-\U0001faff\U00002600-\U000026ff\U0000fe0f]")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b|raise NotImplementedError")


def files(*suffixes: str) -> list[Path]:
    """Our own files with one of these suffixes, those not committed yet included."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    ours = [name for name in listed if not any(part in f"/{name}" for part in NOT_OURS)]
    return [ROOT / name for name in ours if Path(name).suffix in suffixes and (ROOT / name).is_file()]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function's name and its number of lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_no_file_is_longer_than_one_noun_needs() -> None:
    lengths = {relative(path): path.read_text().count("\n") for path in files(".py", ".js", ".mjs", ".css")}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{relative(path)}: {name} has {length} lines"
        for path in files(".py")
        for name, length in functions(path)
        if length > LONGEST_FUNCTION
    ]
    assert long == []


def test_every_module_with_code_says_what_it_is() -> None:
    silent = [
        relative(path)
        for path in files(".py")
        if (source := path.read_text(encoding="utf-8")).strip()
        and path.name not in ("apps.py", "manage.py")
        and ast.get_docstring(ast.parse(source)) is None
    ]
    assert silent == []


def kernels_of(path: Path) -> Iterator[str]:
    """Public functions from a tensor to a tensor."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.returns is not None:
            first = node.args.args[0].annotation if node.args.args else None
            if first is not None and ast.unparse(first) == ast.unparse(node.returns) == "Tensor":
                yield node.name


def test_every_kernel_has_a_torch_twin() -> None:
    """`decode_attention` and `prefill_attention` may share the twin `attention` of reference.py."""
    folder = ROOT / "inference" / "kernels"
    twins = set(kernels_of(folder / "reference.py"))
    kernels = [name for path in folder.glob("*pu_*.py") for name in kernels_of(path)]
    assert kernels
    assert [name for name in kernels if not {name, name.rpartition("_")[2]} & twins] == []


@pytest.mark.parametrize(
    # Tests of text feed emoji to what they test.
    ("pattern", "what", "exempt"),
    [(EMOJI, "an emoji", "tests/"), (UNFINISHED, "unfinished work", "tests/test_architecture.py")],
)
def test_nothing_we_wrote_holds(pattern: re.Pattern[str], what: str, exempt: str) -> None:
    found = [
        f"{relative(path)}:{number} holds {what}"
        for path in files(*(TEXT - {".json", ".txt"}))
        if not relative(path).startswith(exempt)
        for number, line in enumerate(
            path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1
        )
        if pattern.search(line)
    ]
    assert found == []


def test_no_path_of_one_machine_is_written_down() -> None:
    """A checkout's own place and a home folder differ from machine to machine."""
    places = (f"{ROOT}/", f"{Path.home()}/")
    found = [
        f"{relative(path)} names {place}"
        for path in files(*TEXT)
        for place in places
        if len(place) > 2 and place in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert found == []
