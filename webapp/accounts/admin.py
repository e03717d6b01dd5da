"""Users, teams, API keys and the audit log. The secret of a key is shown once, after it was made."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from webapp.accounts import keys
from webapp.accounts.models import ApiKey, AuditEntry, Membership, Project, Team, User

if TYPE_CHECKING:
    AuditAdmin = admin.ModelAdmin[AuditEntry]
    TeamAdminBase = admin.ModelAdmin[Team]
    MembershipLine = admin.TabularInline[Membership, Team]
    ProjectLine = admin.TabularInline[Project, Team]
    KeyAdmin = admin.ModelAdmin[ApiKey]
    UserAdminBase = DjangoUserAdmin[User]
    KeyForm = ModelForm[ApiKey]
else:
    KeyAdmin, KeyForm, UserAdminBase = admin.ModelAdmin, ModelForm, DjangoUserAdmin
    AuditAdmin = TeamAdminBase = admin.ModelAdmin
    MembershipLine = ProjectLine = admin.TabularInline


@admin.register(User)
class UserAdmin(UserAdminBase):
    list_display = ("username", "email", "is_active", "is_staff", "date_joined", "last_login")
    ordering = ("-date_joined",)
    fieldsets = (*(DjangoUserAdmin.fieldsets or ()), (_("Preferences"), {"fields": ("theme", "language")}))
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "email", "usable_password", "password1", "password2"),
            },
        ),
    )


class Members(MembershipLine):
    model = Membership
    raw_id_fields = ("user",)
    extra = 0


class Projects(ProjectLine):
    model = Project
    fields = ("name", "archived_at")
    extra = 0


@admin.register(Team)
class TeamAdmin(TeamAdminBase):
    list_display = ("name", "created_at", "archived_at")
    list_filter = (("archived_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "memberships__user__username")
    fields = ("name", "archived_at")
    inlines = (Members, Projects)

    def has_delete_permission(self, request: HttpRequest, obj: Team | None = None) -> bool:
        """Its account and what it used stay: it is archived."""
        return False


@admin.register(AuditEntry)
class AuditEntryAdmin(AuditAdmin):
    list_display = ("at", "actor", "address", "action", "kind", "subject", "changed")
    list_filter = ("action", "kind", "at")
    search_fields = ("actor", "subject", "address")
    date_hierarchy = "at"

    @admin.display(description=_("from what to what"))
    def changed(self, entry: AuditEntry) -> str:
        names = sorted({*entry.before, *entry.after}) if entry.action == AuditEntry.Action.CHANGED else []
        lines = [f"{name}: {entry.before.get(name)} → {entry.after.get(name)}" for name in names]
        return "; ".join(lines)[:300]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(KeyAdmin):
    list_display = (
        *("name", "prefix", "user", "project"),
        *("created_at", "last_used_at", "expires_at", "revoked_at"),
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "created_at")
    list_select_related = ("user", "project")
    search_fields = ("name", "prefix", "user__username", "user__email")
    fields = (
        *("user", "project", "name", "scopes", "model_names", "networks", "expires_at", "fails_closed"),
        *("prefix", "created_at", "last_used_at", "previous_until", "revoked_at"),
    )
    readonly_fields = ("prefix", "created_at", "last_used_at", "previous_until", "revoked_at")
    raw_id_fields = ("user", "project")
    actions = ("revoke",)

    @admin.action(description=_("Revoke the selected keys"))
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        revoked = [key for key in queryset if key.revoked_at is None]
        for key in revoked:
            keys.revoke(key)
            self.log_change(request, key, "Revoked.")
        self.message_user(
            request,
            ngettext("%d key was revoked.", "%d keys were revoked.", len(revoked)) % len(revoked),
            messages.SUCCESS,
        )

    def save_model(self, request: HttpRequest, obj: ApiKey, form: KeyForm, change: bool) -> None:
        if change:
            obj.save()
            keys.forget()
            return
        key, secret = keys.create(
            obj.user,
            name=obj.name,
            project=obj.project,
            scopes=obj.scopes,
            model_names=obj.model_names,
            networks=obj.networks,
            expires_at=obj.expires_at,
        )
        obj.__dict__.update(key.__dict__)
        note = _("The key is %(secret)s. Copy it now: it is not shown again.") % {"secret": secret}
        self.message_user(request, note, messages.WARNING)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """A key never changes hands."""
        return (*self.readonly_fields, "user", "project") if obj else self.readonly_fields

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Usage records name the key, so it is revoked, not deleted."""
        return False
