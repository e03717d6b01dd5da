"""How a person likes to work, and what the model is told because of it."""

from chat.models import Memory, Preferences, Preset
from webapp.accounts.models import User

ASKED = "The person asks this of every answer:"
ASKED_HERE = "For this chat they ask as well:"
KNOWN = (
    "What you know of the person from earlier chats, as background. They can see and change it. Do not bring "
    "it up where it does not matter:"
)


def of(user: User) -> Preferences:
    """What they have set; the defaults, not stored, when they have set nothing."""
    return Preferences.objects.filter(user=user).first() or Preferences(user=user)


def may_remember(user: User, *, is_temporary: bool) -> bool:
    """Whether the model is told what it knows of the person, and may write down more."""
    return not is_temporary and of(user).uses_memory


def told(user: User, *, preset: Preset | None, is_temporary: bool) -> str:
    """What stands in the system prompt of a turn: decided as it begins, and kept with it."""
    own = of(user)
    parts = []
    if own.instructions.strip():
        parts.append(f"{ASKED}\n{own.instructions.strip()}")
    if preset is not None and preset.instructions.strip():
        parts.append(f"{ASKED_HERE}\n{preset.instructions.strip()}")
    if own.uses_memory and not is_temporary:
        known = Memory.objects.for_user(user).values_list("text", flat=True)
        if known:
            parts.append("\n".join([KNOWN, *(f"- {text}" for text in known)]))
    return "\n\n".join(parts)
