"""What is kept of a call beside its bill: its answer, where it has a key to be asked for again, and how much
of it was delivered, for as long as it runs.
"""

from typing import ClassVar

from django.db import models

from webapp.accounts.models import ApiKey
from webapp.billing.models import Hold


class KeyedCall(models.Model):
    """A call that was made under an Idempotency-Key, and its whole answer once there is one. One whose lease
    ran out died with its process, and may be made again.
    """

    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+")
    route = models.CharField(max_length=100)
    name = models.CharField(max_length=255)
    body_hash = models.CharField(max_length=64)
    lease_until = models.DateTimeField()
    fence = models.PositiveIntegerField(default=1)
    content_type = models.CharField(max_length=60, blank=True)
    answer = models.BinaryField(null=True, blank=True)  # compressed
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("api_key", "route", "name"), name="one_call_of_a_key"),
        ]

    def __str__(self) -> str:
        return f"{self.route} {self.name}"


class Delivered(models.Model):
    """What of a stream went out so far, as its bill should its process die. It goes with the settlement."""

    hold = models.OneToOneField(Hold, on_delete=models.CASCADE, primary_key=True, related_name="+")
    reference = models.CharField(max_length=64)
    input_uncached_tokens = models.PositiveBigIntegerField(default=0)
    input_cached_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)
    lease_until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.reference
