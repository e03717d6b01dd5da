"""What people fill in about a conversation."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from chat.models import Conversation

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
