"""A person's ways to begin a chat."""

from django.utils.translation import gettext as _

from chat.models import Preset
from chat.refusals import Refusal
from webapp.accounts.models import User

MOST = 50
NONE = "none"  # in place of a preset's id: the chat goes on without one


def of_user(user: User) -> list[Preset]:
    return list(Preset.objects.filter(user=user).select_related("model"))


def chosen(user: User, preset_id: str) -> Preset | None:
    """The preset that a message names, if it names one. Raises Refusal for one that is not there."""
    if preset_id in ("", NONE):
        return None
    is_number = preset_id.isascii() and preset_id.isdigit() and len(preset_id) < 18
    found = Preset.objects.filter(user=user, pk=int(preset_id)).first() if is_number else None
    if found is None:
        raise Refusal("unknown_preset", _("This preset is no longer there. Choose another, or none."))
    return found
