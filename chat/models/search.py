"""What a person's search goes through: an entry for each title, question and answer."""

from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from chat.models.talk import Conversation, Turn
from webapp.accounts.models import User


class SearchEntryQuerySet(models.QuerySet["SearchEntry"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class SearchEntry(models.Model):
    """A text as it is on show. A title has no turn. The sources of an answer are one text, a line for
    each: number, title, host. Ids grow with time, so that the newest come first.

    The database keeps an index of the letters beside it by itself: see the migration that made this table.
    """

    class Kind(models.TextChoices):
        TITLE = "title"
        QUESTION = "question"
        ANSWER = "answer"
        SOURCE = "source"

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="search_entries")
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, null=True, related_name="search_entries")
    kind = models.CharField(max_length=8, choices=Kind)
    text = models.TextField()
    at = models.DateTimeField()

    objects: ClassVar[models.Manager["SearchEntry"]] = SearchEntryQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("turn", "kind"), name="one_search_entry_per_text"),
            models.UniqueConstraint(
                fields=("conversation",), condition=Q(kind="title"), name="one_search_entry_per_title"
            ),
            models.CheckConstraint(
                condition=Q(kind="title", turn=None) | (~Q(kind="title") & Q(turn__isnull=False)),
                name="titles_alone_have_no_turn",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=("user", "-id"), name="search_entries_of_user"),
            models.Index(fields=("user", "-id"), condition=Q(kind="title"), name="search_titles_of_user"),
            models.Index(fields=("user", "-id"), condition=Q(kind="source"), name="search_sources_of_user"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.conversation_id}"
