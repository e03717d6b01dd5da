"""Whose a budget or a quota is: the id that it is stored under, found by what people call them, and back."""

from contextlib import suppress

from django.core.exceptions import ValidationError
from django.db.models import Q

from webapp.accounts.models import ApiKey, Project, Team, User
from webapp.billing.models import Scope
from webapp.catalog.models import ServedModel

ROWS: dict[str, type[User | Team | Project | ApiKey]] = {
    Scope.USER: User,
    Scope.TEAM: Team,
    Scope.PROJECT: Project,
    Scope.KEY: ApiKey,
}
CALLED: dict[str, tuple[str, ...]] = {
    Scope.USER: ("username", "email__iexact"),
    Scope.TEAM: ("name",),
    Scope.PROJECT: ("name",),
    Scope.KEY: ("prefix",),
}


class NoSubject(Exception):
    """Nobody is called so, or more than one."""


def find(scope: str, said: str) -> str:
    """The id of the one whose id, name, address or beginning this is; of a model its name, of everybody
    nothing. Raises NoSubject."""
    said = said.strip()
    if scope == Scope.GLOBAL:
        return ""
    if scope == Scope.MODEL:
        if not ServedModel.objects.filter(name=said).exists():
            raise NoSubject
        return said
    if _by_id(scope, said) is not None:
        return said
    called = Q()
    for column in CALLED[scope]:
        called |= Q(**{column: said})
    found = list(ROWS[scope]._default_manager.filter(called).values_list("pk", flat=True)[:2])
    if not said or len(found) != 1:
        raise NoSubject
    return str(found[0])


def name_of(scope: str, subject: str) -> str:
    """Whose it is, in words."""
    return str(_by_id(scope, subject) or subject)


def _by_id(scope: str, id: str) -> User | Team | Project | ApiKey | None:
    if scope in ROWS:
        with suppress(ValueError, ValidationError):  # what is no id at all
            return ROWS[scope]._default_manager.filter(pk=id).first()
    return None
