"""`python -m tests.loopforge.facthop_run FOLDER`: FactHop over the whole factbook, through the agent loop, a
provider over HTTP that misbehaves, the tool cache, the index and a site of it. Prints one JSON line.

Turns are kept in memory here; tests/search/test_facthop.py drives whole turns on the database.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agents.corpus import building, factbook, manuals, web_site
from agents.corpus.folders import NoDocuments
from agents.corpus.index import Index
from agents.memory_store import MemoryStore
from agents.notebook import InMemoryNotebook
from agents.pages.fetching import Fetcher
from agents.pages.library import Library
from agents.pages.reading import Reader
from agents.search.local import LocalSearch
from agents.search.provider import Together
from agents.steps import guard
from agents.tool import Tool
from agents.tool_cache.in_memory import InMemoryToolCache
from agents.tooling.toolset import Toolset
from agents.tools.facts_query import FactsQuery
from agents.tools.find_in_page import FindInPage
from agents.tools.web_search import WebSearch
from agents.transcript import NoteKind
from inference.backends.openai_compatible import OpenAICompatibleBackend
from inference.schema import ChatMessage, Role
from tests.agents.stage import Stage
from tests.loopforge.facthop import AREA, PEOPLE, Book, FactHop, Question
from tests.loopforge.server import LoopForge, Manner
from tests.loopforge.serving import serve
from tests.services import free_port

QUERIES = (
    *("coastline of France", "border countries of Germany", "capital cities on the Danube", "世界人口"),
    *(
        "json dumps sort keys",
        "create index concurrently lock",
        "git rebase autosquash",
        "sqlite WAL checkpoint",
    ),
    *("queryset select_related prefetch", "debian policy maintainer scripts", "oil exports barrels per day"),
)
ROUNDS = 20


@dataclass
class Result:
    question: str
    is_right: bool
    num_lookups: int
    num_steps: int
    num_handoffs: int
    seconds: float


@dataclass
class World:
    """The index, its site, the tools on them, and the provider."""

    index: Index
    site: str
    reader: Reader
    cache: InMemoryToolCache = field(default_factory=InMemoryToolCache)

    def tools(self) -> list[Tool]:
        library = Library(self.index, fetcher=Fetcher(own_sites=(self.site,)), reader=self.reader)
        search = Together([LocalSearch(self.index, site=self.site)])
        return [WebSearch(search), FindInPage(library), FactsQuery(self.index, site=self.site)]

    async def ask(self, question: Question, *, base_url: str, window: int) -> Result:
        begun, store = time.monotonic(), MemoryStore()
        stage = Stage(
            backend=OpenAICompatibleBackend(base_url=base_url, api_key="none", thinking_dialect="always"),
            store=store,
            opening=(ChatMessage(role=Role.USER, content=question.text),),
        )
        limits = replace(stage.setting.limits, max_steps=700, max_seconds=900, max_reasoning_tokens=10**9)
        setting = replace(
            stage.setting,
            limits=replace(limits, max_output_tokens=10**9),
            toolset=Toolset(self.tools(), cache=self.cache),
            context_tokens=window,
            count_tokens=lambda text: len(text) // 3,
            guard=guard.advice,
            notebook=InMemoryNotebook(stage.progress.transcript),
        )
        stage.setting = setting
        await stage.drive(max_steps=2_000)
        answer = store.replies[-1].content.strip() if store.replies else ""
        return Result(
            question=question.text,
            is_right=answer == question.answer,
            num_lookups=len(store.results),
            num_steps=len(store.replies),
            num_handoffs=sum(note.kind is NoteKind.HANDOFF for note in store.notes),
            seconds=time.monotonic() - begun,
        )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.loopforge.facthop_run")
    parser.add_argument("folder", type=Path, help="for the index and the factbook's wheel")
    parser.add_argument("--questions", type=int, default=20, help="short ones")
    parser.add_argument("--window", type=int, default=32_768, help="tokens of the model's context")
    parser.add_argument("--share", type=float, default=0.1, help="of steps that go wrong")
    parser.add_argument("--manuals", type=Path, default=manuals.ROOT, help="where Debian's manuals lie")
    options = parser.parse_args(arguments)
    said = {"index": measured(options.folder, options.manuals), **asked(options)}
    sys.stdout.write(f"{json.dumps(said)}\n")
    return 0


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """Every question's result: the short ones, then the ranking of all places."""
    index = Index(options.folder / "index.sqlite3")
    book = Book(factbook.read(factbook.fetch(options.folder)))
    questions = [*book.questions(options.questions, seed=1), book.rank(AREA, PEOPLE, 5)]
    manner = Manner(context_tokens=options.window)
    forge = LoopForge(course=FactHop(share=options.share, seed=1), manner=manner)
    reader = Reader()
    try:
        with (
            serve(forge, port=free_port()) as base_url,
            serve(web_site.Site(index), port=free_port()) as address,  # type: ignore[arg-type]
        ):
            world = World(index, address.removesuffix("/v1"), reader)

            async def ask_all() -> list[Result]:
                return [await world.ask(one, base_url=base_url, window=options.window) for one in questions]

            results = asyncio.run(ask_all())
    finally:
        reader.close()
    return {
        "results": [vars(result) for result in results],
        "faults": sum(bool(a.fault) for a in forge.asked),
    }


def measured(folder: Path, manuals_root: Path) -> dict[str, Any]:
    """The index built anew: how long, how large, and how long a query takes."""
    path = folder / "index.sqlite3"
    for old in folder.glob("index.sqlite3*"):
        old.unlink()
    begun = time.monotonic()
    built = building.install(path, factbook.source(factbook.fetch(folder)))
    seconds = {"factbook": time.monotonic() - begun}
    num_passages = built.num_passages
    try:
        begun = time.monotonic()
        num_passages += building.install(path, manuals.source(root=manuals_root)).num_passages
        seconds["manuals"] = time.monotonic() - begun
    except NoDocuments as fault:
        sys.stderr.write(f"{fault}\n")
    index, took = Index(path), []
    for _ in range(ROUNDS):
        for query in QUERIES:
            begun = time.monotonic()
            index.search(query)
            took.append((time.monotonic() - begun) * 1000)
    return {
        "build_s": seconds,
        "num_passages": num_passages,
        "num_facts": built.num_facts,
        "bytes": path.stat().st_size,
        "query_p50_ms": statistics.median(took),
        "query_p95_ms": sorted(took)[int(len(took) * 0.95)],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
