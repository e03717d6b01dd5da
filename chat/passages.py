"""Which passages a turn's answer may cite: its own, and where documents were attached, those of the turns
before it on its branch, whose numbers the model has read."""

from uuid import UUID

from django.db.models import Case, F, Max, Q, QuerySet, When

from chat import branches
from chat.models import Passage, Turn, TurnDocument


def visible(turn: Turn) -> "QuerySet[Passage]":
    """By number; where two have one, the turn's own is the last."""
    chain, last = _before(turn)
    own = Q(turn=turn.id)
    found = Passage.objects.filter(own | Q(turn__in=chain, number__lte=last) if last else own)
    return found.order_by("number", Case(When(turn=turn.id, then=1), default=0))


def last_before(turn: Turn) -> int:
    """The number that the turn's own passages begin behind. Never changes once the turn has begun."""
    return _before(turn)[1]


def last_through(parent: Turn | None) -> int:
    """The same for a turn yet to be made that hangs on this one."""
    chain = [*_ancestors(parent), parent.id] if parent else []
    return _last(Passage.objects.filter(turn__in=chain))


def chain_of(turn: Turn) -> list[UUID]:
    """The turns whose documents this one has, oldest first: itself, and those before it on its branch. An
    agent has those of the turn it works for."""
    top = _top(turn)
    return [*_ancestors(top), top.id]


def _before(turn: Turn) -> tuple[list[UUID], int]:
    chain = chain_of(turn)
    if not TurnDocument.objects.filter(turn__in=chain).exists():
        return [], 0
    if turn.spawned_by_id is None:
        chain.remove(turn.id)
        return chain, _last(Passage.objects.filter(turn__in=chain))
    # Of the turn it works for only what that began with: it goes on finding more.
    shown = TurnDocument.objects.filter(turn=turn.spawned_by_id, num_passages__gt=0)
    last = shown.aggregate(last=Max(F("first_passage") + F("num_passages")))["last"]
    return chain, last - 1 if last else _last(Passage.objects.filter(turn__in=chain[:-1]))


def _top(turn: Turn) -> Turn:
    return Turn.objects.get(id=turn.spawned_by_id) if turn.spawned_by_id else turn


def _ancestors(turn: Turn | None) -> list[UUID]:
    if turn is None or turn.parent_id is None:
        return []
    return branches.path(branches.family(turn.conversation), turn.parent_id)


def _last(found: "QuerySet[Passage]") -> int:
    return found.aggregate(last=Max("number"))["last"] or 0
