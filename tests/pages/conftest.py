"""A signed-in browser without script, and conversations to read."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from chat.markdown import render
from chat.models import Conversation, Message, Part, Turn
from webapp.accounts.models import User
from webapp.billing import accounts
from webapp.billing.models import Hold
from webapp.catalog.models import ServedModel

MakeTurn = Callable[..., Turn]


@pytest.fixture
def alices_client(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def conversation(alice: User) -> Conversation:
    return Conversation.objects.create(user=alice, title="Trees and heat")


@pytest.fixture
def make_turn(scripted_model: ServedModel, conversation: Conversation) -> MakeTurn:
    """A finished turn of the conversation, at the end of the branch on show unless it is given a parent."""

    def make(
        question: str, answer: str = "", *, reasoning: str = "", parent: Turn | None = None, **fields: object
    ) -> Turn:
        hold = Hold.objects.create(
            account=accounts.of(conversation.user),
            model=scripted_model,
            amount_nano=0,
            status=Hold.Status.RELEASED,
            expires_at=timezone.now(),
        )
        values = {"status": Turn.Status.FINISHED, "finish_reason": "stop"} | fields
        turn = Turn.objects.create(
            conversation=conversation,
            parent=parent,
            model=scripted_model,
            hold=hold,
            client_id=uuid4(),
            max_steps=1,
            max_seconds=60,
            max_reasoning_tokens=0,
            max_output_tokens=100,
            **values,
        )
        asked = Message.objects.create(turn=turn, step=0, role=Message.Role.USER)
        Part.objects.create(message=asked, position=0, kind=Part.Kind.TEXT, text=question)
        replied = Message.objects.create(turn=turn, step=1, role=Message.Role.ASSISTANT, output_tokens=12)
        if reasoning:
            Part.objects.create(
                message=replied,
                position=0,
                kind=Part.Kind.REASONING,
                text=reasoning,
                num_tokens=5,
                duration_ms=32_000,
            )
        Part.objects.create(
            message=replied, position=1, kind=Part.Kind.TEXT, text=answer, html=render(answer)
        )
        conversation.current_turn = turn
        conversation.save(update_fields=["current_turn"])
        return turn

    return make
