"""What a person thought of an answer: given, changed, taken back."""

from collections.abc import Iterable

from chat.models import Feedback, Turn
from webapp.accounts.models import User

Reason = Feedback.Reason

PRAISE = (Reason.ACCURATE, Reason.CLEAR, Reason.SOURCED, Reason.OTHER)
BLAME = (
    Reason.WRONG,
    Reason.MADE_UP,
    Reason.MISREAD,
    Reason.UNFINISHED,
    Reason.SLOW,
    Reason.HARMFUL,
    Reason.OTHER,
)


def reasons_for(*, is_good: bool) -> tuple[Feedback.Reason, ...]:
    return PRAISE if is_good else BLAME


def rate(turn: Turn, user: User, *, is_good: bool) -> Feedback:
    """The thumb alone. What was said with the same thumb before stays; with the other it no longer fits."""
    given, _is_new = Feedback.objects.get_or_create(turn=turn, defaults={"user": user, "is_good": is_good})
    if given.is_good != is_good:
        given.is_good, given.reasons, given.note, given.shows_turn = is_good, "", "", False
        given.save()
    return given


def explain(feedback: Feedback, *, reasons: Iterable[str], note: str, shows_turn: bool) -> None:
    feedback.reasons = " ".join(reasons)
    feedback.note = note
    feedback.shows_turn = shows_turn
    feedback.save()


def take_back(turn: Turn) -> None:
    Feedback.objects.filter(turn=turn).delete()
