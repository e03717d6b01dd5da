"""Money and what it is spent on. All amounts are whole nano-units of the account's currency (1 USD = 10⁹)."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from webapp.accounts.append_only import AppendOnly
from webapp.accounts.models import ApiKey, Project, Team, User
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


class Plan(models.Model):
    """How much at once, a minute and a day the owner of an account may ask for; empty: no limit. An account
    gets the highest plan that its top-ups have reached, unless an operator chose one for it."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    from_top_up = models.DecimalField(
        _("from top-ups of"),
        max_digits=12,
        decimal_places=2,
        null=True,
        blank=True,
        help_text=_("In USD, all top-ups of an account together. Empty: by an operator's choice alone."),
    )
    concurrency = models.PositiveIntegerField(_("at once"), null=True, blank=True)
    requests_per_minute = models.PositiveIntegerField(_("requests a minute"), null=True, blank=True)
    tokens_per_minute = models.PositiveBigIntegerField(_("tokens a minute"), null=True, blank=True)
    tokens_per_day = models.PositiveBigIntegerField(_("tokens a day"), null=True, blank=True)

    class Meta:
        ordering = ("from_top_up", "name")
        verbose_name = _("plan")
        verbose_name_plural = _("plans")

    def __str__(self) -> str:
        return self.name


class Account(models.Model):
    """The money of a user or of a team: `balance` is theirs, of which `held` is spoken for by requests under
    way.

    `spent_today` is what was billed on the day `spent_on`; with what is held it stays within both daily
    limits. Without one of the operator's the setting DAILY_LIMIT holds.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="account"
    )
    team = models.OneToOneField(
        Team, on_delete=models.PROTECT, null=True, blank=True, related_name="account", verbose_name=_("team")
    )
    plan = models.ForeignKey(
        Plan, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("plan")
    )
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
            models.CheckConstraint(
                condition=Q(user=None, team__isnull=False) | Q(user__isnull=False, team=None),
                name="account_of_one",
            ),
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
        return f"{self.owner} {self.currency}"

    @property
    def owner(self) -> User | Team:
        owner = self.team if self.user is None else self.user
        assert owner is not None  # the constraint says so
        return owner


class Scope(models.TextChoices):
    """Whose limit or budget it is."""

    KEY = "key", _("API key")
    USER = "user", _("User")
    PROJECT = "project", _("Project")
    TEAM = "team", _("Team")
    MODEL = "model", _("Model")
    GLOBAL = "global", _("Everybody")


class Budget(models.Model):
    """How much may be spent in a day or month in one scope: nothing is begun that could cross `hard`; who
    crosses `soft` is told. What is spent and held is counted here, in the transaction that spends or holds.
    """

    class Period(models.TextChoices):
        DAY = "day", _("Day")
        MONTH = "month", _("Month")

    scope = models.CharField(_("of"), max_length=8, choices=Scope)
    subject = models.CharField(_("id"), max_length=64)
    period = models.CharField(_("period"), max_length=5, choices=Period, default=Period.MONTH)
    currency = models.CharField(_("currency"), max_length=3, choices=Currency)
    soft_nano = models.BigIntegerField(_("soft"), null=True, blank=True)
    hard_nano = models.BigIntegerField(_("hard"), null=True, blank=True)
    spent_nano = models.BigIntegerField(_("spent"), default=0)
    held_nano = models.BigIntegerField(_("held"), default=0)
    period_began = models.DateField(null=True, blank=True)
    warned_on = models.DateField(null=True, blank=True)  # the beginning of the period that was warned of

    class Meta:
        ordering = ("scope", "subject", "period")
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=("scope", "subject", "period", "currency"), name="one_budget_of_a_kind"
            ),
            models.CheckConstraint(condition=Q(held_nano__gte=0), name="budget_held_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.get_scope_display()} {self.subject} {self.get_period_display()}"


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
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    project = models.ForeignKey(Project, on_delete=models.SET_NULL, null=True, related_name="+")
    budgets = models.ManyToManyField(Budget, related_name="+")
    amount_nano = models.BigIntegerField()
    status = models.CharField(max_length=8, choices=Status, default=Status.OPEN)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=("status", "expires_at"), name="hold_sweep")]

    def __str__(self) -> str:
        return f"{self.id} {self.status}"


class LedgerEntry(AppendOnly):
    """One movement of money between an account and a book of the platform: what the one gets, the other
    gives, so that all accounts and books together are always 0. Never edited, never deleted. A correction is
    a new entry.
    """

    class Kind(models.TextChoices):
        CREDIT = "credit", _("Credit")
        TOP_UP = "top_up", _("Top-up")
        VOUCHER = "voucher", _("Voucher")
        USAGE = "usage", _("Usage")
        CORRECTION = "correction", _("Correction")

    class Book(models.TextChoices):
        """The other side."""

        REVENUE = "revenue", _("Revenue")
        CASH = "cash", _("Cash")
        GIFTS = "gifts", _("Gifts")
        VOUCHERS = "vouchers", _("Vouchers")
        CORRECTIONS = "corrections", _("Corrections")

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="ledger")
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    book = models.CharField(_("against"), max_length=12, choices=Book)
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
        indexes: ClassVar = [models.Index(fields=("account", "created_at"), name="ledger_by_account")]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount_nano}"


class Voucher(models.Model):
    """Money for whoever brings its code, once. The code is shown when it is made; kept is its hash."""

    code_hash = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(_("begins with"), max_length=8)
    amount_nano = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3, choices=Currency)
    note = models.CharField(_("note"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    redeemed_at = models.DateTimeField(_("redeemed"), null=True, blank=True)
    redeemed_by = models.ForeignKey(
        Account, on_delete=models.PROTECT, null=True, blank=True, related_name="vouchers"
    )

    class Meta:
        ordering = ("-id",)
        verbose_name = _("voucher")
        verbose_name_plural = _("vouchers")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount_nano__gt=0), name="voucher_worth_something"),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}…"
