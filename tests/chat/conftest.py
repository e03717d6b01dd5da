"""Turns without a socket: submitted through the one door, driven in the test's own thread."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from chat import dispatch, tasks
from chat.frames import TurnSend
from chat.models import Conversation, Turn
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

Ask = Callable[..., Turn]


@pytest.fixture
def ask(transactional_db: None, alice: User, scripted_model: ServedModel) -> Ask:
    """Submit a message of alice's and drive its turn to the end."""

    def submit(text: str, *, conversation: Conversation | None = None, **fields: object) -> Turn:
        command = TurnSend(
            client_id=str(uuid4()),
            text=text,
            model="scripted",
            conversation=str(conversation.id) if conversation else None,
            **fields,  # type: ignore[arg-type]
        )
        turn = dispatch.submit_turn(alice, command)
        tasks.drive_turn(turn_id=str(turn.id))
        turn.refresh_from_db()
        return turn

    return submit
