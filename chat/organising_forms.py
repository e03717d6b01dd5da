"""What people fill in to keep conversations in order."""

import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from chat import organising
from chat.models import Conversation, Folder

# The type parameter is for the type checker alone.
if TYPE_CHECKING:
    FolderModelForm = forms.ModelForm[Folder]
else:
    FolderModelForm = forms.ModelForm

MAX_TAG_CHARS = 40


class OrganiseForm(forms.Form):
    """The folder by its name, whether it is there or not; tags with commas between them."""

    folder = forms.CharField(
        label=_("Folder"),
        required=False,
        max_length=80,
        help_text=_("Choose a folder or name a new one. Empty: in no folder."),
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off", "list": "folder-names"}),
    )
    tags = forms.CharField(
        label=_("Tags"),
        required=False,
        max_length=800,
        help_text=_("With commas between them."),
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, conversation: Conversation, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["folder"] = conversation.folder.name if conversation.folder else ""
        self.initial["tags"] = ", ".join(tag.name for tag in conversation.tags.all())

    def clean_folder(self) -> str:
        return " ".join(str(self.cleaned_data["folder"]).split())

    def clean_tags(self) -> list[str]:
        text = str(self.cleaned_data["tags"])
        names = (" ".join(name.split()) for name in re.split("[,，、]", text))
        tags = list(dict.fromkeys(name for name in names if name))
        if len(tags) > organising.MAX_TAGS or any(len(tag) > MAX_TAG_CHARS for tag in tags):
            most = {"tags": organising.MAX_TAGS, "chars": MAX_TAG_CHARS}
            raise forms.ValidationError(
                _("Give at most %(tags)s tags of at most %(chars)s letters each.") % most
            )
        return tags


class FolderForm(FolderModelForm):
    class Meta:
        model = Folder
        fields = ("name",)
        widgets = {"name": forms.TextInput(attrs={"class": "input", "autocomplete": "off"})}

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        others = Folder.objects.filter(user=self.instance.user, name=name).exclude(pk=self.instance.pk)
        if not name or others.exists():
            raise forms.ValidationError(_("Give the folder a name that no other folder has."))
        return name
