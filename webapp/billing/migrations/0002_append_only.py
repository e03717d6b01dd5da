"""The database itself refuses to change what a ledger entry or a usage record says."""

from django.db import migrations

FINAL_COLUMNS = {
    "billing_ledgerentry": ["account_id", "kind", "amount_nano", "hold_id", "note", "created_at"],
    "billing_usagerecord": [
        "user_id",
        "model_id",
        "source",
        "hold_id",
        "reference",
        "finish_reason",
        "input_uncached_tokens",
        "input_cached_tokens",
        "output_tokens",
        "reasoning_tokens",
        "num_steps",
        "is_estimated",
        "price_id",
        "currency",
        "cost_nano",
        "created_at",
    ],
}

REFUSE_ON_POSTGRES = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$ LANGUAGE plpgsql
"""


def create(apps, schema_editor):
    is_postgres = schema_editor.connection.vendor == "postgresql"
    if is_postgres:
        schema_editor.execute(REFUSE_ON_POSTGRES, params=None)
    for table, columns in FINAL_COLUMNS.items():
        when = (
            f"CREATE TRIGGER {table}_is_final BEFORE UPDATE OF {', '.join(columns)} ON {table} FOR EACH ROW"
        )
        if is_postgres:
            schema_editor.execute(f"{when} EXECUTE FUNCTION refuse_change()")
        else:
            schema_editor.execute(f"{when} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")


def drop(apps, schema_editor):
    suffix = "" if schema_editor.connection.vendor == "sqlite" else " ON {table}"
    for table in FINAL_COLUMNS:
        schema_editor.execute(f"DROP TRIGGER {table}_is_final" + suffix.format(table=table))


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [migrations.RunPython(create, drop)]
