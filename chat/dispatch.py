"""The one door to the chat for sockets, forms and commands: checks a command, makes the state change, rings the Celery worker.

Every refusal is one exception with a stable code and a message for the person; after it nothing has changed.
"""

from uuid import UUID

from chat.frames import TurnRegenerate, TurnSend
from chat.models import Turn
from webapp.accounts.models import User


class Refusal(Exception):
    """A command was not carried out. `code` is stable, `message` says what happened and what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def submit_turn(user: User, command: TurnSend) -> Turn:
    """Start the turn; the turn that a first sending of the same `client_id` started, when this one is a resend."""
    raise Refusal("backend_unavailable", "No model is running.")


def regenerate(user: User, command: TurnRegenerate) -> Turn:
    """Answer the same user message again, in a turn beside the first."""
    raise Refusal("backend_unavailable", "No model is running.")


def stop(user: User, turn_id: UUID) -> None:
    """Ask for the turn's end; harmless when it is over. Raises Refusal (unknown_conversation) for nobody's or another's turn."""
