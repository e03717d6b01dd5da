"""What the platform keeps of its own doings with money: limits of scopes, invoices, alarms and proofs."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from webapp.accounts.append_only import AppendOnly
from webapp.billing.models.money import Account, Currency, Scope


class Quota(models.Model):
    """How much at once, a minute and a day one scope may ask for, in the place of its plan or of the
    settings; empty: no limit."""

    scope = models.CharField(_("of"), max_length=8, choices=Scope)
    subject = models.CharField(
        _("id"), max_length=80, blank=True, help_text=_("Of a model its name; of everybody nothing.")
    )
    concurrency = models.PositiveIntegerField(_("at once"), null=True, blank=True)
    requests_per_minute = models.PositiveIntegerField(_("requests a minute"), null=True, blank=True)
    tokens_per_minute = models.PositiveBigIntegerField(_("tokens a minute"), null=True, blank=True)
    tokens_per_day = models.PositiveBigIntegerField(_("tokens a day"), null=True, blank=True)

    class Meta:
        ordering = ("scope", "subject")
        verbose_name = _("quota")
        verbose_name_plural = _("quotas")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("scope", "subject"), name="one_quota_of_a_scope"),
            models.CheckConstraint(
                condition=~Q(requests_per_minute=0) & ~Q(tokens_per_minute=0) & ~Q(tokens_per_day=0),
                name="quota_rates_not_zero",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_scope_display()} {self.subject}"


class Invoice(AppendOnly):
    """What an account used in a month, as it was told to its owner. `lines` are kept as they were issued."""

    number = models.CharField(_("number"), max_length=24, unique=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="invoices")
    month = models.DateField(_("month"))
    currency = models.CharField(_("currency"), max_length=3, choices=Currency)
    owner = models.CharField(_("for"), max_length=150)
    opening_nano = models.BigIntegerField()
    credited_nano = models.BigIntegerField()
    total_nano = models.BigIntegerField(_("total"))
    closing_nano = models.BigIntegerField()
    lines = models.JSONField(default=list)
    issued_at = models.DateTimeField(_("issued"), auto_now_add=True)

    class Meta:
        ordering = ("-month", "number")
        verbose_name = _("invoice")
        verbose_name_plural = _("invoices")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("account", "month"), name="one_invoice_a_month"),
        ]

    def __str__(self) -> str:
        return self.number


class Alarm(models.Model):
    """Something about money that a person should look at."""

    class Kind(models.TextChoices):
        SOFT_BUDGET = "soft_budget", _("Soft budget crossed")
        VELOCITY = "velocity", _("Spending faster than ever")
        PROOF = "proof", _("Sums do not match")

    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    subject = models.CharField(_("whose"), max_length=150)
    text = models.CharField(_("what"), max_length=400)
    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, null=True, blank=True, related_name="alarms"
    )
    at = models.DateTimeField(_("time"), auto_now_add=True, db_index=True)
    seen_at = models.DateTimeField(_("seen"), null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")

    def __str__(self) -> str:
        return self.text


class Proof(AppendOnly):
    """One check of all sums: what was compared, and what did not match."""

    at = models.DateTimeField(_("time"), auto_now_add=True)
    took_ms = models.PositiveIntegerField(_("took (ms)"))
    is_sound = models.BooleanField(_("sound"))
    claims = models.JSONField(_("claims"), default=list)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("proof of sums")
        verbose_name_plural = _("proofs of sums")

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {'sound' if self.is_sound else 'NOT SOUND'}"
