"""Users and their API keys. A key's secret is shown once, in the message after it was made."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from webapp.accounts import keys
from webapp.accounts.models import ApiKey, User

if TYPE_CHECKING:
    KeyAdmin = admin.ModelAdmin[ApiKey]
    UserAdminBase = DjangoUserAdmin[User]
    KeyForm = ModelForm[ApiKey]
else:
    KeyAdmin, KeyForm, UserAdminBase = admin.ModelAdmin, ModelForm, DjangoUserAdmin


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


@admin.register(ApiKey)
class ApiKeyAdmin(KeyAdmin):
    list_display = ("name", "prefix", "user", "created_at", "last_used_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "created_at")
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username", "user__email")
    fields = ("user", "name", "prefix", "created_at", "last_used_at", "revoked_at")
    readonly_fields = ("prefix", "created_at", "last_used_at", "revoked_at")
    raw_id_fields = ("user",)
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
            obj.save(update_fields=["name"])
            return
        key, secret = keys.create(obj.user, name=obj.name)
        obj.__dict__.update(key.__dict__)
        note = _("The key is %(secret)s. Copy it now: it is not shown again.") % {"secret": secret}
        self.message_user(request, note, messages.WARNING)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """A key never changes hands."""
        return (*self.readonly_fields, "user") if obj else self.readonly_fields

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Usage records name the key, so it is revoked, not deleted."""
        return False
