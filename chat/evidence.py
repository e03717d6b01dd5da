"""What an answer rests on, read from the rows of its turn: citations, the chain from each sentence to the
document and the call that found it, and the reasoning graph. Changes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.utils.translation import gettext

from agents import citations, reasoning_graph, verification
from agents.citations import Passage
from agents.passages import host_of
from agents.reasoning_graph import Graph
from agents.tool import Trust
from agents.transcript import Note, NoteKind
from chat import history, notebook, own_loop, passages, transcripts
from chat import models as rows
from chat.models import Turn
from chat.step_views import StepView
from inference.schema import ChatMessage, Role


class StoredPassages:
    """The `PassageSource` of a turn's rows."""

    def __init__(self, turn_id: UUID) -> None:
        self._turn_id = turn_id

    async def passages(self) -> Sequence[Passage]:
        return await own_loop.database(passages_of, self._turn_id)


def passages_of(turn_id: UUID) -> tuple[Passage, ...]:
    """By number: its own, and those of earlier turns that it may cite."""
    found = passages.visible(Turn.objects.select_related("conversation").get(id=turn_id))
    return tuple({row.number: _passage(row) for row in found}.values())


@dataclass(frozen=True, kw_only=True)
class Place:
    """[start, end) of the text of a step, in code points."""

    step: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Citation:
    """A passage and where it comes from: the document as it was fetched, by which call, asking what. `cited`
    are the markers that name it in the answer. `is_intact`: its text still has the fingerprint it was kept
    with."""

    number: int
    source: str
    title: str
    domain: str
    text: str
    sha256: str
    is_intact: bool
    fetched_at: datetime | None
    trust: str
    call_id: str
    tool: str
    query: str
    step: int
    cited: tuple[Place, ...]


@dataclass(frozen=True, kw_only=True)
class Support:
    """A sentence of the answer, what its check found (agents.verification.Verdict; empty where none was
    made), and the citations and calls that it rests on."""

    place: Place
    text: str
    verdict: str
    reason: str
    citations: tuple[Citation, ...]
    calls: tuple[str, ...]


def citations_of(turn: Turn) -> list[Citation]:
    """Every passage of the turn: those the answer cites first, then what was read besides, by number."""
    steps = history.steps_of(turn)
    found = _citations(turn, steps)
    return sorted(found.values(), key=lambda citation: (not citation.cited, citation.number))


def support_of(turn: Turn) -> list[Support]:
    """The sentences of the answer that claim something, in order, each with its chain of evidence."""
    steps = history.steps_of(turn)
    found = _citations(turn, steps)
    return [
        Support(
            place=Place(step=step.number, start=row["start"], end=row["end"]),
            text=step.content[row["start"] : row["end"]],
            verdict=row["verdict"],
            reason=reason(row["fault"], row["detail"]),
            citations=tuple(found[number] for number in row["passages"] if number in found),
            calls=tuple(row["calls"]),
        )
        for step in _answering(steps)
        for row in _rows(step, steps)
    ]


def graph_of(turn: Turn) -> Graph:
    """The turn's reasoning graph."""
    facts = async_to_sync(notebook.DatabaseNotebook(turn.id, fence=turn.fence).facts)()
    question = ChatMessage(role=Role.USER, content=history.user_text(turn))
    return reasoning_graph.build(
        transcripts.read(turn, opening=(question,)),
        plan=notebook.plan_of(turn.id),
        facts=facts,
        passages=passages_of(turn.id),
    )


def export_of(turn: Turn) -> dict[str, Any]:
    """All of it as plain JSON values: fingerprints can be worked out again from the passages' texts."""
    return {
        "turn": str(turn.id),
        "citations": [_plain(asdict(citation)) for citation in citations_of(turn)],
        "sentences": [
            {
                "place": asdict(support.place),
                "text": support.text,
                "verdict": support.verdict,
                "reason": support.reason,
                "citations": [citation.number for citation in support.citations],
                "calls": list(support.calls),
            }
            for support in support_of(turn)
        ],
        "graph": graph_of(turn).as_json(),
    }


def reason(fault: str, detail: str) -> str:
    """Why a sentence is not plainly supported, for a person; empty when it is."""
    words = {
        "no_passage": gettext("%s names no source of this answer."),
        "altered": gettext("The text of %s is no longer the one that was fetched."),
        "arithmetic": gettext("Wrong arithmetic: %s."),
        "link": gettext("The address %s was not read."),
        "quote": gettext("The quoted words %s are not in the cited source."),
        "quote_elsewhere": gettext("The quoted words %s are in another source than the cited one."),
        "translated": gettext("The quote %s is translated and could not be compared."),
        "number": gettext("%s is in none of its sources."),
        "number_elsewhere": gettext("%s is in another source than the cited one."),
        "number_unknown": gettext("%s is in no result of this turn."),
        "not_calculated": gettext("%s is not what was calculated."),
        "unit": gettext("The unit differs: %s."),
        "date": gettext("The date %s is in none of its sources."),
        "judged": gettext("Its sources do not say this. %s"),
        "judge_silent": gettext("The check of its meaning brought no verdict."),
        "judge_unproved": gettext("The check of its meaning found no proof in the source."),
        "judge_steered": gettext("Its source tries to steer the check."),
        "not_judged": gettext("Its meaning was not compared with the source."),
        "no_citation": gettext("It names no source."),
    }
    text = words.get(fault, "")
    return (text % detail if "%s" in text else text).strip()


# ---- from rows


def _passage(row: rows.Passage) -> Passage:
    return Passage(
        number=row.number,
        source=row.source,
        text=row.text,
        sha256=row.sha256,
        title=row.title,
        call_id=row.call_id,
        trust=Trust(row.trust) if row.trust else Trust.WEB,
        fetched_at=row.fetched_at,
    )


def _answering(steps: Sequence[StepView]) -> Iterator[StepView]:
    return (step for step in steps if step.content and not (step.is_draft or step.is_undone))


def _citations(turn: Turn, steps: Sequence[StepView]) -> dict[int, Citation]:
    calls = {call.id: (step.number, call) for step in steps for call in step.tool_calls}
    cited: dict[int, list[Place]] = {}
    for step in _answering(steps):
        for marker in citations.markers(step.content):
            for number in marker.numbers:
                place = Place(step=step.number, start=marker.start, end=marker.end)
                cited.setdefault(number, []).append(place)
    found = {}
    for passage in passages_of(turn.id):
        number, call = calls.get(passage.call_id, (0, None))
        found[passage.number] = Citation(
            number=passage.number,
            source=passage.source,
            title=passage.title,
            domain=host_of(passage.source),
            text=passage.text,
            sha256=passage.sha256,
            is_intact=passage.is_intact,
            fetched_at=passage.fetched_at,
            trust=passage.trust.value,
            call_id=passage.call_id,
            tool=call.name if call else "",
            query=call.arguments if call else "",
            step=number,
            cited=tuple(cited.get(passage.number, ())),
        )
    return found


def _rows(step: StepView, steps: Sequence[StepView]) -> Iterator[dict[str, Any]]:
    """What the last check found of the step's sentences; of one that nobody checked, what its sentences
    cite."""
    checks = [note for other in steps for note in other.notes if _is_check(note) and not other.is_draft]
    if checks:
        for row in checks[-1].data["sentences"]:
            if row.get("step", checks[-1].step) == step.number:
                yield row
        return
    for sentence in verification.split(step.content):
        if sentence.numbers:
            yield {
                "start": sentence.start,
                "end": sentence.end,
                "verdict": "",
                "fault": "",
                "detail": "",
                "passages": sentence.numbers,
                "calls": (),
            }


def _is_check(note: Note) -> bool:
    return note.kind is NoteKind.CHECK and "sentences" in note.data


def _plain(citation: dict[str, Any]) -> dict[str, Any]:
    at = citation["fetched_at"]
    return {**citation, "fetched_at": at.isoformat() if at else None}
