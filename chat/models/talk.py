"""A conversation is a tree of turns; a turn is one user message and all that answers it; a message is made of
parts."""

import uuid
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import User
from webapp.billing.models import Hold
from webapp.catalog.models import ServedModel


class Folder(models.Model):
    """Where a person keeps conversations on one matter; each lies in one folder at most."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="folders")
    name = models.CharField(_("name"), max_length=80)

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [models.UniqueConstraint(fields=("user", "name"), name="one_folder_per_name")]

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    """A word that a person puts on conversations, as many as they like."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(_("name"), max_length=40)

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [models.UniqueConstraint(fields=("user", "name"), name="one_tag_per_name")]

    def __str__(self) -> str:
        return self.name


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def for_user(self, user: User) -> Self:
        """A temporary one that has ended is nobody's."""
        return self.filter(Q(ends_at=None) | Q(ends_at__gt=timezone.now()), user=user)

    def kept(self) -> Self:
        """Those that are not temporary."""
        return self.filter(ends_at=None)


class Conversation(models.Model):
    """`current_turn` is the leaf of the branch on show. What is archived is out of the sidebar, until it goes
    on. One with `ends_at` is temporary: it is in no list, and gone then. `origin` names the document that it
    was made of, so that it is not made twice. Its turns are asked with its `preset`, which may change."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations")
    title = models.CharField(_("title"), max_length=200, blank=True)
    current_turn = models.ForeignKey(
        "Turn", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    folder = models.ForeignKey(
        Folder, on_delete=models.SET_NULL, null=True, blank=True, related_name="conversations"
    )
    tags = models.ManyToManyField(Tag, blank=True, related_name="conversations")
    preset = models.ForeignKey("Preset", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    pinned_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    origin = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True, db_index=True)

    objects: ClassVar[models.Manager["Conversation"]] = ConversationQuerySet.as_manager()

    class Meta:
        ordering = ("-updated_at",)
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=("user", "origin"), condition=~Q(origin=""), name="one_conversation_per_origin"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=("ends_at",), condition=Q(ends_at__isnull=False), name="conversations_temporary"
            ),
            models.Index(fields=("user", "-updated_at"), name="conversations_of_user"),
            models.Index(fields=("user",), condition=Q(pinned_at__isnull=False), name="conversations_pinned"),
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)

    @property
    def is_temporary(self) -> bool:
        return self.ends_at is not None


class TurnQuerySet(models.QuerySet["Turn"]):
    def for_user(self, user: User) -> Self:
        return self.filter(conversation__user=user)


class Turn(models.Model):
    """The durable state of one turn. Its worker holds `fence` and the lease; every write of a worker repeats
    the fence.

    `next_step` is the first step whose reply is not stored. `wake_at` is when the sweep rings for an open
    turn that nobody drives; a waiting turn without one waits for a person. A finished turn keeps its lease
    until its last event, number `last_seq`, is out.

    A turn with `spawned_by` is an agent of another turn: it sees only its own task and is on no branch.
    `budget_*` of the turn at the top counts for all its agents together; of an agent `budget_spent_nano` is
    its own.
    """

    class Status(models.TextChoices):
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        WAITING = "waiting", _("Waiting")
        FINISHED = "finished", _("Finished")

    class Effort(models.TextChoices):
        AUTO = "auto", _("Auto")
        LOW = "low", _("Low")
        HIGH = "high", _("High")
        HEAVY = "heavy", _("Heavy")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="turns")
    parent = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="children"
    )
    continues = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="continued_by"
    )
    is_adopted = models.BooleanField(default=False)  # out of a file or a shared link: a stranger's text
    spawned_by = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="agents"
    )
    team = models.CharField(max_length=40, blank=True)  # how its agents work together: agents.teams
    role = models.CharField(max_length=40, blank=True)  # of an agent in its team
    instructions = models.TextField(blank=True)  # of an agent: what its role adds to the system prompt
    seed = models.PositiveIntegerField(null=True, blank=True)
    heard = models.PositiveSmallIntegerField(default=0)  # by its turn's readers: 1 its start, 2 its end
    client_id = models.UUIDField(default=uuid.uuid4)
    model = models.ForeignKey(ServedModel, on_delete=models.PROTECT, related_name="+")
    hold = models.OneToOneField(Hold, on_delete=models.PROTECT, related_name="turn")

    long_thinking = models.BooleanField(default=False)
    effort = models.CharField(max_length=8, choices=Effort, default=Effort.AUTO)
    max_steps = models.PositiveIntegerField()
    max_seconds = models.PositiveIntegerField()
    max_reasoning_tokens = models.PositiveIntegerField()
    max_output_tokens = models.PositiveIntegerField()
    max_cost_nano = models.BigIntegerField(null=True, blank=True)
    max_total_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    max_sandbox_seconds = models.PositiveIntegerField(null=True, blank=True)
    max_fetched_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    max_calls_per_tool = models.JSONField(default=dict, blank=True)
    plan_needs_approval = models.BooleanField(default=False)
    tool_terms = models.JSONField(default=dict, blank=True)  # chat.frames.ToolTerms

    budget_spent_nano = models.PositiveBigIntegerField(default=0)
    budget_reserved_nano = models.PositiveBigIntegerField(default=0)
    call_reserved_nano = models.PositiveBigIntegerField(default=0)  # of it, for its own call in flight

    status = models.CharField(max_length=8, choices=Status, default=Status.QUEUED)
    next_step = models.PositiveIntegerField(default=1)
    fence = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    num_lost = models.PositiveIntegerField(default=0)  # workers that died since the last stored step
    wake_at = models.DateTimeField(null=True, blank=True)
    waiting_for = models.CharField(max_length=12, blank=True)  # agents.tool.WaitingFor
    parked_at = models.DateTimeField(null=True, blank=True)
    quota_since = models.DateTimeField(null=True, blank=True)  # its provider has refused all requests
    waited_ms = models.PositiveBigIntegerField(default=0)  # in all, before it was last driven
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    last_seq = models.PositiveIntegerField(default=0)

    finish_reason = models.CharField(max_length=12, blank=True)
    limit = models.CharField(max_length=20, blank=True)  # agents.limits.Limit that ended it
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager["Turn"]] = TurnQuerySet.as_manager()

    class Meta:
        ordering = ("created_at",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("conversation", "client_id"), name="one_turn_per_client_id"),
            models.UniqueConstraint(
                fields=("conversation",),
                condition=~Q(status="finished") & Q(spawned_by=None),
                name="one_open_turn_per_conversation",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=("status", "lease_until"), name="turn_sweep")]

    def __str__(self) -> str:
        return str(self.id)


class Message(models.Model):
    """One message of a turn: the user's is step 0, the model's is step n, tool results follow it in the same
    step, then notes of the platform (agents.transcript.Note: their `kind`, and what readers need in
    `data`). An aside is what a model call beside the steps used, and nothing else: its words went to whoever
    asked."""

    class Role(models.TextChoices):
        USER = "user", _("User")
        ASSISTANT = "assistant", _("Assistant")
        TOOL = "tool", _("Tool")
        NOTE = "note", _("Note")
        ASIDE = "aside", _("Aside")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="messages")
    step = models.PositiveIntegerField()
    position = models.PositiveIntegerField(default=0)
    role = models.CharField(max_length=9, choices=Role)
    kind = models.CharField(max_length=12, blank=True)
    data = models.JSONField(default=dict, blank=True)
    finish_reason = models.CharField(max_length=12, blank=True)
    input_uncached_tokens = models.PositiveBigIntegerField(default=0)
    input_cached_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)
    is_estimated = models.BooleanField(default=False)  # the call was cut before its backend counted
    duration_ms = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("step", "position")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("turn", "step", "position"), name="one_message_per_place"),
        ]

    def __str__(self) -> str:
        return f"{self.turn_id} {self.step}.{self.position} {self.role}"


class Part(models.Model):
    """A piece of a message: text, reasoning, a tool call (its arguments in `text`) or a tool result."""

    class Kind(models.TextChoices):
        TEXT = "text", _("Text")
        REASONING = "reasoning", _("Reasoning")
        TOOL_CALL = "tool_call", _("Tool call")
        TOOL_RESULT = "tool_result", _("Tool result")

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="parts")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=Kind)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    tool_name = models.CharField(max_length=64, blank=True)
    tool_call_id = models.CharField(max_length=128, blank=True)
    is_error = models.BooleanField(default=False)
    num_tokens = models.PositiveBigIntegerField(default=0)
    duration_ms = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ("position",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("message", "position"), name="one_part_per_place"),
        ]

    def __str__(self) -> str:
        return f"{self.message_id} {self.position} {self.kind}"
