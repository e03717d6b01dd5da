"""Days summed up above the hours, with how long first tokens took. What was summed up so far is made again from
its records, by the next sweep. PostgreSQL refuses to empty the tables of what is final, too."""

import datetime
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from webapp.accounts.append_only import guard_all, unguard_all

FINAL = ("billing_ledgerentry", "billing_usagerecord", "billing_invoice", "billing_proof")


def sum_up_anew(apps, _schema_editor):
    for name in ("UsageHour", "Rollup"):
        apps.get_model("billing", name).objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_key_without_limits"),
        ("billing", "0006_books_and_guards"),
        ("catalog", "0004_search_engines"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(sum_up_anew, migrations.RunPython.noop),
        migrations.CreateModel(
            name="UsageDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("source", models.CharField(choices=[("chat", "Chat"), ("api", "API")], max_length=4)),
                ("currency", models.CharField(choices=[("USD", "USD"), ("CNY", "CNY")], max_length=3)),
                ("num_records", models.PositiveBigIntegerField()),
                ("num_errors", models.PositiveBigIntegerField()),
                ("num_steps", models.PositiveBigIntegerField()),
                ("num_tool_calls", models.PositiveBigIntegerField()),
                ("input_uncached_tokens", models.PositiveBigIntegerField()),
                ("input_cached_tokens", models.PositiveBigIntegerField()),
                ("output_tokens", models.PositiveBigIntegerField()),
                ("reasoning_tokens", models.PositiveBigIntegerField()),
                ("cost_nano", models.BigIntegerField()),
                ("fees_nano", models.BigIntegerField()),
                ("num_timed", models.PositiveBigIntegerField()),
                ("first_token_ms", models.PositiveBigIntegerField()),
                ("duration_ms", models.PositiveBigIntegerField()),
                ("first_token_within_100_ms", models.PositiveIntegerField(default=0)),
                ("first_token_within_150_ms", models.PositiveIntegerField(default=0)),
                ("first_token_within_220_ms", models.PositiveIntegerField(default=0)),
                ("first_token_within_330_ms", models.PositiveIntegerField(default=0)),
                ("first_token_within_500_ms", models.PositiveIntegerField(default=0)),
                ("first_token_within_750_ms", models.PositiveIntegerField(default=0)),
                ("first_token_within_1100_ms", models.PositiveIntegerField(default=0)),
                ("first_token_within_1700_ms", models.PositiveIntegerField(default=0)),
                ("first_token_within_2500_ms", models.PositiveIntegerField(default=0)),
                ("first_token_within_3800_ms", models.PositiveIntegerField(default=0)),
                ("first_token_within_5700_ms", models.PositiveIntegerField(default=0)),
                ("first_token_within_8500_ms", models.PositiveIntegerField(default=0)),
                ("first_token_within_13000_ms", models.PositiveIntegerField(default=0)),
                ("first_token_within_20000_ms", models.PositiveIntegerField(default=0)),
                ("day", models.DateField()),
            ],
        ),
        migrations.AddField(
            model_name="rollup",
            name="days_done_before",
            field=models.DateField(default=datetime.date(2000, 1, 1)),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="rollup",
            name="time_zone",
            field=models.CharField(default="", max_length=64),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_100_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_1100_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_13000_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_150_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_1700_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_20000_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_220_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_2500_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_330_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_3800_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_500_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_5700_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_750_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="first_token_within_8500_ms",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddIndex(
            model_name="usagerecord",
            index=models.Index(fields=["source", "created_at", "cost_nano"], name="usage_by_cost"),
        ),
        migrations.AddField(
            model_name="usageday",
            name="api_key",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="accounts.apikey",
            ),
        ),
        migrations.AddField(
            model_name="usageday",
            name="model",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="catalog.servedmodel"
            ),
        ),
        migrations.AddField(
            model_name="usageday",
            name="project",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="accounts.project",
            ),
        ),
        migrations.AddField(
            model_name="usageday",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddIndex(
            model_name="usageday",
            index=models.Index(fields=["day"], name="usage_day"),
        ),
        migrations.AddIndex(
            model_name="usageday",
            index=models.Index(fields=["user", "day"], name="usage_day_of_user"),
        ),
        *(migrations.RunPython(guard_all(table), unguard_all(table)) for table in FINAL),
    ]
