"""What a turn's tools cost is a part of what it costs, and final like the rest of a usage record."""

from importlib import import_module

from django.db import migrations, models

append_only = import_module("webapp.billing.migrations.0002_append_only")
TABLE = "billing_usagerecord"
TRIGGER = f"{TABLE}_is_final"
COLUMNS = (*append_only.FINAL_COLUMNS[TABLE], "fees_nano")


def drop(apps, schema_editor):
    on_table = f" ON {TABLE}" if schema_editor.connection.vendor == "postgresql" else ""
    schema_editor.execute(f"DROP TRIGGER IF EXISTS {TRIGGER}{on_table}")


def create(columns):
    def run(apps, schema_editor):
        # Again, for SQLite makes a table anew to add a column, without its triggers.
        drop(apps, schema_editor)
        when = f"CREATE TRIGGER {TRIGGER} BEFORE UPDATE OF {', '.join(columns)} ON {TABLE} FOR EACH ROW"
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f"{when} EXECUTE FUNCTION refuse_change()")
        else:
            schema_editor.execute(f"{when} BEGIN SELECT RAISE(ABORT, '{TABLE} is append-only'); END")

    return run


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0002_append_only"),
    ]

    operations = [
        migrations.RunPython(drop, create(append_only.FINAL_COLUMNS[TABLE])),
        migrations.AddField(
            model_name="usagerecord",
            name="fees_nano",
            field=models.BigIntegerField(default=0, verbose_name="of it for tools"),
        ),
        migrations.RunPython(create(COLUMNS), drop),
    ]
