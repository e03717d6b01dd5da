"""What a turn leaves behind while it works: its tool runs, plan, facts, passages and artifacts."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.models.talk import Turn


class ToolRun(models.Model):
    """The durable record of one tool call: what it may do to the world, and how far it is.

    Written with the model's reply (state `intended`), before the tool runs. `key` is the same whenever it is
    run again. `index` is the call's place in its step; arguments that a person changed make a further
    `edition`.
    """

    class State(models.TextChoices):
        INTENDED = "intended", _("Intended")
        BEGUN = "begun", _("Begun")  # an effect outside may have happened
        WAITING = "waiting", _("Waiting")  # for a person, other agents or the clock
        DONE = "done", _("Done")
        REPLACED = "replaced", _("Replaced by another edition")

    class Decision(models.TextChoices):
        APPROVED = "approved", _("Approved")
        REFUSED = "refused", _("Refused")
        ANSWERED = "answered", _("Answered")
        HAPPENED = "happened", _("It had happened")  # of a run whose end was lost
        EXPIRED = "expired", _("Expired")

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="tool_runs")
    step = models.PositiveIntegerField()
    index = models.PositiveSmallIntegerField()
    edition = models.PositiveSmallIntegerField(default=0)
    call_id = models.CharField(max_length=128)
    tool = models.CharField(max_length=64)
    arguments = models.TextField()
    arguments_sha256 = models.CharField(max_length=64)
    key = models.CharField(max_length=120, unique=True)
    effect = models.CharField(max_length=8)  # agents.tool.Effect
    state = models.CharField(max_length=8, choices=State, default=State.INTENDED)
    tries = models.PositiveSmallIntegerField(default=0)

    waiting_for = models.CharField(max_length=12, blank=True)  # agents.tool.WaitingFor
    prompt = models.TextField(blank=True)  # what the person is asked
    expires_at = models.DateTimeField(null=True, blank=True)
    decision = models.CharField(max_length=8, choices=Decision, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    answer = models.TextField(blank=True)  # what the person wrote

    trust = models.CharField(max_length=10, blank=True)  # agents.tool.Trust of its result
    is_cached = models.BooleanField(default=False)
    fetched_at = models.DateTimeField(null=True, blank=True)  # of a cached result: when it was made
    sandbox_ms = models.PositiveBigIntegerField(default=0)
    fetched_bytes = models.PositiveBigIntegerField(default=0)
    cost_nano = models.PositiveBigIntegerField(default=0)
    saved_nano = models.PositiveBigIntegerField(default=0)  # that the cache spared
    saved_ms = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("step", "index", "edition")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("turn", "step", "index", "edition"), name="one_run_per_place"),
        ]
        indexes: ClassVar = [
            models.Index(fields=("expires_at",), condition=models.Q(state="waiting"), name="runs_waiting")
        ]

    def __str__(self) -> str:
        return f"{self.turn_id} {self.step}.{self.index} {self.tool}"


class PlanItem(models.Model):
    """A line of the turn's plan, in phases. `evidence` holds ids of calls, passages or facts."""

    class Status(models.TextChoices):
        OPEN = "todo", _("To do")
        DOING = "doing", _("Under way")
        DONE = "done", _("Done")
        DROPPED = "dropped", _("Dropped")

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="plan_items")
    position = models.PositiveSmallIntegerField()
    phase = models.CharField(max_length=80, blank=True)
    text = models.CharField(max_length=500)
    status = models.CharField(max_length=8, choices=Status, default=Status.OPEN)
    evidence = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ("position",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("turn", "position"), name="one_item_per_place"),
        ]

    def __str__(self) -> str:
        return self.text


class Fact(models.Model):
    """What the model wants to remember for the rest of the turn, with the ids of its evidence."""

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="facts")
    key = models.CharField(max_length=120)  # of the call that wrote it
    text = models.TextField()
    evidence = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints: ClassVar = [models.UniqueConstraint(fields=("turn", "key"), name="one_fact_per_key")]

    def __str__(self) -> str:
        return self.text[:80]


class Passage(models.Model):
    """A piece of a source that an answer may cite as number `number` of its turn. `sha256` is of `text`."""

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="passages")
    number = models.PositiveIntegerField()
    call_id = models.CharField(max_length=128)
    source = models.CharField(max_length=2_000)
    title = models.CharField(max_length=300, blank=True)
    text = models.TextField()
    sha256 = models.CharField(max_length=64)
    trust = models.CharField(max_length=10)
    fetched_at = models.DateTimeField()

    class Meta:
        ordering = ("number",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("turn", "number"), name="one_passage_per_number"),
        ]

    def __str__(self) -> str:
        return f"[{self.number}] {self.source[:80]}"


class Artifact(models.Model):
    """A text kept in full beside the conversation: a result too long for the model, or a work made for the
    person."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="artifacts")
    call_id = models.CharField(max_length=128)
    name = models.CharField(max_length=200)
    media_type = models.CharField(max_length=100, default="text/plain")
    text = models.TextField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("created_at",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("turn", "call_id", "name"), name="one_artifact_per_name"),
        ]

    def __str__(self) -> str:
        return self.name
