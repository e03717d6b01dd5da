"""Which price holds for a model at a moment. Prices are dated: a later one never changes what was billed."""

from datetime import datetime

from webapp.billing.models import Price
from webapp.billing.pricing import Rates
from webapp.catalog.models import ServedModel


class PriceMissing(Exception):
    """The model has no price in this currency yet; its text is fit to show to a user."""

    code = "price_missing"


def price_for(model: ServedModel, currency: str, at: datetime) -> Price:
    """The newest price begun by `at`. Raises PriceMissing: nothing is given out unpriced, not even for 0."""
    begun = Price.objects.filter(model=model, currency=currency, valid_from__lte=at)
    price = begun.order_by("-valid_from").first()
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
