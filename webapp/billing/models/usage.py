"""What was used, request by request, and summed up by the hour."""

from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.accounts.append_only import AppendOnly
from webapp.accounts.models import ApiKey, Project, User
from webapp.billing.models.money import Currency, Hold, Price
from webapp.catalog.models import ServedModel


class UsageRecordQuerySet(models.QuerySet["UsageRecord"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class UsageRecord(AppendOnly):
    """What one request or turn used, with the price it was billed at. Never edited."""

    class Source(models.TextChoices):
        CHAT = "chat", _("Chat")
        API = "api", _("API")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="usage_records")
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="usage_records"
    )
    project = models.ForeignKey(
        Project, on_delete=models.SET_NULL, null=True, blank=True, related_name="usage_records"
    )
    model = models.ForeignKey(ServedModel, on_delete=models.PROTECT, related_name="usage_records")
    source = models.CharField(_("source"), max_length=4, choices=Source)
    hold = models.OneToOneField(Hold, on_delete=models.PROTECT, related_name="usage_record")
    reference = models.CharField(_("turn or request"), max_length=64, db_index=True)
    finish_reason = models.CharField(_("finish reason"), max_length=12)
    input_uncached_tokens = models.PositiveBigIntegerField(_("input tokens"), default=0)
    input_cached_tokens = models.PositiveBigIntegerField(_("cached input tokens"), default=0)
    output_tokens = models.PositiveBigIntegerField(_("output tokens"), default=0)
    reasoning_tokens = models.PositiveBigIntegerField(_("of it reasoning"), default=0)
    num_steps = models.PositiveIntegerField(_("steps"), default=1)
    num_tool_calls = models.PositiveIntegerField(_("tool calls"), default=0)
    first_token_ms = models.PositiveIntegerField(_("ms to the first token"), null=True, blank=True)
    duration_ms = models.PositiveBigIntegerField(_("ms in all"), null=True, blank=True)
    is_estimated = models.BooleanField(
        _("estimated"),
        default=False,
        help_text=_("Cut before its backend could count: tokens are estimated from text."),
    )
    price = models.ForeignKey(Price, on_delete=models.PROTECT, null=True, related_name="+")
    currency = models.CharField(_("currency"), max_length=3, choices=Currency)
    cost_nano = models.BigIntegerField(_("cost"))
    fees_nano = models.BigIntegerField(_("of it for tools"), default=0)
    created_at = models.DateTimeField(_("time"), auto_now_add=True, db_index=True)

    objects: ClassVar[models.Manager["UsageRecord"]] = UsageRecordQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name = _("usage record")
        verbose_name_plural = _("usage")
        indexes: ClassVar = [
            models.Index(fields=("user", "created_at"), name="usage_by_user"),
            # All that the dearest turns of some days are found by.
            models.Index(fields=("source", "created_at", "cost_nano"), name="usage_by_cost"),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} {self.reference}"


# How long a first token took, at most, in ms: records are counted by these. Longer ones are the rest.
FIRST_TOKEN_WITHIN_MS = (100, 150, 220, 330, 500, 750, 1100, 1700, 2500, 3800, 5700, 8500, 13000, 20000)


class UsageSums(models.Model):
    """The records of some time with the same user, key, project, model, source and currency, summed up once
    the time is over. `rollups` writes them; `figures` reads them, with the records since."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, related_name="+")
    project = models.ForeignKey(Project, on_delete=models.SET_NULL, null=True, related_name="+")
    model = models.ForeignKey(ServedModel, on_delete=models.PROTECT, related_name="+")
    source = models.CharField(max_length=4, choices=UsageRecord.Source)
    currency = models.CharField(max_length=3, choices=Currency)
    num_records = models.PositiveBigIntegerField()
    num_errors = models.PositiveBigIntegerField()
    num_steps = models.PositiveBigIntegerField()
    num_tool_calls = models.PositiveBigIntegerField()
    input_uncached_tokens = models.PositiveBigIntegerField()
    input_cached_tokens = models.PositiveBigIntegerField()
    output_tokens = models.PositiveBigIntegerField()
    reasoning_tokens = models.PositiveBigIntegerField()
    cost_nano = models.BigIntegerField()
    fees_nano = models.BigIntegerField()
    num_timed = models.PositiveBigIntegerField()
    first_token_ms = models.PositiveBigIntegerField()
    duration_ms = models.PositiveBigIntegerField()

    class Meta:
        abstract = True


for bound in FIRST_TOKEN_WITHIN_MS:
    UsageSums.add_to_class(f"first_token_within_{bound}_ms", models.PositiveIntegerField(default=0))


class UsageHour(UsageSums):
    hour = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=("hour",), name="usage_hour"),
            models.Index(fields=("user", "hour"), name="usage_hour_of_user"),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H} {self.num_records}"


class UsageDay(UsageSums):
    """Of a day of the platform's time zone, made of its hours."""

    day = models.DateField()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=("day",), name="usage_day"),
            models.Index(fields=("user", "day"), name="usage_day_of_user"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.num_records}"


class Rollup(models.Model):
    """How far usage is summed up: hours before `done_before` are, and are read from UsageHour alone; days
    before `days_done_before` from UsageDay alone. Days are those of `time_zone`; in another one all is summed
    up anew."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    done_before = models.DateTimeField()
    days_done_before = models.DateField()
    time_zone = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"before {self.done_before}"
