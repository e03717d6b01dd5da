"""What people fill in about a conversation, and say to a turn under way."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

import msgspec
from django import forms
from django.utils.translation import gettext_lazy as _

from agents.happenings import PlanLine
from chat import frames, plan_text
from chat.models import Conversation, ToolRun, Turn

# The type parameter is for the type checker alone.
if TYPE_CHECKING:
    ConversationForm = forms.ModelForm[Conversation]
else:
    ConversationForm = forms.ModelForm


class RenameForm(ConversationForm):
    class Meta:
        model = Conversation
        fields = ("title",)
        widgets = {
            "title": forms.TextInput(attrs={"class": "input", "autocomplete": "off", "autofocus": True})
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["title"].required = True

    def clean_title(self) -> str:
        title = str(self.cleaned_data["title"]).strip()
        if not title:
            raise forms.ValidationError(_("Give the chat a name."))
        return title


class ShareForm(forms.Form):
    days = forms.TypedChoiceField(
        label=_("The link ends after"),
        choices=[(30, _("30 days")), (1, _("1 day")), (7, _("7 days")), (365, _("1 year"))],
        coerce=int,
        widget=forms.Select(attrs={"class": "input"}),
    )
    with_reasoning = forms.BooleanField(label=_("With the reasoning"), required=False)


class DecisionForm(forms.Form):
    """A person's word on a waiting call. `shown` is the fingerprint of the arguments that they saw; a plan is
    changed as text, other arguments as JSON."""

    call = forms.CharField(max_length=128)
    shown = forms.CharField(max_length=64)
    decision = forms.ChoiceField(
        choices=[(word, word) for word in ("approved", "edited", "refused", "answered", "happened")]
    )
    edited = forms.CharField(required=False, strip=False)
    plan = forms.CharField(required=False, strip=False)
    answer = forms.CharField(required=False)
    own = forms.CharField(required=False)  # written instead of one of the choices

    def command(self, turn: Turn) -> frames.CallDecide:
        """Raises ValueError for a plan that says nothing."""
        data = self.cleaned_data
        run = turn.tool_runs.filter(call_id=data["call"]).order_by("edition").last()
        is_same = run is not None and run.arguments_sha256 == data["shown"]
        is_edited = data["decision"] == "edited"
        return frames.CallDecide(
            turn=str(turn.id),
            call=data["call"],
            decision="approved" if is_edited else data["decision"],
            arguments=run.arguments if run and is_same else "",
            edited=self._edited(run) if is_edited else None,
            answer=data["own"] or data["answer"],
        )

    def _edited(self, run: ToolRun | None) -> str:
        if not self.cleaned_data["plan"]:
            return str(self.cleaned_data["edited"])
        lines = plan_text.read(self.cleaned_data["plan"], before=planned(run.arguments) if run else ())
        return json.dumps({"lines": msgspec.to_builtins(lines)}, ensure_ascii=False)


class PlanForm(forms.Form):
    plan = forms.CharField(strip=False)

    def command(self, turn: Turn) -> frames.PlanEdit:
        """Raises ValueError for a plan that says nothing."""
        before = [PlanLine(text=item.text, evidence=list(item.evidence)) for item in turn.plan_items.all()]
        return frames.PlanEdit(
            turn=str(turn.id), items=plan_text.read(self.cleaned_data["plan"], before=before)
        )


class ContinueForm(forms.Form):
    """`client_id` is the page's, so that a form sent twice continues once."""

    client_id = forms.UUIDField()
    steps = forms.IntegerField(min_value=1, max_value=1_000, required=False)
    seconds = forms.IntegerField(min_value=1, max_value=86_400, required=False)
    cost = forms.CharField(max_length=20, required=False)
    answers = forms.BooleanField(required=False)

    def command(self, turn: Turn) -> frames.TurnContinue:
        data = self.cleaned_data
        return frames.TurnContinue(
            turn=str(turn.id),
            client_id=str(data["client_id"]),
            steps=data["steps"],
            seconds=data["seconds"],
            cost=data["cost"] or None,
            answers=data["answers"],
        )


def planned(arguments: str) -> list[PlanLine]:
    """The lines of a plan that the model has proposed."""
    try:
        return msgspec.json.decode(arguments, type=_Plan).lines
    except msgspec.MsgspecError:
        return []


def fingerprint(arguments: str) -> str:
    return hashlib.sha256(arguments.encode()).hexdigest()


class _Plan(msgspec.Struct):
    lines: list[PlanLine] = []
