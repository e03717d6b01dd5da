"""The money that a turn and its agents may spend together: set aside before each model call, counted after
it.

The turn at the top keeps the sums, changed by one conditional update each, so that calls at the same time
never exceed its limit: all together spend at most the limit and one call, the forced answer of the turn
itself. What a dead worker set aside is given back when its turn is driven again or ends.
"""

import time
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet, Sum

from agents import budget
from agents.budget import CallPrice, Grant
from agents.limits import Limit
from agents.store import BudgetExhausted
from chat import own_loop, rows
from chat.models import Turn
from chat.rows import Formula
from inference.schema import Usage
from webapp.billing import holds, pricing
from webapp.billing.pricing import Rates
from webapp.billing.refusals import DailyLimitReached, InsufficientFunds

# Said once a step, in SQL: the ORM would take longer to write it than the database to do it.
_TURNS = Turn._meta.db_table
_SET_ASIDE = (
    f"UPDATE {_TURNS} SET budget_reserved_nano = budget_reserved_nano - call_reserved_nano + %s, "
    "call_reserved_nano = %s WHERE id = %s AND fence = %s AND status = %s AND (max_cost_nano IS NULL "
    "OR max_cost_nano >= budget_spent_nano + budget_reserved_nano - call_reserved_nano + %s)"
)

Sleep = Callable[[float], Coroutine[Any, Any, None]]

LAST_ANSWER_TOKENS = 2_048  # of the one call beyond the limit
LOOK_AGAIN_S = 0.3
MOST_PATIENCE_S = 20.0
TRIES = 5


class CallLost(Exception):
    """Another worker holds the turn, or it has ended: nothing was set aside."""


class Crowded(Exception):
    """Calls in flight have set aside what this one needs: most of it comes back soon."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A model call to come, of a turn held at `fence`: the most it may need, what the turn has spent so far
    on tokens and on its tools, and how long the hold is to live."""

    fence: int
    rates: Rates
    spent: Usage
    fees_nano: int = 0
    max_input_tokens: int
    max_output_tokens: int
    ttl: timedelta


async def reserve(turn: Turn, call: Call, *, sleep: Sleep) -> Grant:
    """Set money aside for the call: in the turn's hold, and in the budget that it shares with its agents.

    Waits (by `sleep`) while only other calls in flight are in its way; an agent also while money of the
    account is held, most likely by those beside it. Raises BudgetExhausted, CallLost and
    InsufficientFunds.
    """
    gives_up_at = time.monotonic() + MOST_PATIENCE_S
    while True:
        may_wait = time.monotonic() < gives_up_at
        try:
            return await own_loop.database(reserve_now, turn, call, may_wait=may_wait)
        except Crowded:
            pass
        except InsufficientFunds as fault:
            if turn.spawned_by_id is None or not fault.held_nano or not may_wait:
                raise
        await sleep(LOOK_AGAIN_S)


def reserve_now(turn: Turn, call: Call, *, may_wait: bool = False) -> Grant:
    """As `reserve`; raises Crowded instead of waiting."""
    if call.rates.is_free and not call.fees_nano:
        return Grant(max_tokens=call.max_output_tokens)
    try:
        return _covered(turn, call, call.max_output_tokens, may_wait=may_wait)
    except InsufficientFunds as fault:
        if turn.spawned_by_id is not None and fault.held_nano and may_wait:
            raise
        # Less than it wants is better than no word at all, once nothing is given back any more.
        granted = _affordable(turn, call, fault)
        if granted is None:
            raise
        covered = _covered(turn, call, granted.max_tokens, may_wait=may_wait)
        return replace(granted, max_tokens=covered.max_tokens) if granted.is_final else covered


def _affordable(turn: Turn, call: Call, fault: InsufficientFunds) -> Grant | None:
    """What the call gets of what is left in the account, or of the day's money; None: not enough to say
    anything."""
    most_nano = holds.amount_of(turn.hold_id) + fault.available_nano
    spent_nano = call.fees_nano + pricing.cost_nano(call.rates, call.spent)
    granted = budget.grant(most_nano - spent_nano, _price(call), wanted=call.max_output_tokens)
    is_daily = isinstance(fault, DailyLimitReached)
    return granted and replace(granted, limit=Limit.DAILY_COST if is_daily else Limit.FUNDS)


def _covered(turn: Turn, call: Call, max_output_tokens: int, *, may_wait: bool) -> Grant:
    call = replace(call, max_output_tokens=max_output_tokens)
    with transaction.atomic():
        granted = _reserve(turn, call, may_wait=may_wait)
        most_nano = call.fees_nano + pricing.most_nano(
            call.rates,
            spent=call.spent,
            max_input_tokens=call.max_input_tokens,
            max_output_tokens=granted.max_tokens,
        )
        holds.cover(turn.hold_id, most_nano, ttl=call.ttl)
    return granted


def spent_by_agents(turn: Turn) -> int | None:
    """What the turn's agents have cost so far; None: it has none."""
    agents = Turn.objects.filter(spawned_by=turn.id)
    spent: int | None = agents.aggregate(sum=Sum("budget_spent_nano"))["sum"]
    return spent


def settle(turn: Turn, cost_nano: int) -> None:
    """Count what the turn's last call cost, and give back what was set aside for it. Call it in the
    transaction that keeps the reply; with 0 when the turn ends."""
    with settled(turn, cost_nano) as sums:
        if sums:
            rows.update(Turn, {"id": turn.id}, sums)


@contextmanager
def settled(turn: Turn, cost_nano: int) -> Generator[Mapping[str, Formula], None, None]:
    """As `settle`, for whoever writes the turn's row anyhow: the sums that are to be written with the rest.
    Those of an agent stand in two rows, which are written here, in one transaction with what is written
    within."""
    if turn.spawned_by_id is None:
        yield {
            "budget_reserved_nano": Formula("budget_reserved_nano - call_reserved_nano"),
            "call_reserved_nano": Formula("0"),
            "budget_spent_nano": Formula("budget_spent_nano + %s", (cost_nano,)),
        }
        return
    with transaction.atomic():
        _settle_agent(turn, turn.spawned_by_id, cost_nano)
        yield {}


def _settle_agent(turn: Turn, top_id: UUID, cost_nano: int) -> None:
    row = Turn.objects.filter(id=turn.id)
    set_aside = row.values_list("call_reserved_nano", flat=True).get()
    if not set_aside and not cost_nano:
        return
    row.update(call_reserved_nano=0, budget_spent_nano=F("budget_spent_nano") + cost_nano)
    Turn.objects.filter(id=top_id).update(
        budget_reserved_nano=F("budget_reserved_nano") - set_aside,
        budget_spent_nano=F("budget_spent_nano") + cost_nano,
    )


def spend(turn: Turn, fee_nano: int) -> None:
    """Count what a tool cost. What is set aside for a model call stays: one may be under way beside it."""
    for turn_id in (turn.id, turn.spawned_by_id):
        if turn_id is not None and fee_nano:
            Turn.objects.filter(id=turn_id).update(budget_spent_nano=F("budget_spent_nano") + fee_nano)


def _reserve(turn: Turn, call: Call, *, may_wait: bool) -> Grant:
    price = _price(call)
    granted: Grant | None = Grant(max_tokens=call.max_output_tokens)
    for _ in range(TRIES):  # others set aside and give back meanwhile
        assert granted is not None
        if _set_aside(turn, call.fence, price.most_nano(granted.max_tokens)):
            return granted
        granted = _fitting(turn, price, call.max_output_tokens, may_wait=may_wait)
        if granted is None:
            return _last_answer(turn, call, price)
    raise Crowded


def _price(call: Call) -> CallPrice:
    most = pricing.most_nano(call.rates, max_input_tokens=call.max_input_tokens, max_output_tokens=0)
    return CallPrice(input_nano=most, output_per_million_nano=call.rates.output_nano)


def _fitting(turn: Turn, price: CallPrice, wanted: int, *, may_wait: bool) -> Grant | None:
    """What the call gets of what is left now. Raises Crowded where it would get more once calls in flight
    have ended."""
    limit, spent, reserved = _sums(turn.spawned_by_id or turn.id)
    others = reserved - _own(turn.id)
    now, soon = limit - spent - others, limit - spent
    granted = budget.grant(now, price, wanted=wanted)
    if may_wait and others and (granted is None or granted.is_final):
        later = budget.grant(soon, price, wanted=wanted)
        if later is not None and not later.is_final:
            raise Crowded
    return granted


def _last_answer(turn: Turn, call: Call, price: CallPrice) -> Grant:
    """The turn at the top answers with what it knows, once beyond its limit; an agent has no such call."""
    tokens = min(LAST_ANSWER_TOKENS, call.max_output_tokens)
    if turn.spawned_by_id is None:
        within = _held(turn.id, call.fence).filter(budget_spent_nano__lte=F("max_cost_nano"))
        if _move(within, price.most_nano(tokens)):
            return Grant(max_tokens=tokens, is_final=True)
    raise BudgetExhausted("The budget of this turn and its agents is spent.")


def _set_aside(turn: Turn, fence: int, need_nano: int) -> bool:
    """Put the call's need in the place of what the turn had set aside before; False when it does not fit."""
    if turn.spawned_by_id is None:
        key = Turn._meta.pk.get_db_prep_value(turn.id, connection)
        with connection.cursor() as cursor:
            cursor.execute(
                _SET_ASIDE, [need_nano, need_nano, key, fence, Turn.Status.RUNNING.value, need_nano]
            )
            if cursor.rowcount:
                return True
        _check(turn.id, fence)
        return False
    return _set_aside_for_agent(turn, turn.spawned_by_id, fence, need_nano)


def _set_aside_for_agent(turn: Turn, top_id: UUID, fence: int, need_nano: int) -> bool:
    before = _own(turn.id)
    more = need_nano - before
    fits = Q(max_cost_nano=None) | Q(
        max_cost_nano__gte=F("budget_spent_nano") + F("budget_reserved_nano") + more
    )
    with transaction.atomic():
        if not _held(turn.id, fence).filter(call_reserved_nano=before).update(call_reserved_nano=need_nano):
            raise CallLost(f"turn {turn.id} is no more at fence {fence}")
        top = Turn.objects.filter(fits, id=top_id)
        if top.update(budget_reserved_nano=F("budget_reserved_nano") + more):
            return True
        transaction.set_rollback(True)
    return False


def _move(row: "QuerySet[Turn]", need_nano: int) -> bool:
    reserved = F("budget_reserved_nano") - F("call_reserved_nano") + need_nano
    return row.update(budget_reserved_nano=reserved, call_reserved_nano=need_nano) == 1


def _held(turn_id: UUID, fence: int) -> "QuerySet[Turn]":
    return Turn.objects.filter(id=turn_id, fence=fence, status=Turn.Status.RUNNING)


def _check(turn_id: UUID, fence: int) -> None:
    if not _held(turn_id, fence).exists():
        raise CallLost(f"turn {turn_id} is no more at fence {fence}")


def _own(turn_id: UUID) -> int:
    return Turn.objects.values_list("call_reserved_nano", flat=True).get(id=turn_id)


def _sums(top_id: UUID) -> tuple[int, int, int]:
    """The limit of the turn at the top, what is spent, what is set aside."""
    columns = ("max_cost_nano", "budget_spent_nano", "budget_reserved_nano")
    limit, spent, reserved = Turn.objects.values_list(*columns).get(id=top_id)
    return limit or 0, spent, reserved
