"""A durable turn that is longer than its model's window: compacted, stored, taken over, and still right."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest

from agents import context, custom_tools
from agents.transcript import NoteKind
from chat import resume, warm
from chat.models import Fact, Message, Turn
from inference.tokenizer import kimi_messages
from tests.agents.reading import PASSWORD, SECRET, Habit, Mind, Seen
from tests.loopforge.course import Call, Move
from tests.loopforge.server import MODEL, LoopForge, Manner
from tests.loopforge.serving import serve
from tests.loopforge.talk import Talk, text
from tests.services import free_port
from tests.turn.browser import Tab
from webapp.billing import seeds
from webapp.billing.models import UsageRecord
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)

WINDOW = 32_768
MINDS = [Mind(num_chapters=110, habit=habit, num_words=600) for habit in get_args(Habit)]
ENTRY = "[agents.tools]\nbook = tests.agents.reading:Book\n"


class ReadingCourse:
    """A `Course` whose questions name the habit of the reader."""

    def move(self, talk: Talk) -> Move:
        mind = next(mind for mind in MINDS if mind.habit in talk.question)
        texts = [f"{message.get('reasoning_content') or ''}\n{text(message)}" for message in talk.said]
        texts += [
            call["function"]["arguments"] for message in talk.said for call in message.get("tool_calls") or ()
        ]
        if not talk.tools:
            return Move(step=0, reasoning="", content=mind.hands_off("\n".join(texts)))
        last = talk.said[-1] if talk.said else {}
        said = mind.says(
            Seen(
                text="\n".join(texts),
                last_result=text(last) if last.get("role") == "tool" else "",
                last_call_id=last.get("tool_call_id", ""),
                may_call=talk.may_call,
            )
        )
        if not said.tool:
            return Move(step=0, reasoning=said.reasoning, content=said.content)
        name = f"functions.{said.tool}:{talk.next_call}"
        call = Call(name=said.tool, arguments=said.arguments, id=name)
        return Move(step=0, reasoning=said.reasoning, calls=(call,))


@pytest.fixture
def forge() -> LoopForge:
    """It refuses what does not fit its window, and counts the cached tokens by the prompts it has seen."""
    manner = Manner(context_tokens=WINDOW, has_prefix_cache=True, keeps_bodies=True)
    return LoopForge(course=ReadingCourse(), manner=manner)


@pytest.fixture(autouse=True)
def reader(db: None, forge: LoopForge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The model, and the book as an operator's tool."""
    info = tmp_path / "site" / "book-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: book\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    custom_tools.installed.cache_clear()
    with serve(forge, port=free_port()) as base_url:
        ServedModel.objects.update_or_create(
            name=MODEL,
            defaults={
                "label": "Reader",
                "backend": ServedModel.Backend.OPENAI_COMPATIBLE,
                "upstream_name": MODEL,
                "base_url": base_url,
                "thinking_dialect": ServedModel.ThinkingDialect.ALWAYS,
                "context_tokens": WINDOW,
                "max_output_tokens": 4_096,
                "position": 1,
            },
        )
        seeds.seed()
        yield
    custom_tools.installed.cache_clear()


def read(tab: Tab, habit: Habit) -> Turn:
    question = f"You are one who {habit}. Read the book to its end. What was the password?"
    frames = tab.ask(question, model=MODEL, long_thinking=True, effort="high")
    assert frames[-1]["finish_reason"] == "stop", frames[-1]
    return Turn.objects.get(id=frames[-1]["turn"])


def answer(turn: Turn) -> str:
    last = turn.messages.filter(role=Message.Role.ASSISTANT).order_by("step").last()
    assert last is not None
    return "".join(part.text for part in last.parts.filter(kind="text"))


def notes(turn: Turn, kind: NoteKind) -> int:
    return turn.messages.filter(role=Message.Role.NOTE, kind=kind.value).count()


@pytest.mark.parametrize("habit", ["remembers", "copies"])
def test_a_fact_of_step_3_outlasts_five_compactions_over_http(
    habit: Habit, alice_tab: Tab, forge: LoopForge
) -> None:
    turn = read(alice_tab, habit)
    assert answer(turn) == f"It is {PASSWORD}."
    assert notes(turn, NoteKind.HANDOFF) >= 5
    assert all(asked.status == 200 for asked in forge.asked), "no request was too long"
    assert [fact.text for fact in Fact.objects.filter(turn=turn)] == [SECRET] * (habit == "remembers")
    _check_bill(turn)
    cached = sum(asked.cached_tokens for asked in forge.asked)
    assert cached > 0.6 * sum(asked.prompt_tokens for asked in forge.asked)


def test_requests_go_on_from_one_another_and_a_new_worker_would_send_the_same(
    alice_tab: Tab, forge: LoopForge
) -> None:
    turn = read(alice_tab, "remembers")
    sent = [body["messages"] for body in forge.bodies if body.get("tools")]
    _check_continuity(turn, sent)
    warm.shelf.take(turn.id, fence=0)
    transcript = resume.load(turn.id, fence=0).progress.transcript
    transcript.steps.pop()  # the answer to the last request
    transcript.notes = [note for note in transcript.notes if note.step <= transcript.steps[-1].number]
    assert [_said(message) for message in sent[-1]] == [
        (message.role.value, message.content, message.reasoning, [call.id for call in message.tool_calls])
        for message in kimi_messages.numbered(context.view(transcript))
    ]


def _check_bill(turn: Turn) -> None:
    """What the handoffs cost is on it, as calls on the side."""
    written = turn.messages.filter(role=Message.Role.NOTE, kind=NoteKind.HANDOFF.value).count()
    asides = turn.messages.filter(role=Message.Role.ASIDE, output_tokens__gt=0).count()
    assert asides >= written
    stored = sum(turn.messages.values_list("output_tokens", flat=True))
    assert UsageRecord.objects.get(hold=turn.hold).output_tokens == stored


def _check_continuity(turn: Turn, sent: list[list[dict[str, Any]]]) -> None:
    """Each request begins with all of the one before, except right after a compaction."""
    compactions = (NoteKind.HIDDEN.value, NoteKind.HANDOFF.value)
    changed_after = set(turn.messages.filter(kind__in=compactions).values_list("step", flat=True))
    assert len(sent) > 100
    for step, (before, now) in enumerate(pairwise(sent), start=1):
        if step not in changed_after:
            assert now[: len(before)] == before, step


def _said(message: dict[str, Any]) -> tuple[str, str, str, list[str]]:
    ids = [call["id"] for call in message.get("tool_calls") or ()]
    return message["role"], text(message), message.get("reasoning_content") or "", ids
