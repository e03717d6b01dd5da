"""The monthly invoice of an account, made from its ledger alone: what was brought in, what was used of which
model at which price, what is left. Once issued it is kept as it was."""

import csv
import io
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet, Sum
from django.template.loader import render_to_string
from django.utils import timezone

from webapp.billing import pricing
from webapp.billing.models import Account, Invoice, LedgerEntry

COLUMNS = (
    *("model", "input_per_million", "cached_input_per_million", "output_per_million", "num_requests"),
    *("input_uncached_tokens", "input_cached_tokens", "output_tokens", "cost"),
)


class NoPdf(Exception):
    """No PDF can be made on this machine; the text says what to install."""


def issue(account: Account, month: date) -> Invoice:
    """The invoice of this month, made now or before. Raises ValueError for a month that is not over."""
    month = month.replace(day=1)
    begin, end = _midnight(month), _midnight(_next(month))
    if end > timezone.now():
        raise ValueError(f"{month:%Y-%m} is not over yet.")
    if (issued := account.invoices.filter(month=month).first()) is not None:
        return issued
    entries = account.ledger.order_by().filter(created_at__gte=begin, created_at__lt=end)
    used = entries.filter(kind=LedgerEntry.Kind.USAGE)
    opening_nano = _sum(account.ledger.filter(created_at__lt=begin))
    total_nano, credited_nano = -_sum(used), _sum(entries.exclude(kind=LedgerEntry.Kind.USAGE))
    try:
        with transaction.atomic():
            return Invoice.objects.create(
                number=f"{month:%Y%m}-{account.pk:06d}",
                account=account,
                month=month,
                currency=account.currency,
                owner=str(account.owner)[:150],
                opening_nano=opening_nano,
                credited_nano=credited_nano,
                total_nano=total_nano,
                closing_nano=opening_nano + credited_nano - total_nano,
                lines=_lines(used),
            )
    except IntegrityError:  # another was faster
        return account.invoices.get(month=month)


def issue_all(*, today: date) -> int:
    """The invoices of the month before, for every account that moved in it: how many accounts."""
    month = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    moved = LedgerEntry.objects.filter(
        created_at__gte=_midnight(month), created_at__lt=_midnight(today.replace(day=1))
    )
    accounts = Account.objects.filter(pk__in=moved.order_by().values("account_id"))
    for account in accounts.exclude(invoices__month=month):
        issue(account, month)
    return accounts.count()


def to_csv(invoice: Invoice) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow((*COLUMNS, "currency"))
    for line in invoice.lines:
        writer.writerow((*(line[column] for column in COLUMNS), invoice.currency))
    return out.getvalue()


def to_html(invoice: Invoice) -> str:
    return render_to_string("billing/invoice.html", context(invoice))


def to_pdf(invoice: Invoice) -> bytes:
    """Raises NoPdf."""
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except OSError as missing:
        raise NoPdf("PDF needs the system's text libraries: install libpango-1.0-0.") from missing

    class Nothing(URLFetcher):  # type: ignore[misc]  # it has no types
        def fetch(self, url: str, headers: Any = None) -> Any:
            raise ValueError("an invoice loads nothing")

    made: bytes = HTML(string=to_html(invoice), url_fetcher=Nothing(), base_url="invoice:/").write_pdf(
        pdf_tags=True
    )
    return made


def context(invoice: Invoice) -> dict[str, Any]:
    amounts = ("opening_nano", "credited_nano", "total_nano", "closing_nano")
    shown = {name.removesuffix("_nano"): pricing.to_decimal(getattr(invoice, name)) for name in amounts}
    lines = [{**line, "cost": Decimal(line["cost"])} for line in invoice.lines]
    return {"invoice": invoice, "lines": lines, **shown}


def _lines(used: QuerySet[LedgerEntry]) -> list[dict[str, Any]]:
    """By model and price; last what was paid without a model: searches of programs."""
    of_record = "hold__usage_record__"
    price = ("input_per_million", "cached_input_per_million", "output_per_million")
    tokens = ("input_uncached_tokens", "input_cached_tokens", "output_tokens")
    groups = used.values("hold__model__name", *(f"hold__price__{name}" for name in price))
    sums: dict[str, Any] = {name: Sum(f"{of_record}{name}", default=0) for name in tokens}
    rows = groups.annotate(num_requests=Count("id"), amount=Sum("amount_nano"), **sums)
    lines = []
    for row in rows.order_by("hold__model__name", "hold__price__input_per_million"):
        line = {"model": row["hold__model__name"] or "", "num_requests": row["num_requests"]}
        line |= {name: _text(row[f"hold__price__{name}"]) for name in price}
        line |= {name: row[name] for name in tokens}
        lines.append({**line, "cost": str(pricing.to_decimal(-row["amount"]))})
    return lines


def _sum(entries: QuerySet[LedgerEntry]) -> int:
    return entries.aggregate(sum=Sum("amount_nano"))["sum"] or 0


def _text(price: Decimal | None) -> str:
    return "" if price is None else f"{price:f}"


def _next(month: date) -> date:
    return (month + timedelta(days=32)).replace(day=1)


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, datetime.min.time()))
