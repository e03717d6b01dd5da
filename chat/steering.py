"""The one door for what people say to a turn under way: decisions on its calls, changes of its plan.

Raises `dispatch.Refusal`; after it nothing has changed.
"""

from chat import decisions, dispatch
from chat.decisions import NotDecided, Word
from chat.frames import CallDecide
from chat.models import ToolRun, Turn
from webapp.accounts.models import User


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
