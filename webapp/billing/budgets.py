"""Budgets of keys, users, projects and teams: what may be spent in a day or a month.

A hold is counted in each budget it falls under, in its own transaction and by a conditional update: any
number of callers together never cross a hard one. A budget that is made later counts the holds after it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Case, F, Q, Value, When
from django.utils import timezone

from webapp.accounts.models import ApiKey, Project, User
from webapp.billing import pricing
from webapp.billing.models import Budget, Hold, Scope

Named = tuple[str, str]  # a scope and whose


@dataclass(frozen=True, kw_only=True)
class State:
    """A budget as it stands: `left_nano` is None without a hard limit."""

    budget: Budget
    spent_nano: int
    renews_at: datetime

    @property
    def left_nano(self) -> int | None:
        if self.budget.hard_nano is None:
            return None
        return max(self.budget.hard_nano - self.spent_nano - self.budget.held_nano, 0)

    @property
    def is_crossed(self) -> bool:
        """Of the soft limit."""
        return self.budget.soft_nano is not None and self.spent_nano >= self.budget.soft_nano


class BudgetIsSpent(Exception):
    """This budget does not cover what is to be held."""

    def __init__(self, state: State) -> None:
        super().__init__(str(state.budget))
        self.state = state


def scopes_of(user: User, *, api_key: ApiKey | None = None, project: Project | None = None) -> list[Named]:
    """Everything that what this caller spends is counted under."""
    scopes: list[Named] = [(Scope.USER, str(user.pk))]
    if api_key is not None:
        scopes.append((Scope.KEY, str(api_key.pk)))
    if project is not None:
        scopes += [(Scope.PROJECT, str(project.pk)), (Scope.TEAM, str(project.team_id))]
    return scopes


def standing(scopes: Iterable[Named], *, currency: str) -> list[Budget]:
    """The budgets of these scopes, in the order in which their rows are locked."""
    if not _exist(Budget._meta.db_table):
        return []
    of_any = Q(pk=None)
    for scope, subject in scopes:
        of_any |= Q(scope=scope, subject=subject)
    return list(Budget.objects.filter(of_any, currency=currency).order_by("pk"))


def of_hold(hold_id: UUID) -> list[Budget]:
    if not _exist(_LINKS._meta.db_table):
        return []
    links = _LINKS.objects.filter(hold_id=hold_id)
    return list(Budget.objects.filter(pk__in=links.values("budget_id")).order_by("pk"))


def _exist(table: str) -> bool:
    """Most platforms have none: the dear question is asked where there are some."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")
        return cursor.fetchone() is not None


def link(hold: Hold, budgets: Sequence[Budget]) -> None:
    if budgets:
        hold.budgets.add(*budgets)


def reserve(budgets: Iterable[Budget], amount_nano: int) -> None:
    """Hold as much more (less, when negative) of each, or raise BudgetIsSpent. Call it inside the transaction
    that holds it of the account."""
    for budget in budgets if amount_nano else ():
        began = period_began(budget.period)
        values: list[Any] = [amount_nano, budget.pk]
        statement = _MOVE
        if amount_nano > 0:
            statement += _WITHIN
            values += [_day(began), amount_nano]
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            if cursor.rowcount == 0:
                raise BudgetIsSpent(state(Budget.objects.get(pk=budget.pk)))


def spend(budgets: Sequence[Budget], charged_nano: int, *, held_nano: int = 0) -> None:
    """Count what was billed, and what of it was held. Call it inside the transaction that bills it."""
    for budget in budgets if charged_nano or held_nano else ():
        began = period_began(budget.period)
        spent = Case(When(period_began=began, then=F("spent_nano")), default=Value(0))
        Budget.objects.filter(pk=budget.pk).update(
            spent_nano=spent + charged_nano, held_nano=F("held_nano") - held_nano, period_began=began
        )


def state(budget: Budget) -> State:
    began = period_began(budget.period)
    spent_nano = budget.spent_nano if budget.period_began == began else 0
    return State(budget=budget, spent_nano=spent_nano, renews_at=_end(budget.period, began))


def set_for(
    scope: str, subject: str, *, period: str, currency: str, soft: Decimal | None, hard: Decimal | None
) -> Budget | None:
    """Both None take the budget away, unless something is held under it: then it stays, without limits."""
    limits = {"soft_nano": _nano(soft), "hard_nano": _nano(hard)}
    where = {"scope": scope, "subject": subject, "period": period, "currency": currency}
    budget = Budget.objects.filter(**where).first()
    if budget is None:
        return None if soft is None and hard is None else Budget.objects.create(**where, **limits)
    budget.soft_nano, budget.hard_nano = limits["soft_nano"], limits["hard_nano"]
    budget.save(update_fields=["soft_nano", "hard_nano"])
    return budget


def period_began(period: str) -> date:
    today = timezone.localdate()
    return today if period == Budget.Period.DAY else today.replace(day=1)


def _end(period: str, began: date) -> datetime:
    days = 1 if period == Budget.Period.DAY else 32
    after = began + timedelta(days=days)
    first = after if period == Budget.Period.DAY else after.replace(day=1)
    return timezone.make_aware(datetime.combine(first, datetime.min.time()))


def _nano(amount: Decimal | None) -> int | None:
    return None if amount is None else pricing.to_nano(amount)


def _day(day: date) -> object:
    return Budget._meta.get_field("period_began").get_db_prep_value(day, connection)


_LINKS = Hold.budgets.through
_MOVE = f"UPDATE {Budget._meta.db_table} SET held_nano = held_nano + %s WHERE id = %s"
_WITHIN = (
    " AND (hard_nano IS NULL OR hard_nano >="
    " CASE WHEN period_began = %s THEN spent_nano ELSE 0 END + held_nano + %s)"
)
