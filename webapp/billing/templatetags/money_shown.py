"""Money in pages that know it as nano-units."""

from decimal import Decimal

from django import template

from webapp.billing import pricing, subjects
from webapp.billing.models import Budget

register = template.Library()
SIGNS = {"USD": "$", "CNY": "¥"}


@register.filter
def nano(amount_nano: int | None, currency: str) -> str:
    """As `money` shows an amount; nothing for none."""
    if amount_nano is None:
        return ""
    amount = pricing.to_decimal(amount_nano)
    digits = 2 if amount == 0 or abs(amount) >= Decimal("0.1") else min(6, 1 - amount.adjusted())
    return f"{SIGNS.get(currency, currency + ' ')}{amount:,.{digits}f}"


@register.filter
def budget_owner(budget: Budget) -> str:
    return subjects.name_of(budget.scope, budget.subject)
