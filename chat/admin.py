"""The administration of what tools work with: search engines, and a page that tells what is at hand. That of
feedback is in `feedback_admin`."""

import time
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from agents.corpus.index import NoIndex
from agents.search.provider import Query, SearchFailed
from chat import feedback_admin as feedback_admin  # registers itself
from chat import search_tools
from webapp.catalog.backends import provider_key
from webapp.catalog.models import SearchEngine

if TYPE_CHECKING:
    SearchEngineBase = admin.ModelAdmin[SearchEngine]
    SearchEngineFormBase = forms.ModelForm[SearchEngine]
else:
    SearchEngineBase, SearchEngineFormBase = admin.ModelAdmin, forms.ModelForm

TRIAL = Query(text="weather", limit=3)
Kind = SearchEngine.Kind


class SearchEngineForm(SearchEngineFormBase):
    class Meta:
        model = SearchEngine
        fields = ("kind", "is_active", "position", "base_url", "api_key_env", "price_per_search")

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        kind = said.get("kind", self.instance.kind)
        if kind == Kind.SEARXNG and not said.get("base_url"):
            self.add_error("base_url", _("Say where your SearXNG server is."))
        needs_key = kind not in (Kind.LOCAL, Kind.SEARXNG, Kind.VENDOR)
        if needs_key and not said.get("api_key_env"):
            self.add_error("api_key_env", _("Name the variable that holds the key, like BRAVE_API_KEY."))
        return said


@admin.register(SearchEngine)
class SearchEngineAdmin(SearchEngineBase):
    form = SearchEngineForm
    list_display = ("kind", "base_url", "has_what_it_needs", "price_per_search", "is_active", "position")
    list_editable = ("is_active", "position")
    actions = ("try_out",)

    @admin.display(description=_("configured"), boolean=True)
    def has_what_it_needs(self, engine: SearchEngine) -> bool:
        """The key itself is never shown: only whether there is one."""
        if engine.kind in (Kind.LOCAL, Kind.VENDOR):
            return True
        return bool(engine.base_url if engine.kind == Kind.SEARXNG else provider_key(engine.api_key_env))

    @admin.action(description=_("Try the selected engines with one search each"))
    def try_out(self, request: HttpRequest, engines: QuerySet[SearchEngine]) -> None:
        for engine in engines:
            level, text = _outcome(engine)
            self.message_user(request, f"{engine}: {text}", level)


def _outcome(engine: SearchEngine) -> tuple[int, str]:
    if engine.kind == Kind.VENDOR:
        return messages.INFO, str(_("only a model of the vendor can ask it, in a turn."))
    provider = search_tools.provider_of(engine)
    if provider is None:
        missing = _("it has no key: start the platform with %(name)s=…") % {"name": engine.api_key_env}
        return messages.ERROR, str(missing)
    begun = time.monotonic()
    try:
        found = async_to_sync(provider.search)(TRIAL)
    except (SearchFailed, NoIndex) as fault:
        return messages.ERROR, str(fault)
    took = {"count": len(found), "took": f"{1000 * (time.monotonic() - begun):.0f}"}
    return messages.SUCCESS, str(_("it works: %(count)s results in %(took)s ms.") % took)
