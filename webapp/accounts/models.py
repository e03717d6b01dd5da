"""Who may use the platform: users, their teams and projects, and API keys. A key's secret is shown once and
stored as a hash. And the audit log: who changed what."""

import uuid
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from webapp.accounts.append_only import AppendOnly


class User(AbstractUser):
    """A person. `theme` and `language` follow them from device to device."""

    class Theme(models.TextChoices):
        SYSTEM = "system", _("System")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    email = models.EmailField(_("email address"), unique=True)
    theme = models.CharField(_("theme"), max_length=8, choices=Theme, default=Theme.SYSTEM)
    language = models.CharField(_("language"), max_length=10, blank=True, default="")


class Role(models.TextChoices):
    """What a member of a team may do: `teams.MAY` says it in full."""

    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    MEMBER = "member", _("Member")
    BILLING = "billing", _("Billing")
    VIEWER = "viewer", _("Viewer")


class TeamQuerySet(models.QuerySet["Team"]):
    def for_user(self, user: User) -> Self:
        return self.filter(memberships__user=user)


class Team(models.Model):
    """People who share projects, keys and one account of money."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=80)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    archived_at = models.DateTimeField(_("archived"), null=True, blank=True)

    objects: ClassVar[models.Manager["Team"]] = TeamQuerySet.as_manager()

    class Meta:
        ordering = ("name", "created_at")
        verbose_name = _("team")
        verbose_name_plural = _("teams")

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One person's role in one team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=8, choices=Role, default=Role.MEMBER)
    created_at = models.DateTimeField(_("since"), auto_now_add=True)

    class Meta:
        ordering = ("created_at", "id")
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("team", "user"), name="one_role_in_a_team"),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_role_display()}"


class Invitation(models.Model):
    """A link by mail into a team, for the account of one address. Kept is the hash of its token."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations")
    address = models.EmailField(_("email address"))
    role = models.CharField(_("role"), max_length=8, choices=Role, default=Role.MEMBER)
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"))
    accepted_at = models.DateTimeField(_("accepted"), null=True, blank=True)

    class Meta:
        ordering = ("created_at", "id")
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=("team", "address"), condition=Q(accepted_at=None), name="one_invitation_waits"
            ),
        ]

    def __str__(self) -> str:
        return self.address


class Project(models.Model):
    """A part of a team's work with keys and budgets of its own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="projects")
    name = models.CharField(_("name"), max_length=80)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    archived_at = models.DateTimeField(_("archived"), null=True, blank=True)

    class Meta:
        ordering = ("name", "created_at")
        verbose_name = _("project")
        verbose_name_plural = _("projects")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=("team", "name"), condition=Q(archived_at=None), name="project_names_differ"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class ApiKey(models.Model):
    """A bearer key for the REST API. `prefix` is what people recognise it by; `secret_hash` is SHA-256.

    With a project it is a service key: the project's team pays. While it is being rotated its secret of
    before is good, too, until `previous_until`. An empty list of scopes, models or networks forbids nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    project = models.ForeignKey(
        Project,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="api_keys",
        verbose_name=_("project"),
    )
    name = models.CharField(_("name"), max_length=80)
    prefix = models.CharField(_("prefix"), max_length=12)
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    # NULL, since most keys have none and each value is there once.
    previous_hash = models.CharField(max_length=64, unique=True, null=True, editable=False)  # noqa: DJ001
    previous_until = models.DateTimeField(_("old secret good until"), null=True, editable=False)
    scopes = models.JSONField(_("scopes"), default=list, blank=True)
    model_names = models.JSONField(_("models"), default=list, blank=True)
    networks = models.JSONField(_("networks"), default=list, blank=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    fails_closed = models.BooleanField(
        _("refused without limits"),
        default=False,
        help_text=_("While Redis is down, no limit is known: refuse this key instead of letting it pass."),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    objects: ClassVar[models.Manager["ApiKey"]] = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class AuditEntry(AppendOnly):
    """Who changed what, from what to what. Written by `audit`; never edited, never deleted.

    Names, not references: what is said here holds after its subject is gone.
    """

    class Action(models.TextChoices):
        CREATED = "created", _("Created")
        CHANGED = "changed", _("Changed")
        DELETED = "deleted", _("Deleted")

    at = models.DateTimeField(_("time"), auto_now_add=True, db_index=True)
    actor = models.CharField(_("who"), max_length=150)
    address = models.CharField(_("from"), max_length=64, blank=True)
    action = models.CharField(_("action"), max_length=8, choices=Action)
    kind = models.CharField(_("kind"), max_length=40)
    subject_id = models.CharField(max_length=64)
    subject = models.CharField(_("what"), max_length=200)
    before = models.JSONField(_("before"), default=dict, blank=True)
    after = models.JSONField(_("after"), default=dict, blank=True)
    team_id = models.UUIDField(null=True, db_index=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.kind} {self.subject}"
