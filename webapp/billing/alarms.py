"""Alarms about money: a soft budget crossed, spending that is fast beside the account's own past, sums that
do not match. Each is a row for the administration and a mail to those whose money it is."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import Sum
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from webapp.accounts.models import ApiKey, Membership, Project, Role, User
from webapp.billing import budgets, pricing, subjects
from webapp.billing.models import Account, Alarm, Budget, LedgerEntry, Proof, Scope

logger = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
PAST = timedelta(days=7)
QUIET = timedelta(hours=6)  # between two alarms of one account


def check_budgets() -> int:
    """Warn once a period of each soft limit that is crossed: how many."""
    num_raised = 0
    for budget in Budget.objects.filter(soft_nano__isnull=False):
        state = budgets.state(budget)
        began = budgets.period_began(budget.period)
        if not state.is_crossed or budget.warned_on == began:
            continue
        # By a conditional update: of two checks at once one warns.
        if Budget.objects.filter(pk=budget.pk).exclude(warned_on=began).update(warned_on=began) or (
            Budget.objects.filter(pk=budget.pk, warned_on=None).update(warned_on=began)
        ):
            whose = subjects.name_of(budget.scope, budget.subject)
            values = {
                "whose": whose,
                "spent": pricing.to_decimal(state.spent_nano),
                "soft": pricing.to_decimal(budget.soft_nano or 0).normalize(),
                "currency": budget.currency,
            }
            text = _("%(whose)s: %(spent)s of the soft budget of %(soft)s %(currency)s are spent.")
            _raise(Alarm.Kind.SOFT_BUDGET, whose, text % values, people=_people_of(budget))
            num_raised += 1
    return num_raised


def check_velocity(*, now: datetime | None = None) -> int:
    """Warn where the last hour cost many times the hours of the week before: how many."""
    now = now or timezone.now()
    active = Account.objects.filter(spent_on__gte=timezone.localdate(now) - timedelta(days=1))
    return sum(_check_velocity(account, now) for account in active.select_related("user", "team"))


def raise_proof(proof: Proof) -> None:
    wrong = "; ".join(claim["name"] for claim in proof.claims if claim["num_wrong"])
    text = _("The proof of sums found what does not match: %(wrong)s.") % {"wrong": wrong}
    _raise(Alarm.Kind.PROOF, "", text, people=User.objects.filter(is_superuser=True, is_active=True))


def _check_velocity(account: Account, now: datetime) -> bool:
    recent_nano = _spent(account, now - HOUR, now)
    floor_nano = pricing.to_nano(settings.VELOCITY_FLOOR)
    if recent_nano <= floor_nano:  # most accounts: their week need not be added up each minute
        return False
    usual_nano = _spent(account, now - HOUR - PAST, now - HOUR) // (PAST // HOUR)
    most_nano = max(settings.VELOCITY_TIMES * usual_nano, floor_nano)
    if recent_nano <= most_nano:
        return False
    if account.alarms.filter(kind=Alarm.Kind.VELOCITY, at__gt=now - QUIET).exists():
        return False
    values = {
        "whose": account.owner,
        "recent": pricing.to_decimal(recent_nano),
        "usual": pricing.to_decimal(usual_nano),
        "currency": account.currency,
    }
    text = _(
        "%(whose)s spent %(recent)s %(currency)s in the last hour; %(usual)s is what an hour of the week "
        "before came to. If nobody means to, revoke the key that does it."
    )
    _raise(Alarm.Kind.VELOCITY, str(account.owner), text % values, people=_people(account), account=account)
    return True


def _spent(account: Account, since: datetime, until: datetime) -> int:
    entries = account.ledger.filter(kind=LedgerEntry.Kind.USAGE, created_at__gte=since, created_at__lt=until)
    return -(entries.aggregate(sum=Sum("amount_nano"))["sum"] or 0)


def _raise(
    kind: str, subject: str, text: str, *, people: Iterable[User], account: Account | None = None
) -> None:
    Alarm.objects.create(kind=kind, subject=subject[:150], text=text[:400], account=account)
    logger.warning("alarm: %s", kind)
    for person in people:
        with translation.override(person.language or settings.LANGUAGE_CODE):
            title = _("Kimi K2 Thinking: about your money")
        # A mail server that is away takes nothing from the alarm, which is a row.
        send_mail(title, text, None, [person.email], fail_silently=True)


def _people(account: Account) -> Iterable[User]:
    if account.team_id is not None:
        return _keepers(account.team_id)
    return [account.user] if account.user else []


def _keepers(team_id: UUID) -> Iterable[User]:
    """Who looks after a team's money."""
    roles = (Role.OWNER, Role.ADMIN, Role.BILLING)
    return [
        one.user for one in Membership.objects.filter(team_id=team_id, role__in=roles).select_related("user")
    ]


def _people_of(budget: Budget) -> Iterable[User]:
    if budget.scope == Scope.TEAM:
        return _keepers(UUID(budget.subject))
    if budget.scope == Scope.PROJECT:
        project = Project.objects.filter(pk=budget.subject).first()
        return _keepers(project.team_id) if project else ()
    if budget.scope == Scope.KEY:
        return User.objects.filter(api_keys__in=ApiKey.objects.filter(pk=budget.subject))
    return User.objects.filter(pk=budget.subject)
