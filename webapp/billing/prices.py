"""Which price holds for a model at a moment. Prices are dated: a later one never changes what was billed."""

from datetime import datetime

from django.db import connection

from webapp.billing import quick_rows
from webapp.billing.models import Price
from webapp.billing.pricing import Rates
from webapp.catalog.models import ServedModel

_NEWEST = (
    f"SELECT id FROM {Price._meta.db_table} WHERE model_id = %s AND currency = %s AND valid_from <= %s"
    " ORDER BY valid_from DESC LIMIT 1"
)


class PriceMissing(Exception):
    """The model has no price in this currency yet; its text is fit to show to a user."""

    code = "price_missing"


def price_for(model: ServedModel, currency: str, at: datetime) -> Price:
    """The newest price begun by `at`. Raises PriceMissing: nothing is given out unpriced, not even for 0."""
    field = Price._meta.get_field("valid_from")
    values = [model.pk, currency, field.get_db_prep_value(at, connection)]
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, values)
        found = cursor.fetchone()
    price = quick_rows.read(Price, found[0]) if found else None
    if price is None:
        raise PriceMissing(
            f"{model.label} has no price in {currency}. An administrator can add one under Prices (0: free)."
        )
    return price


def rates_of(price: Price) -> Rates:
    return Rates.per_million(
        uncached=price.input_per_million,
        cached=price.cached_input_per_million,
        output=price.output_per_million,
    )
