"""The settings of the chat: how a person likes to work, presets, memory, and who tells them that a run is
over."""

from http import HTTPStatus
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from chat import account_data, memories, notices, preferences, presets, toolsets
from chat.models import Memory, Preset, Turn
from chat.personal_forms import ChatForm, DeleteAccountForm, MemoryForm, NotificationForm, PresetForm
from webapp.accounts import closing
from webapp.accounts.models import User
from webapp.webhooks import endpoints
from webapp.webhooks.models import Endpoint


class SignedInRequest(HttpRequest):
    user: User


@login_required
@require_http_methods(["GET", "POST"])
def chat(request: SignedInRequest) -> HttpResponse:
    form = ChatForm(request.POST or None, instance=preferences.of(request.user))
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Saved."))
        return redirect("chat_settings")
    context = {"form": form, "presets": presets.of_user(request.user), "section": "chat"}
    return render(request, "personal/chat.html", context, status=_status(form))


@login_required
@require_http_methods(["GET", "POST"])
def preset(request: SignedInRequest, preset_id: int | None = None) -> HttpResponse:
    """One preset, or a new one."""
    found = (
        get_object_or_404(Preset, pk=preset_id, user=request.user) if preset_id else Preset(user=request.user)
    )
    form = PresetForm(
        request.POST or None,
        instance=found,
        user=request.user,
        tools=toolsets.names_of_all(),
        initial={"tools": found.tools},
    )
    if request.method == "POST" and not preset_id and len(presets.of_user(request.user)) >= presets.MOST:
        form.add_error(None, _("You have as many presets as there may be. Delete one first."))
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("chat_settings")
    context = {"form": form, "preset": found if preset_id else None, "section": "chat"}
    return render(request, "personal/preset.html", context, status=_status(form))


@login_required
@require_POST
def delete_preset(request: SignedInRequest, preset_id: int) -> HttpResponse:
    get_object_or_404(Preset, pk=preset_id, user=request.user).delete()
    return redirect("chat_settings")


# ---- memory


@login_required
@require_http_methods(["GET", "POST"])
def memory(request: SignedInRequest) -> HttpResponse:
    """What is remembered; a line is added, memory is switched on or off, all is forgotten."""
    form = MemoryForm(request.POST if "text" in request.POST else None)
    if request.method == "POST" and "switch" in request.POST:
        own = preferences.of(request.user)
        own.uses_memory = request.POST["switch"] == "on"
        own.save()
        return redirect("memory")
    if request.method == "POST" and "forget" in request.POST:
        memories.forget(request.user)
        return redirect("memory")
    if request.method == "POST" and form.is_valid():
        try:
            memories.write(request.user, form.cleaned_data["text"])
            return redirect("memory")
        except memories.TooManyMemories:
            form.add_error("text", _("There are as many memories as there may be. Delete some first."))
    rows = Memory.objects.for_user(request.user).select_related("turn")
    context = {"form": form, "own": preferences.of(request.user), "memories": rows, "section": "memory"}
    return render(request, "personal/memory.html", context, status=_status(form))


@login_required
@require_POST
def change_memory(request: SignedInRequest, memory_id: int) -> HttpResponse:
    """Its new text; none deletes it."""
    found = get_object_or_404(Memory.objects.for_user(request.user), pk=memory_id)
    if text := request.POST.get("text", "").strip():
        memories.change(found, text=text)
    else:
        found.delete()
    return redirect("memory")


# ---- notifications


@login_required
@require_http_methods(["GET", "POST"])
def notifications(request: SignedInRequest) -> HttpResponse:
    form = NotificationForm(request.POST or None, instance=preferences.of(request.user))
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Saved."))
        return redirect("notifications")
    return _notifications(request, form)


@login_required
@require_POST
def add_webhook(request: SignedInRequest) -> HttpResponse:
    """A new address; its secret is shown this once."""
    try:
        made = endpoints.create(
            request.user,
            url=request.POST.get("url", "").strip(),
            event_types=[notices.EVENT],
            name=_("Runs that are over"),
        )
    except endpoints.BadEndpoint as fault:
        form = NotificationForm(instance=preferences.of(request.user))
        return _notifications(request, form, fault=str(fault), url=request.POST.get("url", ""))
    return _notifications(request, NotificationForm(instance=preferences.of(request.user)), made=made)


@login_required
@require_POST
def delete_webhook(request: SignedInRequest, endpoint_id: str) -> HttpResponse:
    get_object_or_404(Endpoint.objects.for_user(request.user), pk=endpoint_id).delete()
    return redirect("notifications")


def _notifications(
    request: SignedInRequest,
    form: NotificationForm,
    *,
    fault: str = "",
    url: str = "",
    made: Endpoint | None = None,
) -> HttpResponse:
    context = {
        "form": form,
        "fault": fault,
        "url": url,
        "made": made,
        "endpoints": Endpoint.objects.for_user(request.user).filter(api_key=None),
        "section": "notifications",
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if fault else _status(form)
    return render(request, "personal/notifications.html", context, status=status)


@login_required
@require_GET
def notice(request: SignedInRequest, turn_id: UUID) -> HttpResponse:
    """What a page says of a run that is over while nobody looks at it."""
    mine = Turn.objects.for_user(request.user).filter(spawned_by=None).select_related("conversation")
    found = get_object_or_404(mine, pk=turn_id, finished_at__isnull=False)
    title, text = notices.words(found)
    assert found.finished_at is not None
    took_s = (found.finished_at - found.created_at).total_seconds()
    is_long = took_s >= preferences.of(request.user).notifies_after_s
    return JsonResponse({"title": title, "text": text, "is_long": is_long})


# ---- all of it


@login_required
@require_http_methods(["GET", "POST"])
def data(request: SignedInRequest) -> HttpResponse:
    """One's data as a file, and the end of the account."""
    form = DeleteAccountForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        user = request.user
        logout(request)
        closing.close(user)
        return redirect("sign_in")
    return render(request, "personal/data.html", {"form": form, "section": "data"}, status=_status(form))


@login_required
@require_GET
def export_account(request: SignedInRequest) -> HttpResponseBase:
    file = account_data.export(request.user)
    return FileResponse(file, as_attachment=True, filename="kimi-k2-thinking.zip")


def _status(form: forms.BaseForm) -> int:
    return HTTPStatus.UNPROCESSABLE_ENTITY if form.is_bound and form.errors else HTTPStatus.OK
