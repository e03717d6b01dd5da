"""Small models are offered fewer tools; those that a fresh platform knows are small."""

from typing import Any

from django.db import migrations, models

SMALL = ("qwen2.5-coder-1.5b", "smollm2")


def mark(apps: Any, schema_editor: Any) -> None:
    local = apps.get_model("catalog", "ServedModel").objects.filter(backend="local")
    local.filter(upstream_name__in=SMALL).update(is_small=True)


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0002_output_parser"),
    ]

    operations = [
        migrations.AddField(
            model_name="servedmodel",
            name="is_small",
            field=models.BooleanField(
                default=False,
                help_text=(
                    "A small model loses its way among many tools. It gets those that find and work things"
                    " out, not those to plan, remember, go back, ask and share work out."
                ),
                verbose_name="small",
            ),
        ),
        migrations.RunPython(mark, migrations.RunPython.noop),
    ]
