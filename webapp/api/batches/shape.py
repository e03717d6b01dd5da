"""A batch as OpenAI's API writes it."""

from typing import Any

from django.db.models import Count, Q, Sum

from webapp.api.models import Batch
from webapp.billing.models import UsageRecord

_MOMENTS = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


def of(batch: Batch) -> dict[str, Any]:
    counts = batch.lines.aggregate(
        total=Count("id"),
        completed=Count("id", filter=Q(status_code=200)),
        failed=Count("id", filter=Q(status_code__gt=200)),
    )
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": batch.status,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": int(batch.created_at.timestamp()),
        "expires_at": int(batch.expires_at.timestamp()),
        **{f"{status}_at": batch.moments.get(status) for status in _MOMENTS},
        "request_counts": counts,
        "usage": _usage(batch),
        "metadata": batch.metadata,
    }


def _usage(batch: Batch) -> dict[str, Any]:
    """As it was billed."""
    billed = UsageRecord.objects.filter(
        user=batch.user, reference__in=batch.lines.exclude(request_id="").values("request_id")
    )
    names = ("input_uncached_tokens", "input_cached_tokens", "output_tokens", "reasoning_tokens")
    sums = billed.aggregate(**{name: Sum(name) for name in names})
    uncached, cached, output, reasoning = (sums[name] or 0 for name in names)
    return {
        "input_tokens": uncached + cached,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": uncached + cached + output,
    }
