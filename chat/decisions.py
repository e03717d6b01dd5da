"""What a person says to a waiting call. A decision is made once; said again it is harmless, said too late or
about other arguments than those on show it changes nothing.

The turn is woken in the same transaction: whoever drives it next finds the decision.
"""

import hashlib
import json
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from agents.tool import WaitingFor
from chat import turns
from chat.models import ToolRun, Turn
from webapp.accounts.models import User
from webapp.database_clock import FromNow

_MAY_SAY = {
    WaitingFor.APPROVAL: {ToolRun.Decision.APPROVED, ToolRun.Decision.REFUSED},
    WaitingFor.ANSWER: {ToolRun.Decision.ANSWERED, ToolRun.Decision.REFUSED},
    # Approved: run it again.
    WaitingFor.OUTCOME: {ToolRun.Decision.HAPPENED, ToolRun.Decision.APPROVED, ToolRun.Decision.REFUSED},
}
MAX_ANSWER_CHARS = 20_000
MAX_EXPIRED_AT_ONCE = 500


class NotDecided(Exception):
    """The decision was not taken. `code` is stable, the text says what happened and what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Word:
    """A person's word on a call. `arguments` are those they saw; `edited` those they want instead."""

    decision: str
    arguments: str
    edited: str | None = None
    answer: str = ""


def decide(turn: Turn, call_id: str, word: Word, *, by: User) -> ToolRun:
    """The run as it was decided, now or before. Raises NotDecided."""
    with transaction.atomic():
        turn = locked(turn.id)
        run = _waiting_run(turn, call_id, word)
        if run.state != ToolRun.State.WAITING or run.decision:
            return run
        _check(run, word)
        decided = _edit(run, word, by=by) if word.edited is not None else _decide(run, word, by=by)
        if not decided:
            # Another page was quicker, this very moment.
            return _waiting_run(turn, call_id, word)
        turns.wake(turn.id)
    return decided


def expire_due() -> list[UUID]:
    """Refuse what nobody decided in time; the turns that it concerns, woken."""
    now = FromNow()
    due = _waiting().filter(expires_at__lte=now).exclude(turn__status=Turn.Status.FINISHED)
    woken = []
    for run in list(due.only("id", "turn_id")[:MAX_EXPIRED_AT_ONCE]):
        with transaction.atomic():
            locked(run.turn_id)
            if _waiting().filter(id=run.id).update(decision=ToolRun.Decision.EXPIRED, decided_at=now):
                turns.wake(run.turn_id)
                woken.append(run.turn_id)
    return woken


def locked(turn_id: UUID) -> Turn:
    """The turn, for this transaction alone. Its worker, too, locks it before any row of it: in another order
    each might wait for the other."""
    return Turn.objects.select_for_update().get(id=turn_id)


def fingerprint(arguments: str) -> str:
    return hashlib.sha256(arguments.encode()).hexdigest()


def _undecided() -> "QuerySet[ToolRun]":
    return ToolRun.objects.filter(state=ToolRun.State.WAITING, decision="")


def _waiting() -> "QuerySet[ToolRun]":
    """Those that nobody has decided on, and those that were approved and take their time."""
    taking_time = [kind for kind in WaitingFor if kind.keeps_approval]
    is_open = Q(decision="") | Q(decision=ToolRun.Decision.APPROVED, waiting_for__in=taking_time)
    return ToolRun.objects.filter(is_open, state=ToolRun.State.WAITING)


def _waiting_run(turn: Turn, call_id: str, word: Word) -> ToolRun:
    """The run that waits, or the one that was decided in just this way."""
    runs = list(turn.tool_runs.filter(call_id=call_id).order_by("edition"))
    if not runs:
        raise NotDecided("unknown_call", _("This call does not exist (any more)."))
    last = runs[-1]
    if last.state == ToolRun.State.WAITING and not last.decision:
        if turn.status == Turn.Status.FINISHED:
            raise NotDecided("turn_finished", _("This answer has ended: nothing is waiting any more."))
        return last
    shown = word.arguments if word.edited is None else word.edited
    if last.decision == word.decision and last.arguments_sha256 == fingerprint(shown):
        return last
    if last.state in (ToolRun.State.INTENDED, ToolRun.State.BEGUN) and not last.decision:
        raise NotDecided("not_waiting", _("This call is under way: it does not wait for you."))
    raise NotDecided(
        "call_decided", _("This was decided already, perhaps on another page. Reload to see how.")
    )


def _check(run: ToolRun, word: Word) -> None:
    """Raises NotDecided where this may not be said of the run."""
    if ToolRun.objects.filter(id=run.id, expires_at__lte=FromNow()).exists():
        raise NotDecided("call_expired", _("The time to decide on this call is over: it was not run."))
    if fingerprint(word.arguments) != run.arguments_sha256:
        raise NotDecided(
            "call_changed",
            _("The call has changed since it was shown to you. Look at it again, then decide."),
        )
    may_say = _MAY_SAY.get(WaitingFor(run.waiting_for), set()) if run.waiting_for else set()
    if word.decision not in may_say:
        raise NotDecided("bad_decision", _("This cannot be said to a call that waits for something else."))
    if word.decision == ToolRun.Decision.ANSWERED and not word.answer.strip():
        raise NotDecided("empty_answer", _("The answer is empty: write something first."))
    if len(word.answer) > MAX_ANSWER_CHARS:
        raise NotDecided("answer_too_long", _("The answer is too long: shorten it."))
    if word.edited is not None:
        _check_edited(run, word, word.edited)


def _check_edited(run: ToolRun, word: Word, edited: str) -> None:
    is_approval = run.waiting_for == WaitingFor.APPROVAL and word.decision == ToolRun.Decision.APPROVED
    if not is_approval:
        raise NotDecided("bad_decision", _("Only a call that you approve can be changed."))
    try:
        is_object = isinstance(json.loads(edited), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise NotDecided(
            "bad_arguments", _("The changed arguments are not a JSON object. Correct them and try again.")
        )


def _decide(run: ToolRun, word: Word, *, by: User) -> ToolRun | None:
    now = FromNow()
    taken = (
        _undecided()
        .filter(id=run.id, arguments_sha256=run.arguments_sha256)
        .filter(Q(expires_at=None) | Q(expires_at__gt=now))
        .update(decision=word.decision, decided_by=by, decided_at=now, answer=word.answer.replace("\x00", ""))
    )
    return ToolRun.objects.get(id=run.id) if taken else None


def _edit(run: ToolRun, word: Word, *, by: User) -> ToolRun | None:
    """Other arguments are another call: a run with a key of its own, approved by whoever wrote it."""
    now, edited = FromNow(), str(word.edited).replace("\x00", "")
    replaced = (
        _undecided()
        .filter(Q(expires_at=None) | Q(expires_at__gt=now), id=run.id)
        .update(state=ToolRun.State.REPLACED, decided_by=by, decided_at=now, answer=word.answer)
    )
    if not replaced:
        return None
    edition = run.edition + 1
    other = ToolRun.objects.create(
        turn_id=run.turn_id,
        step=run.step,
        index=run.index,
        edition=edition,
        call_id=run.call_id,
        tool=run.tool,
        arguments=edited,
        arguments_sha256=fingerprint(edited),
        key=f"{run.key.partition('+')[0]}+{edition}",
        effect=run.effect,
        state=ToolRun.State.WAITING,
        waiting_for=run.waiting_for,
        prompt=run.prompt,
        decision=ToolRun.Decision.APPROVED,
        decided_by=by,
        decided_at=now,
        answer=word.answer.replace("\x00", ""),
    )
    return ToolRun.objects.get(id=other.id)
