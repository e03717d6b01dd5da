"""Invitations into a team, by mail: whoever opens the link has read what was sent to the address, and comes
in with the account of that address alone. A link is good once, for some days, while its sender may invite.

Anybody may sign up with an address that is not theirs; so an address is never a way into a team by itself.
"""

import hashlib
import logging
import secrets
from collections.abc import Callable
from datetime import timedelta
from smtplib import SMTPException

from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp.accounts import teams
from webapp.accounts.models import Invitation, Membership, Team, User
from webapp.accounts.teams import NotAllowed, TeamRefusal

logger = logging.getLogger(__name__)

LIVES_FOR = timedelta(days=7)


def invite(user: User, team: Team, *, address: str, role: str, link_of: Callable[[str], str]) -> Invitation:
    """Mail the link that `link_of` makes of the token. One invited before gets a new link; the old one ends.
    Raises NotAllowed, and TeamRefusal where the mail cannot be sent."""
    teams.require_for_role(user, team, role)
    address = address.strip().lower()
    if Membership.objects.filter(team=team, user__email__iexact=address).exists():
        raise TeamRefusal(_("%(person)s is in the team already.") % {"person": address})
    token = secrets.token_urlsafe(32)
    try:
        with transaction.atomic():
            Invitation.objects.filter(team=team, address=address, accepted_at=None).delete()
            invitation = Invitation.objects.create(
                team=team,
                address=address,
                role=role,
                invited_by=user,
                token_hash=_hash(token),
                expires_at=timezone.now() + LIVES_FOR,
            )
    except IntegrityError:
        raise TeamRefusal(_("%(person)s was invited a moment ago.") % {"person": address}) from None
    _send(invitation, link_of(token))
    return invitation


def of_token(token: str) -> Invitation | None:
    """The invitation that this link still is."""
    found = Invitation.objects.filter(
        token_hash=_hash(token),
        accepted_at=None,
        expires_at__gt=timezone.now(),
        team__archived_at=None,
        invited_by__is_active=True,
    )
    invitation = found.select_related("team", "invited_by").first()
    if invitation is None:
        return None
    try:
        teams.require_for_role(invitation.invited_by, invitation.team, invitation.role)
    except NotAllowed:
        return None
    return invitation


def is_for(user: User, invitation: Invitation) -> bool:
    return user.email.lower() == invitation.address


def accept(user: User, token: str) -> Membership:
    """Raises TeamRefusal for a link that is good no more, and for somebody else's."""
    invitation = of_token(token)
    if invitation is None:
        raise TeamRefusal(_("This invitation is no longer good. Ask for a new one."))
    if not is_for(user, invitation):
        raise TeamRefusal(
            _("This invitation is for %(address)s. Sign in with the account of that address.")
            % {"address": invitation.address}
        )
    try:
        with transaction.atomic():
            unused = Invitation.objects.filter(pk=invitation.pk, accepted_at=None)
            if not unused.update(accepted_at=timezone.now()):
                raise TeamRefusal(_("This invitation is no longer good. Ask for a new one."))
            return Membership.objects.create(team=invitation.team, user=user, role=invitation.role)
    except IntegrityError:
        raise TeamRefusal(_("%(person)s is in the team already.") % {"person": user}) from None


def waiting(team: Team) -> list[Invitation]:
    return list(team.invitations.filter(accepted_at=None, expires_at__gt=timezone.now()))


def withdraw(user: User, invitation: Invitation) -> None:
    """Its link opens nothing any more. Nothing comes of it for one that was accepted."""
    teams.require_for_role(user, invitation.team, invitation.role)
    if invitation.accepted_at is None:
        invitation.delete()


def _send(invitation: Invitation, link: str) -> None:
    subject = _("%(person)s invites you to %(team)s") % {
        "person": invitation.invited_by.get_username(),
        "team": invitation.team,
    }
    text = render_to_string("accounts/invitation_email.txt", {"invitation": invitation, "link": link})
    try:
        send_mail(" ".join(subject.split()), text, None, [invitation.address])
    except (OSError, SMTPException):
        logger.exception("invitation %s: could not be sent", invitation.pk)
        invitation.delete()
        raise TeamRefusal(
            _("The mail could not be sent, and nobody was invited. Try again later, or tell the operator.")
        ) from None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
