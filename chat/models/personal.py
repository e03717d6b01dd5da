"""What belongs to a person rather than to a conversation: how they like to work, what they thought of an
answer, what they have not sent yet, what the model may know of them, whom to tell when a run is over."""

import uuid
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from chat.models.talk import Conversation, Turn
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel


class Thinking(models.TextChoices):
    """How a chat begins: without Long Thinking, or with it at this effort."""

    AS_LAST = "", _("As I last used it")
    OFF = "off", _("Without Long Thinking")
    LOW = "low", _("Long Thinking, low effort")
    AUTO = "auto", _("Long Thinking, auto effort")
    HIGH = "high", _("Long Thinking, high effort")
    HEAVY = "heavy", _("Long Thinking, heavy")


class Preferences(models.Model):
    """How a person likes to work. One who never said has none, which is the same as the defaults."""

    INSTRUCTIONS_CHARS = 4_000

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="preferences"
    )
    instructions = models.TextField(_("instructions"), max_length=INSTRUCTIONS_CHARS, blank=True)
    thinking = models.CharField(_("new chats begin"), max_length=8, choices=Thinking, blank=True)
    max_sandbox_seconds = models.PositiveIntegerField(_("sandbox seconds"), null=True, blank=True)
    max_fetched_mb = models.PositiveIntegerField(_("megabytes fetched"), null=True, blank=True)
    uses_memory = models.BooleanField(_("memory"), default=False)
    notifies_browser = models.BooleanField(_("browser"), default=False)
    notifies_email = models.BooleanField(_("email"), default=False)
    notifies_after_s = models.PositiveIntegerField(_("seconds"), default=60)

    def __str__(self) -> str:
        return str(self.pk)


class OwnedQuerySet(models.QuerySet["Memory"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class Memory(models.Model):
    """One thing that the model may know of a person in every chat. `turn` is where the model wrote it down;
    without one the person did."""

    TEXT_CHARS = 400

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memories")
    text = models.CharField(_("text"), max_length=TEXT_CHARS)
    turn = models.ForeignKey(Turn, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    key = models.CharField(
        max_length=200, blank=True
    )  # of the call that wrote it: once, however often it runs
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["Memory"]] = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ("created_at", "id")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("user", "key"), condition=~Q(key=""), name="one_memory_per_call"),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class Preset(models.Model):
    """A way to begin a chat, under a name: a model, an effort, tools and instructions. `tools` null is all of
    them."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="presets")
    name = models.CharField(_("name"), max_length=40)
    model = models.ForeignKey(
        ServedModel,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("model"),
    )
    thinking = models.CharField(_("effort"), max_length=8, choices=Thinking, blank=True)
    instructions = models.TextField(_("instructions"), max_length=Preferences.INSTRUCTIONS_CHARS, blank=True)
    tools = models.JSONField(_("tools"), null=True, blank=True)

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [models.UniqueConstraint(fields=("user", "name"), name="one_preset_per_name")]

    def __str__(self) -> str:
        return self.name


class Draft(models.Model):
    """What is typed and not sent, with the uploaded files that go with it. `version` counts its changes, so
    that a page knows whether another has changed it since; an emptied draft stays, for its number."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="drafts")
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, null=True, blank=True, related_name="drafts"
    )
    text = models.TextField(blank=True)
    files = models.JSONField(default=list, blank=True)
    version = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("user", "conversation"), name="one_draft_per_conversation"),
            models.UniqueConstraint(
                fields=("user",), condition=Q(conversation=None), name="one_draft_of_a_new_chat"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class Feedback(models.Model):
    """What a person thought of an answer. `reasons` are words of `Reason`, with a space between them. Whoever
    runs the site reads the question and the answer only where the person `shows_turn`."""

    class Reason(models.TextChoices):
        ACCURATE = "accurate", _("Right and complete")
        CLEAR = "clear", _("Well put")
        SOURCED = "sourced", _("Good sources")
        WRONG = "wrong", _("Wrong")
        MADE_UP = "made_up", _("Made up, or without a source")
        MISREAD = "misread", _("Did not do what I asked")
        UNFINISHED = "unfinished", _("Left something out")
        SLOW = "slow", _("Too slow or too dear")
        HARMFUL = "harmful", _("Harmful")
        OTHER = "other", _("Something else")

    NOTE_CHARS = 2_000

    turn = models.OneToOneField(Turn, on_delete=models.CASCADE, related_name="feedback")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    is_good = models.BooleanField(_("good"))
    reasons = models.CharField(_("reasons"), max_length=120, blank=True)
    note = models.TextField(_("note"), max_length=NOTE_CHARS, blank=True)
    shows_turn = models.BooleanField(_("shows its text"), default=False)
    created_at = models.DateTimeField(_("first given"), auto_now_add=True)
    updated_at = models.DateTimeField(_("given"), auto_now=True, db_index=True)

    class Meta:
        ordering = ("-updated_at",)
        verbose_name = _("feedback")
        verbose_name_plural = _("feedback")

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def reason_list(self) -> list[str]:
        return self.reasons.split()


class Notice(models.Model):
    """That a run is over, to be told one way. `id` is the same at each try, so that a receiver can tell a
    second arrival. `due_at` is when the next try is; null: it was told, or needed no telling."""

    class Channel(models.TextChoices):
        EMAIL = "email", _("Email")
        WEBHOOK = "webhook", _("Webhook")

    class State(models.TextChoices):
        DUE = "due", _("Due")
        SENT = "sent", _("Sent")
        SEEN = "seen", _("Seen in the chat")
        FAILED = "failed", _("Failed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="notices")
    channel = models.CharField(max_length=8, choices=Channel)
    state = models.CharField(max_length=8, choices=State, default=State.DUE)
    due_at = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("turn", "channel"), name="one_notice_per_turn_and_channel"),
        ]
        indexes: ClassVar = [
            models.Index(fields=("due_at",), condition=Q(due_at__isnull=False), name="notices_due")
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.channel} {self.state}"
