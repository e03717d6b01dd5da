"""Money and what it is spent on. All amounts are whole nano-units of the account's currency (1 USD = 10⁹)."""

import uuid
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from webapp.accounts.append_only import AppendOnly
from webapp.accounts.models import ApiKey, User
from webapp.catalog.models import ServedModel


class Currency(models.TextChoices):
    USD = "USD", "USD"
    CNY = "CNY", "CNY"


class Price(models.Model):
    """What a million tokens of a model cost from `valid_from` on, until a later price in its currency."""

    model = models.ForeignKey(
        ServedModel, on_delete=models.PROTECT, related_name="prices", verbose_name=_("model")
    )
    currency = models.CharField(_("currency"), max_length=3, choices=Currency)
    input_per_million = models.DecimalField(_("input"), max_digits=12, decimal_places=6)
    cached_input_per_million = models.DecimalField(_("cached input"), max_digits=12, decimal_places=6)
    output_per_million = models.DecimalField(_("output"), max_digits=12, decimal_places=6)
    valid_from = models.DateTimeField(_("valid from"))

    class Meta:
        ordering = ("model", "currency", "-valid_from")
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("model", "currency", "valid_from"), name="one_price_at_a_time"),
            models.CheckConstraint(
                condition=Q(input_per_million__gte=0)
                & Q(cached_input_per_million__gte=0)
                & Q(output_per_million__gte=0),
                name="price_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} {self.currency} {self.valid_from:%Y-%m-%d}"


class Account(models.Model):
    """A user's money: `balance` is theirs, of which `held` is spoken for by requests under way.

    `spent_today` is what was billed on the day `spent_on`; with what is held it stays within both daily
    limits. Without one of the operator's the setting DAILY_LIMIT holds.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="account")
    currency = models.CharField(_("currency"), max_length=3, choices=Currency)
    balance_nano = models.BigIntegerField(_("balance"), default=0)
    held_nano = models.BigIntegerField(_("held"), default=0)
    daily_limit_nano = models.BigIntegerField(_("daily limit"), null=True, blank=True)  # the operator's word
    own_daily_limit_nano = models.BigIntegerField(_("own daily limit"), null=True, blank=True)
    spent_on = models.DateField(null=True, blank=True)
    spent_today_nano = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(held_nano__gte=0), name="held_not_negative"),
            models.CheckConstraint(
                condition=Q(balance_nano__gte=F("held_nano")), name="balance_covers_holds"
            ),
            models.CheckConstraint(
                condition=(Q(daily_limit_nano=None) | Q(daily_limit_nano__gte=0))
                & (Q(own_daily_limit_nano=None) | Q(own_daily_limit_nano__gte=0)),
                name="daily_limits_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} {self.currency}"


class Hold(models.Model):
    """Money set aside for one request or turn, before its first token. It ends settled or released, once."""

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        SETTLED = "settled", _("Settled")
        RELEASED = "released", _("Released")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="holds")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, null=True, related_name="+")
    model = models.ForeignKey(ServedModel, on_delete=models.PROTECT, related_name="+")
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    amount_nano = models.BigIntegerField()
    status = models.CharField(max_length=8, choices=Status, default=Status.OPEN)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=("status", "expires_at"), name="hold_sweep")]

    def __str__(self) -> str:
        return f"{self.id} {self.status}"


class LedgerEntry(AppendOnly):
    """One movement of money; never edited, never deleted. A correction is a new entry."""

    class Kind(models.TextChoices):
        CREDIT = "credit", _("Credit")
        USAGE = "usage", _("Usage")
        CORRECTION = "correction", _("Correction")

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="ledger")
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    amount_nano = models.BigIntegerField(_("amount"))
    hold = models.OneToOneField(
        Hold, on_delete=models.PROTECT, null=True, blank=True, related_name="ledger_entry"
    )
    note = models.CharField(_("note"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("time"), auto_now_add=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger")

    def __str__(self) -> str:
        return f"{self.kind} {self.amount_nano}"


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
        indexes: ClassVar = [models.Index(fields=("user", "created_at"), name="usage_by_user")]

    def __str__(self) -> str:
        return f"{self.model.name} {self.reference}"
