"""How much of each stream has gone out, written down as it goes: a stream whose process dies is billed for
that, which is at most a second less than its client saw.
"""

import logging
from datetime import timedelta
from uuid import UUID

from django.db import transaction

from inference.schema import FinishReason, Usage
from webapp import database_clock
from webapp.api.models import Delivered
from webapp.billing import holds
from webapp.billing.models import UsageRecord
from webapp.database_clock import FromNow

logger = logging.getLogger(__name__)

# Shorter than a hold lives, which else would be given back unbilled before.
LIVES_FOR = timedelta(seconds=30)


def note(hold_id: UUID, *, reference: str, usage: Usage) -> None:
    """So much of the stream is delivered now."""
    row = Delivered(
        hold_id=hold_id,
        reference=reference,
        input_uncached_tokens=usage.input_uncached_tokens,
        input_cached_tokens=usage.input_cached_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        lease_until=database_clock.now() + LIVES_FOR,
    )
    changing = [field.name for field in Delivered._meta.fields if not field.primary_key]
    Delivered.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["hold"], update_fields=changing
    )


def drop(hold_id: UUID) -> None:
    """The stream is settled."""
    Delivered.objects.filter(hold_id=hold_id).delete()


def settle_abandoned() -> int:
    """Bill the streams whose processes died: how many. Safe to run from several sweeps at once."""
    abandoned = Delivered.objects.filter(lease_until__lt=FromNow())
    ids = list(abandoned.values_list("hold_id", flat=True)[:500])
    return sum(_settle(hold_id) for hold_id in ids)


def _settle(hold_id: UUID) -> bool:
    with transaction.atomic():
        row = Delivered.objects.select_for_update().filter(hold_id=hold_id, lease_until__lt=FromNow()).first()
        if row is None:
            return False
        holds.settle(
            hold_id,
            usage=Usage(
                input_uncached_tokens=row.input_uncached_tokens,
                input_cached_tokens=row.input_cached_tokens,
                output_tokens=row.output_tokens,
                reasoning_tokens=row.reasoning_tokens,
            ),
            source=UsageRecord.Source.API,
            reference=row.reference,
            finish_reason=FinishReason.CANCELLED.value,
            is_estimated=True,
        )
        row.delete()
    logger.warning("request %s: its process died, billed what was delivered", row.reference)
    return True
