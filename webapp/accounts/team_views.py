"""The pages of teams: who is in, projects, service keys, money. A view parses, makes one domain call and
answers; what a role does not allow is 403, and another's team is 404."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import wraps
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts import attempts, invitations, keys, team_forms, teams
from webapp.accounts.models import ApiKey, Invitation, Membership, Project, Role, Team
from webapp.accounts.views import PersonRequest
from webapp.billing import accounts, budgets, figures, papers, pricing, vouchers
from webapp.billing.figures import Span
from webapp.billing.models import Account, Budget, Invoice, Scope

View = Callable[..., HttpResponse]
GRACES_H = {"0": 0, "1": 1, "24": 24}  # for how long a rotated key's old secret stays good


def refusing(view: View) -> View:
    """What the domain refuses is told to the person: on the page, or as 403."""

    @wraps(view)
    def told(request: PersonRequest, *args: Any, **options: Any) -> HttpResponse:
        try:
            return view(request, *args, **options)
        except teams.NotAllowed as refusal:
            raise PermissionDenied(str(refusal)) from None
        except (teams.TeamRefusal, vouchers.NotRedeemable) as refusal:
            messages.error(request, str(refusal))
            return redirect("team", options["team_id"])

    return told


@login_required
@require_http_methods(["GET", "POST"])
def index(request: PersonRequest) -> HttpResponse:
    form = team_forms.NameForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        team = teams.create(request.user, name=form.cleaned_data["name"])
        return redirect("team", team.pk)
    mine = Membership.objects.filter(user=request.user, team__archived_at=None).select_related("team")
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    context = {"form": form, "memberships": mine, "section": "teams"}
    return render(request, "accounts/teams.html", context, status=status)


@login_required
@never_cache
@require_http_methods(["GET"])
def show(request: PersonRequest, team_id: UUID) -> HttpResponse:
    return _page(request, _team(request, team_id))


@login_required
@require_POST
@refusing
def add_member(request: PersonRequest, team_id: UUID) -> HttpResponse:
    team = _team(request, team_id)
    form = team_forms.MemberForm(request.POST)
    if not form.is_valid():
        return _page(request, team, member_form=form)
    who, role = form.cleaned_data["who"], form.cleaned_data["role"]
    if form.is_address(who):
        _invite(request, team, address=who, role=role)
    else:
        teams.add(request.user, team, who=who, role=role)
    return redirect("team", team.pk)


@login_required
@require_POST
@refusing
def withdraw_invitation(request: PersonRequest, team_id: UUID, invitation_id: int) -> HttpResponse:
    team = _team(request, team_id)
    invitations.withdraw(request.user, get_object_or_404(Invitation, pk=invitation_id, team=team))
    return redirect("team", team.pk)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def invitation(request: PersonRequest, token: str) -> HttpResponse:
    """What the mailed link opens: the question, and on yes the team."""
    if request.method == "POST":
        # What is refused is so still when the page is made: it says why.
        with suppress(teams.TeamRefusal):
            return redirect("team", invitations.accept(request.user, token).team_id)
    found = invitations.of_token(token)
    context = {"invitation": found, "is_mine": found is not None and invitations.is_for(request.user, found)}
    status = HTTPStatus.OK if found else HTTPStatus.NOT_FOUND
    return render(request, "accounts/invitation.html", context, status=status)


@login_required
@require_POST
@refusing
def change_member(request: PersonRequest, team_id: UUID, membership_id: int) -> HttpResponse:
    """A role, or out: with the button `remove`."""
    team = _team(request, team_id)
    membership = get_object_or_404(Membership, pk=membership_id, team=team)
    if "remove" in request.POST:
        teams.remove(request.user, membership)
        return redirect("teams") if membership.user_id == request.user.pk else redirect("team", team.pk)
    form = team_forms.RoleForm(request.POST)
    if form.is_valid():
        teams.set_role(request.user, membership, role=form.cleaned_data["role"])
    return redirect("team", team.pk)


@login_required
@require_POST
@refusing
def add_project(request: PersonRequest, team_id: UUID) -> HttpResponse:
    team = _team(request, team_id)
    form = team_forms.NameForm(request.POST)
    if not form.is_valid():
        return _page(request, team, project_form=form)
    teams.create_project(request.user, team, name=form.cleaned_data["name"])
    return redirect("team", team.pk)


@login_required
@require_POST
@refusing
def archive_project(request: PersonRequest, team_id: UUID, project_id: UUID) -> HttpResponse:
    team = _team(request, team_id)
    teams.archive_project(request.user, get_object_or_404(Project, pk=project_id, team=team))
    return redirect("team", team.pk)


@login_required
@never_cache
@require_POST
@refusing
def create_key(request: PersonRequest, team_id: UUID) -> HttpResponse:
    """The page shows the secret, once."""
    team = _team(request, team_id)
    teams.require(request.user, team, "use")
    form = team_forms.ServiceKeyForm(request.POST, projects=_projects(team))
    if not form.is_valid():
        return _page(request, team, key_form=form)
    _key, secret = keys.create(request.user, **form.cleaned_data)
    return _page(request, team, secret=secret)


@login_required
@never_cache
@require_POST
@refusing
def change_key(request: PersonRequest, team_id: UUID, key_id: UUID) -> HttpResponse:
    """`rotate` shows a new secret, once; the old one is good for `grace_h` more. `revoke` ends the key."""
    team = _team(request, team_id)
    key = get_object_or_404(ApiKey, pk=key_id, project__team=team, revoked_at=None)
    if "rotate" in request.POST:
        grace = timedelta(hours=GRACES_H.get(request.POST.get("grace_h", ""), 24))
        return _page(request, team, secret=teams.rotate_key(request.user, key, grace=grace))
    teams.revoke_key(request.user, key)
    return redirect("team", team.pk)


@login_required
@require_POST
@refusing
def set_budget(request: PersonRequest, team_id: UUID) -> HttpResponse:
    team = _team(request, team_id)
    teams.require(request.user, team, "money")
    form = team_forms.BudgetForm(request.POST)
    if not form.is_valid():
        return _page(request, team, budget_form=form)
    budgets.set_for(
        Scope.TEAM,
        str(team.pk),
        period=Budget.Period.MONTH,
        currency=accounts.of_team(team).currency,
        soft=form.cleaned_data["soft"],
        hard=form.cleaned_data["hard"],
    )
    return redirect("team", team.pk)


@login_required
@require_POST
@refusing
def redeem_for_team(request: PersonRequest, team_id: UUID) -> HttpResponse:
    team = _team(request, team_id)
    teams.require(request.user, team, "money")
    _redeem(request, accounts.of_team(team))
    return redirect("team", team.pk)


@login_required
@require_POST
def redeem(request: PersonRequest) -> HttpResponse:
    try:
        _redeem(request, accounts.of(request.user))
    except vouchers.NotRedeemable as refusal:
        messages.error(request, str(refusal))
    return redirect("keys_and_usage")


@login_required
@require_http_methods(["GET"])
def invoice(request: PersonRequest, number: str, kind: str) -> HttpResponse:
    """Of the person's own account, or of a team whose money they keep."""
    found = get_object_or_404(Invoice.objects.select_related("account__team"), number=number)
    team = found.account.team
    is_theirs = found.account.user_id == request.user.pk or (
        team is not None and teams.may(request.user, team, "money")
    )
    if not is_theirs or kind not in papers.KINDS:
        raise Http404
    return papers.of(found, kind)


def _redeem(request: PersonRequest, account: Account) -> None:
    if attempts.take("voucher", request.user.get_username(), request):
        raise vouchers.NotRedeemable(_("Too many codes were tried. Try again in a quarter of an hour."))
    form = team_forms.VoucherForm(request.POST)
    code = form.cleaned_data["code"] if form.is_valid() else ""
    entry = vouchers.redeem(account, code)
    values = {"amount": pricing.to_decimal(entry.amount_nano).normalize(), "currency": account.currency}
    messages.success(request, _("%(amount)s %(currency)s were added.") % values)


def _invite(request: PersonRequest, team: Team, *, address: str, role: str) -> None:
    if attempts.take("invite", request.user.get_username(), request):
        raise teams.TeamRefusal(_("Too many were invited. Try again in a quarter of an hour."))

    def link_of(token: str) -> str:
        return request.build_absolute_uri(reverse("invitation", args=[token]))

    sent = invitations.invite(request.user, team, address=address, role=role, link_of=link_of)
    values = {"address": sent.address, "num_days": invitations.LIVES_FOR.days}
    messages.success(request, _("%(address)s was sent a link, good for %(num_days)d days.") % values)


def _team(request: PersonRequest, team_id: UUID) -> Team:
    team = teams.for_user(request.user, team_id)
    if team is None:
        raise Http404
    return team


def _projects(team: Team) -> Any:
    return team.projects.filter(archived_at=None)


def _page(request: PersonRequest, team: Team, **said: Any) -> HttpResponse:
    """The team's one page; forms with faults come in `said`, as does a secret that was just made."""
    role = teams.role_of(request.user, team) or ""
    account = accounts.of_team(team)
    budget = Budget.objects.filter(
        scope=Scope.TEAM, subject=str(team.pk), period="month", currency=account.currency
    ).first()
    today = timezone.localdate()
    span = Span(first_day=today.replace(day=1), last_day=today)
    names = dict(team.projects.values_list("pk", "name"))
    lines = figures.by(span, "project", where=Q(project__team=team))
    limits = {"soft": _amount(budget.soft_nano), "hard": _amount(budget.hard_nano)} if budget else {}
    context = {
        "section": "teams",
        "team": team,
        "role": Role(role).label,
        "may": teams.MAY[role],
        "members": team.memberships.select_related("user"),
        "invitations": invitations.waiting(team) if "people" in teams.MAY[role] else [],
        "roles": Role.choices,
        "projects": _projects(team),
        "keys": teams.keys_of(request.user, team),
        "account": account,
        "balance": pricing.to_decimal(account.balance_nano),
        "state": budgets.state(budget) if budget else None,
        "lines": [(names.get(line.group, ""), line) for line in lines],
        "invoices": account.invoices.all()[:12],
        "entries": teams.audit_of(request.user, team)[:30] if "audit" in teams.MAY[role] else [],
        "member_form": team_forms.MemberForm(),
        "project_form": team_forms.NameForm(prefix=None),
        "key_form": team_forms.ServiceKeyForm(projects=_projects(team)),
        "budget_form": team_forms.BudgetForm(initial=limits),
        "voucher_form": team_forms.VoucherForm(),
        **said,
    }
    has_faults = any(getattr(form, "errors", None) for form in said.values())
    status = HTTPStatus.UNPROCESSABLE_ENTITY if has_faults else HTTPStatus.OK
    return render(request, "accounts/team.html", context, status=status)


def _amount(nano: int | None) -> Any:
    return None if nano is None else pricing.to_decimal(nano).normalize()
