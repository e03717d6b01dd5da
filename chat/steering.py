"""The one door for what people say to a turn under way: decisions on its calls, changes of its plan.

Raises `dispatch.Refusal`; after it nothing has changed.
"""

from django.db import transaction
from django.utils.translation import gettext as _

from agents.happenings import PlanLine
from agents.notebook import plan_lines
from agents.tools.plan import MAX_LINES
from agents.transcript import Note, NoteKind
from chat import decisions, dispatch, notebook, turns
from chat.decisions import NotDecided, Word
from chat.frames import CallDecide, PlanEdit
from chat.models import PlanItem, ToolRun, Turn
from webapp.accounts.models import User

MAX_EVIDENCE = 20


def decide_call(user: User, command: CallDecide) -> ToolRun:
    """Harmless when it was decided so before."""
    turn = Turn.objects.get(id=dispatch.visible_turn(user, command.turn))
    word = Word(
        decision=command.decision,
        arguments=command.arguments,
        edited=command.edited,
        answer=command.answer,
    )
    try:
        return decisions.decide(turn, command.call, word, by=user)
    except NotDecided as fault:
        raise dispatch.Refusal(fault.code, str(fault)) from fault


def edit_plan(user: User, command: PlanEdit) -> None:
    """The person's plan in place of the turn's; the model reads it at its next step."""
    turn_id = dispatch.visible_turn(user, command.turn)
    lines = [_line(item) for item in command.items]
    if len(lines) > MAX_LINES:
        raise dispatch.Refusal("bad_plan", _("The plan has too many lines: shorten it."))
    text = f"The person changed the plan. It is now:\n{plan_lines(lines)}" if lines else "The plan is gone."
    with transaction.atomic():
        if decisions.locked(turn_id).status == Turn.Status.FINISHED:
            raise dispatch.Refusal("turn_finished", _("This answer has ended: its plan stays as it is."))
        notebook.replace_plan(turn_id, lines)
        turns.add_note(turn_id, Note(step=0, kind=NoteKind.PLAN, text=text))


def _line(item: PlanLine) -> PlanLine:
    text, phase = item.text.replace("\x00", "").strip(), item.phase.replace("\x00", "").strip()
    is_sound = (
        0 < len(text) <= 500
        and len(phase) <= 80
        and item.status in PlanItem.Status.values
        and len(item.evidence) <= MAX_EVIDENCE
        and all(len(name) <= 128 for name in item.evidence)
    )
    if not is_sound:
        raise dispatch.Refusal(
            "bad_plan", _("A line of the plan needs a text of up to 500 characters: correct it.")
        )
    return PlanLine(text=text, phase=phase, status=item.status, evidence=item.evidence)
