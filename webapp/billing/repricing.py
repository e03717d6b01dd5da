"""What past usage would have come to at other prices. A dry run: nothing that was billed ever changes."""

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Q

from inference.schema import Usage
from webapp.billing import figures, pricing
from webapp.billing.figures import Span
from webapp.billing.pricing import Rates
from webapp.catalog.models import ServedModel


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """Exact but for the rounding up of each single request, which is less than a nano-unit each."""

    currency: str
    num_records: int
    billed: Decimal  # without the fees of tools
    would_be: Decimal

    @property
    def difference(self) -> Decimal:
        return self.would_be - self.billed


def dry_run(model: ServedModel, rates: Rates, *, currency: str, span: Span) -> DryRun:
    lines = figures.total(span, where=Q(model=model, currency=currency))
    if not lines:
        return DryRun(currency=currency, num_records=0, billed=Decimal(0), would_be=Decimal(0))
    (line,) = lines
    usage = Usage(
        input_uncached_tokens=line.input_uncached_tokens,
        input_cached_tokens=line.input_cached_tokens,
        output_tokens=line.output_tokens,
        reasoning_tokens=line.reasoning_tokens,
    )
    return DryRun(
        currency=currency,
        num_records=line.num_records,
        billed=pricing.to_decimal(line.cost_nano - line.fees_nano),
        would_be=pricing.to_decimal(pricing.cost_nano(rates, usage)),
    )
