"""A conversation made of a document that somebody else wrote, or wrote long ago: it can be gone on with."""

from dataclasses import asdict
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from agents import limits
from chat import markdown, search_index
from chat.models import Conversation, Message, Part, Turn
from chat.snapshots import Exchange, Snapshot
from webapp.accounts.models import User
from webapp.billing import accounts
from webapp.billing.models import Hold
from webapp.catalog.models import ServedModel


class NoModel(Exception):
    """No model is offered that could go on with it."""


class AlreadyHere(Exception):
    """It was made of this document before, and is there still."""


def adopt(user: User, snapshot: Snapshot, *, origin: str = "") -> Conversation:
    """All of it in one transaction, its turns finished and paid; of one `origin` once. Raises NoModel and
    AlreadyHere."""
    if origin and Conversation.objects.filter(user=user, origin=origin).exists():
        raise AlreadyHere
    models = list(ServedModel.objects.offered())
    if not models:
        raise NoModel
    with transaction.atomic():
        title = " ".join(snapshot.title.split())[: Conversation._meta.get_field("title").max_length]
        conversation = Conversation.objects.create(user=user, title=title, origin=origin)
        search_index.keep_title(conversation)
        last: Turn | None = None
        for exchange in snapshot.exchanges:
            model = next((one for one in models if one.label == exchange.model), models[0])
            last = _turn(conversation, exchange, model, parent=last)
        conversation.current_turn = last
        conversation.save(update_fields=["current_turn"])
    return conversation


def _turn(conversation: Conversation, exchange: Exchange, model: ServedModel, *, parent: Turn | None) -> Turn:
    now = timezone.now()
    hold = Hold.objects.create(  # of nothing: every turn has one
        account=accounts.of(conversation.user),
        model=model,
        amount_nano=0,
        status=Hold.Status.RELEASED,
        expires_at=now + timedelta(seconds=1),
    )
    preset = limits.preset("auto", long_thinking=False, reply_tokens=model.max_output_tokens)
    turn = Turn.objects.create(
        conversation=conversation,
        parent=parent,
        model=model,
        hold=hold,
        **asdict(preset),
        status=Turn.Status.FINISHED,
        finish_reason="stop",
        next_step=2,
        started_at=now,
        finished_at=now,
        is_adopted=True,
    )
    asked = Message.objects.create(turn=turn, step=0, role=Message.Role.USER)
    Part.objects.create(message=asked, position=0, kind=Part.Kind.TEXT, text=exchange.question)
    replied = Message.objects.create(turn=turn, step=1, role=Message.Role.ASSISTANT, finish_reason="stop")
    parts = [Part(message=replied, position=1, kind=Part.Kind.TEXT, text=exchange.answer)]
    parts[0].html = markdown.render(exchange.answer)
    if exchange.reasoning:
        thought = Part(message=replied, position=0, kind=Part.Kind.REASONING, text=exchange.reasoning)
        thought.duration_ms = exchange.thought_ms
        parts.append(thought)
    Part.objects.bulk_create(parts)
    search_index.keep_question(turn, exchange.question)
    search_index.keep_answer(turn, exchange.answer)
    return turn
