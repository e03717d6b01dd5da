"""The thumbs below an answer, and the dialog that asks why. A thumb counts at once, its reasons follow."""

from http import HTTPStatus
from uuid import UUID

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods
from django_htmx.middleware import HtmxDetails

from chat import feedback as feedbacks
from chat.models import Feedback, Turn
from webapp.accounts.models import User


class SignedInRequest(HttpRequest):
    user: User
    htmx: HtmxDetails


class WhyForm(forms.Form):
    reasons = forms.MultipleChoiceField(
        label=_("What was it?"), required=False, widget=forms.CheckboxSelectMultiple
    )
    note = forms.CharField(
        label=_("In your words"),
        required=False,
        max_length=Feedback.NOTE_CHARS,
        widget=forms.Textarea(attrs={"class": "input", "rows": 3}),
    )
    shows_turn = forms.BooleanField(label=_("Let them read this question and answer"), required=False)

    def __init__(self, data: object, *, given: Feedback) -> None:
        said = {"reasons": given.reason_list, "note": given.note, "shows_turn": given.shows_turn}
        super().__init__(data, initial=said)  # type: ignore[arg-type]  # a QueryDict or None
        choice = self.fields["reasons"]
        assert isinstance(choice, forms.MultipleChoiceField)
        fitting = feedbacks.reasons_for(is_good=given.is_good)
        choice.choices = [(reason.value, reason.label) for reason in fitting]


@login_required
@require_http_methods(["GET", "POST"])
def feedback(request: SignedInRequest, turn_id: UUID) -> HttpResponse:
    """A thumb (`thumb` good or bad, or none to take it back), or the reasons for the one that was given."""
    turn = _turn(request, turn_id)
    thumb = request.POST.get("thumb", "")
    if thumb == "none":
        feedbacks.take_back(turn)
        return _answer(request, turn, None)
    if thumb in ("good", "bad"):
        given = feedbacks.rate(turn, request.user, is_good=thumb == "good")
        return _answer(request, turn, WhyForm(None, given=given))
    given = get_object_or_404(Feedback, turn=turn)
    form = WhyForm(request.POST or None, given=given)
    if request.method == "POST" and form.is_valid():
        feedbacks.explain(given, **form.cleaned_data)
        return _answer(request, turn, None)
    return _answer(request, turn, form)


def _answer(request: SignedInRequest, turn: Turn, form: WhyForm | None) -> HttpResponse:
    """The thumbs as they are now, and the dialog where something is left to say."""
    if not request.htmx and request.method == "POST":
        return HttpResponseRedirect(f"{reverse('conversation', args=[turn.conversation_id])}#turn-{turn.pk}")
    given = Feedback.objects.filter(turn=turn).first()
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form is not None and form.errors else HTTPStatus.OK
    context = {"turn": turn, "given": given, "form": form}
    return render(request, "chat/_feedback_answer.html", context, status=status)


def _turn(request: SignedInRequest, turn_id: UUID) -> Turn:
    """One's own, of no agent, and over: there is nothing to judge before."""
    mine = Turn.objects.for_user(request.user).filter(spawned_by=None, status=Turn.Status.FINISHED)
    return get_object_or_404(mine, pk=turn_id)
