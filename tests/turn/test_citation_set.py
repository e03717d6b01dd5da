"""Whole turns of a model that searches, reads, forgets, goes back, works in a team and goes on later:
whatever number its answer cites leads to a stored passage with the fingerprint of what was read."""

import hashlib
import html
import json
import random
import re
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from pytest_django import Settings

from agents import citations
from agents.corpus.index import Index
from agents.pages.fetching import Fetcher
from agents.pages.library import Library
from agents.pages.reading import Reader
from chat import dispatch, evidence, history, page_tools, steering
from chat.evidence import StoredPassages
from chat.frames import CallDecide, Limits, TurnContinue, TurnSend
from chat.models import Message, Passage, ToolRun, Turn
from inference.schema import (
    ChatDelta,
    ChatRequest,
    ContentDelta,
    Finished,
    FinishReason,
    Role,
    ToolCallDelta,
    Usage,
)
from tests.search import sites
from tests.search.sites import Answer, Pages, Request
from tests.turn.test_heavy import agents_of, drive_all
from webapp.accounts.models import User
from webapp.catalog import backends
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)

SEEDS = range(8)
NUM_PAGES = 12
_SHOWN = re.compile(r"(?m)^\[(\d{1,4})\]")


@dataclass
class Wanderer:
    """Reads on and on, as a seed has it, and then cites some of what it was shown. What it makes of a request
    depends on the request alone."""

    site: str
    seed: int
    num_steps: int

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        step = sum(message.role is Role.ASSISTANT for message in request.messages)
        dice = random.Random(f"{self.seed}.{step}.{len(request.messages)}")
        goes_on = step < self.num_steps and request.tools and request.tool_choice != "none"
        if goes_on:
            name, arguments = self._call(dice, request, is_first=step == 0)
            yield ToolCallDelta(index=0, id="x", name=name, arguments=json.dumps(arguments))
        else:
            yield ContentDelta(text=_answer(dice, request))
        reason = FinishReason.TOOL_CALLS if goes_on else FinishReason.STOP
        size = sum(len(message.content) for message in request.messages) // 4
        yield Finished(reason=reason, usage=Usage(input_uncached_tokens=size, output_tokens=20))

    def _call(
        self, dice: random.Random, request: ChatRequest, *, is_first: bool
    ) -> tuple[str, dict[str, Any]]:
        page = f"{self.site}/page/{dice.randrange(NUM_PAGES)}"
        if is_first:
            return "open_page", {"source": page}
        calls: list[tuple[str, dict[str, Any]]] = [
            ("web_search", {"query": f"otters {dice.randrange(9)}"}),
            ("open_page", {"source": page}),
            ("open_page", {"source": page}),
            ("find_in_page", {"source": page, "words": "otter river"}),
            ("verify_claim", {"claim": "Otters live in rivers.", "passages": [1]}),
            ("remember", {"fact": f"Fact {dice.random()}", "evidence": ["[1]"]}),
            ("recall", {"what": "[1]"}),
            ("rollback", {"to_step": 1, "lesson": "That led nowhere."}),
        ]
        offered = {spec.name for spec in request.tools}
        return dice.choice([call for call in calls if call[0] in offered])

    async def is_ready(self) -> bool:
        return True

    async def aclose(self) -> None:
        """Nothing is held open."""


def _answer(dice: random.Random, request: ChatRequest) -> str:
    """A sentence for some of the passages that stand in the view."""
    shown = sorted(
        {int(number) for message in request.messages for number in _SHOWN.findall(message.content)}
    )
    cited = dice.sample(shown, min(len(shown), 4))
    return " ".join(f"Otters live in rivers and along coasts [{number}]." for number in cited) or "Nothing."


def _page(number: int) -> Answer:
    words = random.Random(number)
    text = "".join(
        f"<h2>Part {part}</h2><p>Page {number}, part {part}: otters live in rivers and along coasts, and "
        f"{words.randrange(10_000)} of them were seen near the river {words.choice(['Orsa', 'Vy'])}.</p>"
        for part in range(6)
    )
    return Answer(
        body=f"<html><title>Page {number}</title><body><article>{text}</article></body></html>".encode()
    )


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    def found(request: Request) -> Answer:
        results = [
            {
                "url": f"{request.headers['host']}/page/{n}",
                "title": f"Page {n}",
                "content": html.escape(f"Of {n}."),
            }
            for n in range(3)
        ]
        for result in results:
            result["url"] = f"http://{result['url']}"
        return Answer(body=json.dumps({"results": results}).encode(), content_type="application/json")

    pages = Pages({f"/page/{number}": _page(number) for number in range(NUM_PAGES)} | {"/search": found})
    with sites.serve(pages) as address:
        yield address


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


@pytest.fixture
def library(
    site: str, reader: Reader, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    settings.SEARCH_PROVIDERS, settings.SEARXNG_URL = ["searxng"], site
    library = Library(Index(tmp_path / "none.sqlite3"), fetcher=Fetcher(own_sites=(site,)), reader=reader)
    monkeypatch.setattr(page_tools, "library", lambda: library)


def asked(user: User, **fields: Any) -> Turn:
    command = TurnSend(
        client_id=str(uuid4()), text="Where do otters live?", model="scripted", long_thinking=True, **fields
    )
    turn = dispatch.submit_turn(user, command)
    drive_all()
    # Addresses that tell much wait for the person, who has none of it.
    while waiting := list(ToolRun.objects.filter(state="waiting", waiting_for="approval", decision="")):
        for run in waiting:
            steering.decide_call(
                user,
                CallDecide(
                    turn=str(run.turn_id), call=run.call_id, decision="refused", arguments=run.arguments
                ),
            )
        drive_all()
    return Turn.objects.get(id=turn.id)


def unresolved(turn: Turn) -> list[str]:
    """What in the turn's evidence leads nowhere, or to another text than was read."""
    exported = json.loads(json.dumps(evidence.export_of(turn)))
    found = {citation["number"]: citation for citation in exported["citations"]}
    faults = [
        f"[{number}] has another fingerprint"
        for number, one in found.items()
        if hashlib.sha256(one["text"].encode()).hexdigest() != one["sha256"] or not one["is_intact"]
    ]
    view = history.turn_view(turn)
    cited = {number for marker in citations.markers(view.answer) for number in marker.numbers}
    faults += [f"the answer's [{number}] leads nowhere" for number in cited - found.keys()]
    for sentence in exported["sentences"]:
        faults += [
            f"{sentence['text']}: [{n}] leads nowhere" for n in sentence["citations"] if n not in found
        ]
        place = sentence["place"]
        step = next(step for step in view.steps if step.number == place["step"])
        if step.content[place["start"] : place["end"]] != sentence["text"]:
            faults.append(f"{sentence['text']} stands elsewhere")
    return faults + misread(turn, found)


def misread(turn: Turn, found: dict[int, dict[str, Any]]) -> list[str]:
    """Numbers that were shown to the model before another text than is kept under them."""
    shown = Message.objects.filter(turn=turn, role="tool", parts__tool_name="open_page").distinct()
    faults = []
    for message in shown:
        text = message.parts.all()[0].text
        for number, start in re.findall(r"(?m)^\[(\d+)\] (.{20})", text):
            if int(number) not in found or not found[int(number)]["text"].startswith(start[:20]):
                faults.append(f"[{number}] was shown before {start!r}")
    return faults


@pytest.mark.parametrize("seed", SEEDS)
def test_every_number_leads_to_what_was_read(
    seed: int,
    site: str,
    library: None,
    alice: User,
    scripted_model: ServedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanderer = Wanderer(site, seed, num_steps=6 + seed)
    monkeypatch.setattr(backends, "backend_for", lambda _model: wanderer)
    if seed % 4 == 3:  # what was read early leaves the view
        ServedModel.objects.update(context_tokens=12_000, max_output_tokens=1_000)
    turn = asked(alice, effort="auto", limits=Limits(max_steps=5 + seed) if seed % 2 else Limits())
    assert turn.finish_reason in ("stop", "length")
    assert Passage.objects.filter(turn=turn).count() > 0
    assert unresolved(turn) == []
    if turn.limit:
        going_on = dispatch.continue_turn(
            alice, TurnContinue(turn=str(turn.id), client_id=str(uuid4()), steps=4)
        )
        drive_all()
        going_on.refresh_from_db()
        assert going_on.finish_reason in ("stop", "length")
        assert unresolved(going_on) == []


def test_what_eight_agents_cite_leads_to_what_they_read(
    site: str, library: None, alice: User, scripted_model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "backend_for", lambda _model: Wanderer(site, 5, num_steps=2))
    turn = asked(alice, effort="heavy")
    assert turn.finish_reason == "stop"
    agents = agents_of(turn)
    assert len(agents) == 8
    for one in (turn, *agents):
        assert unresolved(one) == []
    assert Passage.objects.filter(turn=turn).exists(), "what the agents cite has become the turn's own"


TAMPERED = {
    "a word of the text": {"text": "Otters live in deserts."},
    "nothing but a space": {"text": "changed "},
    "the fingerprint": {"sha256": "0" * 64},
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_passage_that_was_tampered_with_is_noticed_and_proves_nothing(
    what: str,
    site: str,
    library: None,
    alice: User,
    scripted_model: ServedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backends, "backend_for", lambda _model: Wanderer(site, 1, num_steps=4))
    turn = asked(alice)
    assert unresolved(turn) == []
    changed = dict(TAMPERED[what])
    first = Passage.objects.filter(turn=turn).earliest("number")
    if what == "nothing but a space":
        changed["text"] = f"{first.text} "
    Passage.objects.filter(id=first.id).update(**changed)
    assert f"[{first.number}] has another fingerprint" in unresolved(turn)
    kept = {one.number: one for one in async_to_sync(StoredPassages(turn.id).passages)()}
    assert not kept[first.number].is_intact
