"""The local index over Debian's manuals and the factbook: how long it takes to build, how large it is, how
fast it answers, and how high the right document stands, with and without the re-ranker."""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agents.corpus import building, factbook, manuals
from agents.corpus.building import Source
from agents.corpus.index import Index
from agents.search import minilm_files
from agents.search.local import LocalSearch
from agents.search.provider import Query
from inference.bench.report import Figure

QUESTIONS = Path(__file__).with_name("search_questions.toml")
KINDS = {"words": "in the manual's words", "meaning": "in other words"}
FIRST = 10  # a document further down is not found

Question = dict[str, Any]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manuals", type=Path, default=manuals.ROOT, help="where Debian's manuals lie")
    parser.add_argument("--folder", type=Path, default=Path("var/corpus"), help="of wheel and re-ranker")


def run(options: argparse.Namespace) -> list[Figure]:
    questions = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["question"]
    with tempfile.TemporaryDirectory() as folder:
        index = Index(Path(folder) / "index.sqlite3")
        figures = list(_built(index, options))
        figures += _asked(questions, LocalSearch(index), "words alone")
        if (files := minilm_files.installed(options.folder)) is None:
            sys.stderr.write("no re-ranker: manage.py corpus install reranker\n")
            return figures
        return [*figures, *_reranked(index, questions, files)]


def _built(index: Index, options: argparse.Namespace) -> list[Figure]:
    sources: dict[str, Callable[[], Source]] = {
        "factbook": lambda: factbook.source(factbook.fetch(options.folder)),
        "manuals": lambda: manuals.source(root=options.manuals),
    }
    figures = []
    sources["factbook"]()  # fetched before it is timed
    for name, source in sources.items():
        begun = time.perf_counter()
        built = building.install(index.path, source())
        seconds = time.perf_counter() - begun
        figures += [
            Figure(name=f"{name}: build", value=seconds, unit="s"),
            Figure(name=f"{name}: documents", value=built.num_documents, unit=""),
            Figure(name=f"{name}: passages", value=built.num_passages, unit=""),
        ]
    begun = time.perf_counter()
    building.install(index.path, manuals.source(root=options.manuals))
    seconds = time.perf_counter() - begun
    return [
        *figures,
        Figure(name="manuals: again, nothing changed", value=seconds, unit="s"),
        Figure(name="index: size", value=index.path.stat().st_size / 1e6, unit="MB"),
    ]


def _reranked(index: Index, questions: list[Question], files: Path) -> list[Figure]:
    from agents.search.minilm import MiniLM
    from agents.search.reranking import Reranker

    engine = LocalSearch(index, reranker=Reranker(MiniLM(files)))
    first = _asked(questions, engine, "re-ranked, first time")
    return [*first, *_asked(questions, engine, "re-ranked, vectors known")]


def _asked(questions: list[Question], engine: LocalSearch, how: str) -> list[Figure]:
    figures = []
    for kind, shown in KINDS.items():
        ranks, took = [], []
        for question in questions:
            begun = time.perf_counter()
            found = asyncio.run(engine.search(Query(text=question[kind], limit=2 * FIRST)))
            took.append(1000 * (time.perf_counter() - begun))
            ranks.append(
                _rank(
                    [one.source for one in found],
                    {f"{manuals.NAME}/{answer}" for answer in question["answers"]},
                )
            )
        figures += [
            Figure(name=f"{how}: {shown}, MRR", value=statistics.mean(ranks), unit=""),
            Figure(name=f"{how}: {shown}, query p50", value=statistics.median(took), unit="ms"),
            Figure(name=f"{how}: {shown}, query p95", value=sorted(took)[int(len(took) * 0.95)], unit="ms"),
        ]
    return figures


def _rank(found: Sequence[str], right: set[str]) -> float:
    """1 where the first document is right, 1/2 where the second is; 0 where none of the first ten is."""
    documents = list(dict.fromkeys(found))[:FIRST]
    return next((1 / place for place, id in enumerate(documents, 1) if id in right), 0.0)
