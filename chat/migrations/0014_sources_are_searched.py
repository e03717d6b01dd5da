"""Sources of answers can be searched. In SQLite's index they lie with the titles, in the smaller half of a person's
entries: the triggers are made anew, which tell a place from a row; no row of the new kind is there yet."""

import re
from urllib.parse import urlsplit

from django.db import migrations, models

AT_ONCE = 500
PLACE = "(({row}.user_id * 2 + ({row}.kind IN ({small}))) << 36) + {row}.id"
PUT = "INSERT INTO chat_search (rowid, text) VALUES ({place}, new.text || char(10) || char(10));"
TAKE = (
    "INSERT INTO chat_search (chat_search, rowid, text) "
    "VALUES ('delete', {place}, old.text || char(10) || char(10));"
)
TRIGGERS = (
    "CREATE TRIGGER chat_searchentry_added AFTER INSERT ON chat_searchentry BEGIN {put} END",
    "CREATE TRIGGER chat_searchentry_gone AFTER DELETE ON chat_searchentry BEGIN {take} END",
    "CREATE TRIGGER chat_searchentry_changed AFTER UPDATE ON chat_searchentry BEGIN {take} {put} END",
)
MARKER = re.compile(r"[\[【]([\d\s,，、;–-]+)[\]】](?!\()")


def make_triggers(schema_editor, small):
    if schema_editor.connection.vendor == "postgresql":
        return
    put = PUT.format(place=PLACE.format(row="new", small=small))
    take = TAKE.format(place=PLACE.format(row="old", small=small))
    for name in ("added", "gone", "changed"):
        schema_editor.execute(f"DROP TRIGGER IF EXISTS chat_searchentry_{name}")
    for statement in TRIGGERS:
        schema_editor.execute(statement.format(put=put, take=take), params=None)


def lie_with_titles(apps, schema_editor):
    make_triggers(schema_editor, "'title', 'source'")


def lie_alone(apps, schema_editor):
    apps.get_model("chat", "SearchEntry").objects.filter(kind="source").delete()
    make_triggers(schema_editor, "'title'")


def fill(apps, schema_editor):
    """What the answers that are there cite of their own turn's passages."""
    SearchEntry, Passage = apps.get_model("chat", "SearchEntry"), apps.get_model("chat", "Passage")
    answers = SearchEntry.objects.filter(kind="answer", turn__passages__isnull=False).distinct()
    batch = []
    for answer in answers.order_by("id").iterator(chunk_size=AT_ONCE):
        numbers = {
            int(number) for found in MARKER.findall(answer.text) for number in re.findall(r"\d{1,4}", found)
        }
        passages = Passage.objects.filter(turn=answer.turn_id, number__in=numbers)
        rows = passages.values_list("number", "title", "source")
        lines = [line(*row) for row in rows.order_by("number")]
        if lines:
            batch.append(
                SearchEntry(
                    kind="source",
                    text="\n".join(lines),
                    at=answer.at,
                    turn_id=answer.turn_id,
                    conversation_id=answer.conversation_id,
                    user_id=answer.user_id,
                )
            )
    SearchEntry.objects.bulk_create(batch, batch_size=AT_ONCE, ignore_conflicts=True)


def line(number, title, source):
    try:
        host = urlsplit(source).netloc or source
    except ValueError:  # it came as no address
        host = source
    return f"{number}\t{' '.join(title.split())}\t{' '.join(host.split())}"


class Migration(migrations.Migration):
    dependencies = [("chat", "0013_webhooks_have_endpoints")]

    operations = [
        migrations.AlterField(
            model_name="searchentry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("title", "Title"),
                    ("question", "Question"),
                    ("answer", "Answer"),
                    ("source", "Source"),
                ],
                max_length=8,
            ),
        ),
        migrations.AddIndex(
            model_name="searchentry",
            index=models.Index(
                condition=models.Q(("kind", "source")), fields=["user", "-id"], name="search_sources_of_user"
            ),
        ),
        migrations.RunPython(lie_with_titles, lie_alone),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
