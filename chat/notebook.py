"""The notebook of a durable turn: its plan, facts, results, passages and artifacts are rows. See
agents.notebook for the port."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from agents.happenings import PlanLine
from agents.notebook import Fact, Found, Rollback, found_fact, is_taken_back, passage_number, rollback_of
from agents.tool import Effect, Tool, Trust
from agents.tools.memory import Recall, Remember
from agents.tools.plan import Plan
from agents.tools.rollback import Files
from agents.tools.rollback import Rollback as RollbackTool
from agents.transcript import NoteKind
from chat import fence as fences
from chat import own_loop, passages
from chat.models import Artifact, Message, Part, Passage, PlanItem, ToolRun, Turn
from chat.models import Fact as FactRow
from inference.schema import ToolCall


def tools_of(turn: Turn, notebook: "DatabaseNotebook", files: Files | None = None) -> list[Tool]:
    """The tools that work on the turn's notebook. `files` go back together with it."""
    return [
        Plan(notebook, needs_approval=turn.plan_needs_approval),
        Remember(notebook),
        Recall(notebook),
        RollbackTool(notebook, files),
    ]


def plan_of(turn_id: UUID) -> tuple[PlanLine, ...]:
    rows = PlanItem.objects.filter(turn=turn_id)
    return tuple(
        PlanLine(text=row.text, phase=row.phase, status=row.status, evidence=row.evidence) for row in rows
    )


def replace_plan(turn_id: UUID, lines: Sequence[PlanLine]) -> None:
    """Put these lines in the place of the whole plan."""
    rows = [
        PlanItem(
            turn_id=turn_id,
            position=position,
            phase=line.phase,
            text=line.text,
            status=line.status,
            evidence=list(line.evidence),
        )
        for position, line in enumerate(lines)
    ]
    with transaction.atomic():
        PlanItem.objects.filter(turn=turn_id).delete()
        PlanItem.objects.bulk_create(rows)


class DatabaseNotebook:
    """The `Notebook` of the turn that a worker holds at `fence`. Writes raise fence.TurnLost once another
    worker has taken over."""

    def __init__(self, turn_id: UUID, *, fence: int) -> None:
        self._turn_id = turn_id
        self._fence = fence

    async def plan(self) -> tuple[PlanLine, ...]:
        return await own_loop.database(plan_of, self._turn_id)

    async def write_plan(self, lines: Sequence[PlanLine]) -> None:
        await own_loop.database(self._write_plan, lines)

    async def facts(self) -> tuple[Fact, ...]:
        return await own_loop.database(self._facts)

    async def remember(self, text: str, *, evidence: Sequence[str], key: str) -> Fact:
        return await own_loop.database(self._remember, text, list(evidence), key)

    async def find(self, name: str) -> Found | None:
        return await own_loop.database(self._find, name)

    async def step_of(self, call_id: str) -> int | None:
        return await own_loop.database(self._step_of, call_id)

    async def rollbacks(self) -> tuple[Rollback, ...]:
        return await own_loop.database(self._rollbacks)

    async def effects_after(self, step: int) -> tuple[ToolCall, ...]:
        return await own_loop.database(self._effects_after, step)

    # ---- writes

    def _write_plan(self, lines: Sequence[PlanLine]) -> None:
        with transaction.atomic():
            fences.keep(self._turn_id, self._fence)
            replace_plan(self._turn_id, lines)

    def _remember(self, text: str, evidence: list[str], key: str) -> Fact:
        with transaction.atomic():
            fences.keep(self._turn_id, self._fence)
            row, _ = FactRow.objects.get_or_create(
                turn_id=self._turn_id, key=key, defaults={"text": text, "evidence": evidence}
            )
            number = FactRow.objects.filter(turn=self._turn_id, id__lte=row.id).count()
        return _fact(number, row)

    # ---- reads

    def _facts(self) -> tuple[Fact, ...]:
        rows = list(FactRow.objects.filter(turn=self._turn_id))
        taken_back = self._keys_taken_back() if rows else set()
        return tuple(
            _fact(number, row) for number, row in enumerate(rows, start=1) if row.key not in taken_back
        )

    def _keys_taken_back(self) -> set[str]:
        """The keys of calls that the model stands by no more, in this turn and those it goes on with."""
        keys: set[str] = set()
        for turn_id in self._turn_ids():
            if rollbacks := _rollbacks_of(turn_id):
                runs = ToolRun.objects.filter(turn=turn_id).values_list("key", "step")
                keys.update(key for key, step in runs if is_taken_back(step, rollbacks))
        return keys

    def _turn_ids(self) -> list[UUID]:
        """This turn and those it goes on with: their calls are in its view."""
        turn_ids: list[UUID] = []
        at: UUID | None = self._turn_id
        while at is not None:
            turn_ids.append(at)
            at = Turn.objects.values_list("continues", flat=True).get(id=at)
        return turn_ids

    def _rollbacks(self) -> tuple[Rollback, ...]:
        return _rollbacks_of(self._turn_id)

    def _step_of(self, call_id: str) -> int | None:
        runs = ToolRun.objects.filter(turn=self._turn_id, call_id=call_id)
        step = runs.values_list("step", flat=True).first()
        return None if step is None or is_taken_back(step, self._rollbacks()) else step

    def _effects_after(self, step: int) -> tuple[ToolCall, ...]:
        happened = Q(state=ToolRun.State.DONE) | Q(state=ToolRun.State.BEGUN)
        runs = ToolRun.objects.filter(happened, turn=self._turn_id, step__gt=step, effect=Effect.EXTERNAL)
        runs = runs.exclude(decision__in=(ToolRun.Decision.REFUSED, ToolRun.Decision.EXPIRED))
        return tuple(ToolCall(id=run.call_id, name=run.tool, arguments=run.arguments) for run in runs)

    def _find(self, name: str) -> Found | None:
        return self._result(name) or self._artifact(name) or self._passage(name) or self._fact_called(name)

    def _result(self, name: str) -> Found | None:
        results = Part.objects.filter(kind=Part.Kind.TOOL_RESULT, tool_call_id=name)
        part = results.filter(message__turn__in=self._turn_ids()).first()
        if part is None:
            return None
        return Found(name=name, title=part.tool_name, text=part.text, trust=self._trust_of(name))

    def _artifact(self, name: str) -> Found | None:
        row = Artifact.objects.filter(turn=self._turn_id, name=name).last()
        if row is None:
            return None
        return Found(name=name, title=row.media_type, text=row.text, trust=self._trust_of(row.call_id))

    def _passage(self, name: str) -> Found | None:
        number = passage_number(name)
        row = self._cited(number) if number else None
        if row is None:
            return None
        title = row.title or row.source
        return Found(name=f"[{number}]", title=title, text=row.text, trust=Trust(row.trust))

    def _cited(self, number: int) -> Passage | None:
        turn = Turn.objects.select_related("conversation").get(id=self._turn_id)
        return passages.visible(turn).filter(number=number).last()

    def _fact_called(self, name: str) -> Found | None:
        if not name.startswith("F"):
            return None
        rows = FactRow.objects.filter(turn=self._turn_id)
        facts: Iterable[Fact] = (_fact(number, row) for number, row in enumerate(rows, start=1))
        return next((found_fact(fact) for fact in facts if fact.id == name), None)

    def _trust_of(self, call_id: str) -> Trust:
        """As the call's result was labelled; one without a label is taken for a stranger's."""
        runs = ToolRun.objects.filter(turn__in=self._turn_ids(), call_id=call_id).exclude(trust="")
        return Trust(runs.values_list("trust", flat=True).last() or Trust.WEB)


def _rollbacks_of(turn_id: UUID) -> tuple[Rollback, ...]:
    notes = Message.objects.filter(turn=turn_id, role=Message.Role.NOTE, kind=NoteKind.ROLLBACK.value)
    return tuple(rollback_of(step=step, data=data) for step, data in notes.values_list("step", "data"))


def _fact(number: int, row: FactRow) -> Fact:
    return Fact(id=f"F{number}", text=row.text, evidence=tuple(row.evidence))
