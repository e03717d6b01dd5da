"""Each movement so far gets its other side, each hold its user; and the database refuses to change or delete
what is final: ledger, usage, invoices, proofs."""

from django.db import migrations
from django.db.models import OuterRef, Subquery

from webapp.accounts.append_only import guard, unguard

LEDGER, USAGE, INVOICE, PROOF = (
    "billing_ledgerentry",
    "billing_usagerecord",
    "billing_invoice",
    "billing_proof",
)
FINAL = {
    LEDGER: ("account_id", "kind", "book", "amount_nano", "hold_id", "note", "created_at"),
    # Not its key and its project: their deletion leaves what they used.
    USAGE: (
        *("user_id", "model_id", "source", "hold_id", "reference", "finish_reason"),
        *("input_uncached_tokens", "input_cached_tokens", "output_tokens", "reasoning_tokens"),
        *("num_steps", "num_tool_calls", "first_token_ms", "duration_ms", "is_estimated"),
        *("price_id", "currency", "cost_nano", "fees_nano", "created_at"),
    ),
    INVOICE: (
        *("number", "account_id", "month", "currency", "owner", "issued_at"),
        *("opening_nano", "credited_nano", "total_nano", "closing_nano", "lines"),
    ),
    PROOF: ("at", "took_ms", "is_sound", "claims"),
}
BOOKS = {"credit": "gifts", "usage": "revenue", "correction": "corrections"}


def name_the_books(apps, _schema_editor):
    """Every movement so far was one of these."""
    entries = apps.get_model("billing", "LedgerEntry").objects
    for kind, book in BOOKS.items():
        entries.filter(kind=kind).update(book=book)


def name_who_holds(apps, _schema_editor):
    """Until now a hold was of its account's user."""
    accounts = apps.get_model("billing", "Account").objects.filter(pk=OuterRef("account_id"))
    apps.get_model("billing", "Hold").objects.update(user_id=Subquery(accounts.values("user_id")[:1]))


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_teams_budgets_rollups")]

    operations = [
        migrations.RunPython(name_the_books, migrations.RunPython.noop),
        migrations.RunPython(name_who_holds, migrations.RunPython.noop),
        *(migrations.RunPython(guard(table, columns), unguard(table)) for table, columns in FINAL.items()),
    ]
