"""Entries for the search, the database's own index of their letters, and entries for all that is there.

SQLite: a table of FTS5 without content of its own, whose row ids begin with the person and whether it is a title,
so that a search reads one person's part of the index, newest first. Two line ends behind each text make its last
two letters the beginning of a trigram, too. A migration that makes chat_searchentry anew must make the triggers
again.

PostgreSQL: a GIN index of the pieces of two and three letters; of one, where a letter is a word. Pieces of our own
need no extension, no locale that knows Chinese, and find words of two letters.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

AT_ONCE = 500

# The kinds of places are as chat.search reads them: (person, is title, entry).
PLACE = "(({row}.user_id * 2 + ({row}.kind = 'title')) << 36) + {row}.id"
SQLITE = (
    "CREATE VIRTUAL TABLE chat_search USING fts5(text, content='', columnsize=0, tokenize='trigram')",
    "CREATE VIRTUAL TABLE chat_search_letters USING fts5vocab(chat_search, instance)",
    "CREATE TRIGGER chat_searchentry_added AFTER INSERT ON chat_searchentry BEGIN {put} END",
    "CREATE TRIGGER chat_searchentry_gone AFTER DELETE ON chat_searchentry BEGIN {take} END",
    "CREATE TRIGGER chat_searchentry_changed AFTER UPDATE ON chat_searchentry BEGIN {take} {put} END",
)
PUT = f"INSERT INTO chat_search (rowid, text) VALUES ({PLACE.format(row='new')}, new.text || char(10) || char(10));"
TAKE = (
    "INSERT INTO chat_search (chat_search, rowid, text) "
    f"VALUES ('delete', {PLACE.format(row='old')}, old.text || char(10) || char(10));"
)

# Its cost is told to the planner, lest it be computed for row after row instead of read from the index.
GRAMS = """
CREATE FUNCTION chat_search_grams(body text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 100000 AS $$
  SELECT coalesce(array_agg(DISTINCT piece), '{}') FROM (
    SELECT unnest(ARRAY[
      CASE WHEN ascii(letter) > 11903 THEN letter END,
      letter || lead(letter) OVER line,
      letter || lead(letter) OVER line || lead(letter, 2) OVER line
    ]) AS piece
    FROM unnest(string_to_array(lower(body), NULL)) WITH ORDINALITY AS letters (letter, place)
    WINDOW line AS (ORDER BY place)
  ) AS pieces WHERE piece IS NOT NULL
$$
"""
GIN = "CREATE INDEX chat_search_letters ON chat_searchentry USING gin (chat_search_grams(text))"


def make_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(GRAMS, params=None)
        schema_editor.execute(GIN)
        return
    for statement in SQLITE:
        schema_editor.execute(statement.format(put=PUT, take=TAKE), params=None)


def drop_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX chat_search_letters")
        schema_editor.execute("DROP FUNCTION chat_search_grams(text)")
        return
    for name in ("added", "gone", "changed"):
        schema_editor.execute(f"DROP TRIGGER chat_searchentry_{name}")
    schema_editor.execute("DROP TABLE chat_search_letters")
    schema_editor.execute("DROP TABLE chat_search")


def fill(apps, schema_editor):
    """Oldest first: a newer entry has a higher number."""
    Conversation, Turn = apps.get_model("chat", "Conversation"), apps.get_model("chat", "Turn")
    titled = Conversation.objects.order_by("created_at").values_list("id", "user_id", "title", "created_at")
    _fill_in_batches(apps, titled, titles)
    top = Turn.objects.filter(spawned_by=None).order_by("created_at", "id")
    _fill_in_batches(apps, top.values_list("id", "conversation_id", "conversation__user_id", "status"), said)


def _fill_in_batches(apps, rows, entries):
    batch = []
    for row in rows.iterator(chunk_size=AT_ONCE):
        batch.append(row)
        if len(batch) == AT_ONCE:
            entries(apps, batch)
            batch = []
    entries(apps, batch)


def titles(apps, batch):
    SearchEntry = apps.get_model("chat", "SearchEntry")
    SearchEntry.objects.bulk_create(
        SearchEntry(conversation_id=id, user_id=user_id, kind="title", text=title, at=at)
        for id, user_id, title, at in batch
    )


def said(apps, batch):
    """What each turn asks, and if it is over what it answers: without the steps that were sent back or undone."""
    Message, SearchEntry = apps.get_model("chat", "Message"), apps.get_model("chat", "SearchEntry")
    texts = {}
    messages = Message.objects.filter(
        turn__in=[row[0] for row in batch], role__in=("user", "assistant", "note")
    )
    for message in messages.order_by("step", "position").prefetch_related("parts"):
        texts.setdefault(message.turn_id, []).append(message)
    entries = []
    for turn_id, conversation_id, user_id, status in batch:
        mine = texts.get(turn_id, [])
        told = {"question": [m for m in mine if m.role == "user"]}
        if status == "finished":
            gone = _taken_back(mine)
            told["answer"] = [m for m in mine if m.role == "assistant" and m.step not in gone]
        for kind, them in told.items():
            text = "".join(part.text for m in them for part in m.parts.all() if part.kind == "text")
            if text:
                place = {"conversation_id": conversation_id, "user_id": user_id, "turn_id": turn_id}
                entries.append(SearchEntry(kind=kind, text=text, at=them[-1].created_at, **place))
    SearchEntry.objects.bulk_create(entries)


def _taken_back(messages):
    gone = set()
    for note in messages:
        if note.role == "note" and note.kind == "check" and note.data.get("must_revise"):
            gone.add(note.step)
        if note.role == "note" and note.kind == "rollback":
            gone.update(range(note.data["to_step"] + 1, note.step + 1))
    return gone


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0005_attachments"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="SearchEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("title", "Title"), ("question", "Question"), ("answer", "Answer")],
                        max_length=8,
                    ),
                ),
                ("text", models.TextField()),
                ("at", models.DateTimeField()),
                (
                    "conversation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="search_entries",
                        to="chat.conversation",
                    ),
                ),
                (
                    "turn",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="search_entries",
                        to="chat.turn",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [models.Index(fields=["user", "-id"], name="search_entries_of_user")],
                "constraints": [
                    models.UniqueConstraint(fields=("turn", "kind"), name="one_search_entry_per_text"),
                    models.UniqueConstraint(
                        condition=models.Q(("kind", "title")),
                        fields=("conversation",),
                        name="one_search_entry_per_title",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "title"), ("turn", None)),
                            models.Q(models.Q(("kind", "title"), _negated=True), ("turn__isnull", False)),
                            _connector="OR",
                        ),
                        name="titles_alone_have_no_turn",
                    ),
                ],
            },
        ),
        migrations.RunPython(make_index, drop_index),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
