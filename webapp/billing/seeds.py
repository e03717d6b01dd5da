"""The price list of a fresh platform. A model that has a price keeps it: prices are the operator's."""

from datetime import UTC, datetime
from decimal import Decimal

from django.db import transaction

from webapp.billing.models import Currency, Plan, Price
from webapp.catalog.models import ServedModel

BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)
FREE = ("0", "0", "0")

# input, cached input, output per million tokens
LIST_PRICES = {
    ("kimi-k2-thinking", Currency.CNY): ("4", "1", "16"),
    ("kimi-k2-thinking-turbo", Currency.CNY): ("8", "1", "58"),
    ("kimi-k2-thinking", Currency.USD): ("0.60", "0.15", "2.50"),
    ("kimi-k2-thinking-turbo", Currency.USD): ("1.15", "0.15", "8.00"),
}


def seed() -> int:
    """Give every model that has no price in a currency its list price, or 0: how many were added.

    A local model costs nothing by the token; what another provider asks is for the operator to say.
    """
    with transaction.atomic():
        wanted = [(model, currency) for model in ServedModel.objects.all() for currency in Currency]
        return sum(_ensure(model, currency) for model, currency in wanted)


def _ensure(model: ServedModel, currency: Currency) -> bool:
    if Price.objects.filter(model=model, currency=currency).exists():
        return False
    uncached, cached, output = LIST_PRICES.get((model.name, currency), FREE)
    Price.objects.create(
        model=model,
        currency=currency,
        input_per_million=Decimal(uncached),
        cached_input_per_million=Decimal(cached),
        output_per_million=Decimal(output),
        valid_from=BEGINNING,
    )
    return True


# The tiers that Moonshot publishes: top-ups in USD; then at once, requests and tokens a minute, tokens a day.
TIERS = {
    "Tier 0": ("1", 1, 3, 500_000, 1_500_000),
    "Tier 1": ("10", 50, 200, 2_000_000, None),
    "Tier 2": ("20", 100, 500, 3_000_000, None),
    "Tier 3": ("100", 200, 5_000, 3_000_000, None),
    "Tier 4": ("1000", 400, 5_000, 4_000_000, None),
    "Tier 5": ("3000", 1_000, 10_000, 5_000_000, None),
}


def seed_plans(*, by_top_up: bool) -> int:
    """The published tiers as plans, to be chosen for an account or, `by_top_up`, reached by what it paid in:
    how many were added. A plan that is there keeps its limits."""
    num_added = 0
    for name, (top_up, concurrency, rpm, tpm, tpd) in TIERS.items():
        _plan, is_new = Plan.objects.get_or_create(
            name=name,
            defaults={
                "from_top_up": Decimal(top_up) if by_top_up else None,
                "concurrency": concurrency,
                "requests_per_minute": rpm,
                "tokens_per_minute": tpm,
                "tokens_per_day": tpd,
            },
        )
        num_added += is_new
    return num_added
