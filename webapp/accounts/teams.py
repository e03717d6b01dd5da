"""Teams: who is in, in which role, and what that role may do; their projects and service keys.

Every function takes the person who asks and raises NotAllowed when their role does not let them.
"""

from datetime import timedelta
from typing import Literal
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp.accounts import keys
from webapp.accounts.models import ApiKey, AuditEntry, Membership, Project, Role, Team, User

Action = Literal["look", "use", "people", "projects", "keys", "money", "audit", "owners"]

MAY: dict[str, frozenset[Action]] = {
    Role.OWNER: frozenset(("look", "use", "people", "projects", "keys", "money", "audit", "owners")),
    Role.ADMIN: frozenset(("look", "use", "people", "projects", "keys", "money", "audit")),
    Role.MEMBER: frozenset(("look", "use")),
    Role.BILLING: frozenset(("look", "money")),
    Role.VIEWER: frozenset(("look",)),
}


class NotAllowed(Exception):
    """The text says what is missing, and is fit to show to the person."""


class TeamRefusal(Exception):
    """What was asked for cannot be; the text says why and is fit to show."""


def role_of(user: User, team: Team) -> str | None:
    return Membership.objects.filter(team=team, user=user).values_list("role", flat=True).first()


def may(user: User, team: Team, action: Action) -> bool:
    role = role_of(user, team)
    return role is not None and action in MAY[role]


def require(user: User, team: Team, action: Action) -> None:
    if not may(user, team, action):
        raise NotAllowed(
            _("Your role in %(team)s does not allow this. Ask one of its owners.") % {"team": team}
        )


def create(user: User, *, name: str) -> Team:
    """A new team with its first project; whoever makes it owns it."""
    with transaction.atomic():
        team = Team.objects.create(name=name)
        Membership.objects.create(team=team, user=user, role=Role.OWNER)
        Project.objects.create(team=team, name=_("Default"))
        return team


def rename(user: User, team: Team, *, name: str) -> None:
    require(user, team, "people")
    team.name = name
    team.save(update_fields=["name"])


def archive(user: User, team: Team) -> None:
    """Its keys open nothing any more; what it used and paid stays to be read."""
    require(user, team, "owners")
    team.archived_at = timezone.now()
    team.save(update_fields=["archived_at"])
    keys.forget()


def add(user: User, team: Team, *, who: str, role: str) -> Membership:
    """Let the person of this name in. Raises TeamRefusal when there is none, or they are in. Who is known by
    their address alone is invited: see `invitations`."""
    require_for_role(user, team, role)
    person = User.objects.filter(username=who, is_active=True).first()
    if person is None:
        raise TeamRefusal(_("Nobody here has this name. Invite them by their email address."))
    try:
        with transaction.atomic():
            return Membership.objects.create(team=team, user=person, role=role)
    except IntegrityError:
        raise TeamRefusal(_("%(person)s is in the team already.") % {"person": person}) from None


def set_role(user: User, membership: Membership, *, role: str) -> None:
    require_for_role(user, membership.team, membership.role)
    require_for_role(user, membership.team, role)
    with transaction.atomic():
        _keep_an_owner(membership, becomes=role)
        membership.role = role
        membership.save(update_fields=["role"])


def remove(user: User, membership: Membership) -> None:
    """Out of the team, and their keys of its projects with them. Everybody may leave by themselves."""
    if membership.user_id != user.pk:
        require_for_role(user, membership.team, membership.role)
    with transaction.atomic():
        _keep_an_owner(membership, becomes=None)
        mine = ApiKey.objects.filter(project__team=membership.team, user=membership.user, revoked_at=None)
        for key in mine:
            keys.revoke(key)
        membership.delete()


def create_project(user: User, team: Team, *, name: str) -> Project:
    require(user, team, "projects")
    try:
        with transaction.atomic():
            return Project.objects.create(team=team, name=name)
    except IntegrityError:
        raise TeamRefusal(_("The team has a project of this name already.")) from None


def archive_project(user: User, project: Project) -> None:
    """Its keys open nothing any more."""
    require(user, project.team, "projects")
    project.archived_at = timezone.now()
    project.save(update_fields=["archived_at"])
    keys.forget()


def keys_of(user: User, team: Team) -> list[ApiKey]:
    """The service keys that the person may see: all, or those they made."""
    require(user, team, "look")
    live = ApiKey.objects.filter(project__team=team, revoked_at=None).select_related("project", "user")
    return list(live if may(user, team, "keys") else live.filter(user=user))


def rotate_key(user: User, key: ApiKey, *, grace: timedelta = keys.GRACE) -> str:
    """The key's new secret. Whoever has it acts as the person who made the key: nobody else gets it."""
    if key.user_id != user.pk:
        raise NotAllowed(_("This key is somebody else's."))
    return keys.rotate(key, grace=grace)


def revoke_key(user: User, key: ApiKey) -> None:
    """One's own, or one of a team whose keys are this person's to keep."""
    if key.user_id != user.pk:
        if key.project is None:
            raise NotAllowed(_("This key is somebody else's."))
        require(user, key.project.team, "keys")
    keys.revoke(key)


def audit_of(user: User, team: Team) -> list[AuditEntry]:
    require(user, team, "audit")
    return list(AuditEntry.objects.filter(team_id=team.pk)[:200])


def for_user(user: User, team_id: UUID) -> Team | None:
    """None where the person is not in: another's team is not there for them."""
    return Team.objects.for_user(user).filter(pk=team_id, archived_at=None).first()


def require_for_role(user: User, team: Team, role: str) -> None:
    """That the person may give and take this role."""
    require(user, team, "owners" if role == Role.OWNER else "people")


def _keep_an_owner(membership: Membership, *, becomes: str | None) -> None:
    """Call it inside a transaction. The team's row is locked: two owners who leave at once cannot both go."""
    if membership.role != Role.OWNER or becomes == Role.OWNER:
        return
    Team.objects.select_for_update().get(pk=membership.team_id)
    others = Membership.objects.filter(team=membership.team, role=Role.OWNER).exclude(pk=membership.pk)
    if not others.exists():
        raise TeamRefusal(_("The team would have no owner: make somebody else one first."))
