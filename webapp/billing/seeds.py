"""The price list of a fresh platform. A model that has a price keeps it: prices are the operator's."""

from datetime import UTC, datetime
from decimal import Decimal

from django.db import transaction

from webapp.billing.models import Currency, Price
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
