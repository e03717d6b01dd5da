"""A faster tier of a model goes first with our own workers; the one that ships has been a tier in name alone."""

from django.db import migrations, models


def rank_the_turbo_tier(apps, schema_editor):
    served = apps.get_model("catalog", "ServedModel")
    served.objects.filter(name="kimi-k2-thinking-turbo").update(priority=1)


class Migration(migrations.Migration):
    dependencies = [("catalog", "0005_upstreams")]

    operations = [
        migrations.AddField(
            model_name="servedmodel",
            name="priority",
            field=models.PositiveSmallIntegerField(
                default=0,
                help_text="Our own workers serve a higher one first: give it to a model's faster tier.",
                verbose_name="priority",
            ),
        ),
        migrations.RunPython(rank_the_turbo_tier, migrations.RunPython.noop),
    ]
