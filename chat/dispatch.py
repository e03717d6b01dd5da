"""The one door to the chat for sockets, forms and commands: checks a command, makes the state change, rings
the Celery worker.

Every refusal is one exception with a stable code and a message for the person; after it nothing has changed.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid5

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from redis.exceptions import RedisError

from chat import (
    attachments,
    conversations,
    documents,
    drafts,
    events,
    history,
    memory_tools,
    preferences,
    presets,
    segment,
    tasks,
    temporary,
    toolsets,
    turns,
    wishes,
)
from chat.frames import TurnContinue, TurnRegenerate, TurnSend
from chat.models import Attachment, Conversation, Turn
from chat.refusals import Refusal as Refusal
from chat.turns import Question
from inference.backends.base import BackendError, ChatBackend
from webapp.accounts import keys
from webapp.accounts.models import ApiKey, User
from webapp.billing import limits as rates
from webapp.billing.prices import PriceMissing
from webapp.billing.refusals import InsufficientFunds
from webapp.catalog import backends
from webapp.catalog.models import ServedModel

logger = logging.getLogger(__name__)


def submit_turn(user: User, command: TurnSend, *, api_key: ApiKey | None = None) -> Turn:
    """Start the turn; when this is a resend, the turn that its first sending started. `api_key`: of the
    program that asks for it, in whose name it is billed."""
    client_id = client_id_of(command.client_id)
    if (started := _started(user, client_id)) is not None:
        return started
    model = _model(command.model)
    team = wishes.team_of(command)
    own = preferences.of(user)
    limits_asked = wishes.limits_of(command, model, own)
    conversation = conversation_of(user, command.conversation)
    is_temporary = conversation.is_temporary if conversation else command.is_temporary
    keeps_preset = conversation is not None and not command.preset
    preset = conversation.preset if conversation and keeps_preset else presets.chosen(user, command.preset)
    question = Question(
        text=text_of(command.text),
        model=model,
        client_id=client_id,
        long_thinking=command.long_thinking,
        effort=command.effort,
        limits=team.bounded(limits_asked) if team else limits_asked,
        team=command.team,
        plan_needs_approval=command.plan_needs_approval,
        tool_terms=wishes.terms_of(command, preset),
        instructions=preferences.told(user, preset=preset, is_temporary=is_temporary),
        is_temporary=is_temporary,
        preset=preset,
        api_key=api_key,
    )
    parent = _parent(conversation, command)
    attached = _attached(user, command.attachments, conversation)
    shown = documents.chosen(
        documents.Request(
            text=question.text,
            model=model,
            attached=attached,
            conversation_id=conversation.id if conversation else _new_conversation_id(user, client_id),
            parent=parent,
            has_tools=toolsets.may_look_up(model, long_thinking=command.long_thinking),
        )
    )
    question = replace(question, documents=shown)
    turn = _start(user, question, conversation=conversation, parent=parent, keeps_preset=keeps_preset)
    drafts.sent(user, conversation if command.conversation else None, text=command.text)
    return turn


def regenerate(user: User, command: TurnRegenerate) -> Turn:
    """Answer the same user message again, in a turn beside the first."""
    client_id = client_id_of(command.client_id)
    if (started := _started(user, client_id)) is not None:
        return started
    first = _turn(user, command.turn)
    if first.spawned_by_id is not None:
        raise unknown_conversation()  # an agent is on no branch that a turn could stand beside
    question = Question(
        text=history.user_text(first),
        model=_model(first.model.name),
        client_id=client_id,
        long_thinking=first.long_thinking,
        effort=first.effort,
        limits=turns.limits_of(first),
        team=first.team,
        plan_needs_approval=first.plan_needs_approval,
        tool_terms=first.tool_terms,
        continues=first.continues,
        documents=documents.again(first),
        instructions=first.instructions,
        is_temporary=first.conversation.is_temporary,
    )
    return _start(user, question, conversation=first.conversation, parent=first.parent)


def continue_turn(user: User, command: TurnContinue) -> Turn:
    """Go on with a turn that a limit ended, in a turn that hangs on it and has limits of its own."""
    client_id = client_id_of(command.client_id)
    if (started := _started(user, client_id)) is not None:
        return started
    ended = _turn(user, command.turn)
    if ended.spawned_by_id is not None:
        raise unknown_conversation()
    if not ended.limit or ended.status != Turn.Status.FINISHED:
        raise Refusal("nothing_to_continue", _("No limit ended this answer: ask a further question instead."))
    is_heavy = ended.effort == Turn.Effort.HEAVY
    question = Question(
        text=_("Answer now, with what you have.") if command.answers else _("Go on."),
        model=_model(ended.model.name),
        client_id=client_id,
        long_thinking=ended.long_thinking,
        # It goes on alone with what its agents found: no second team.
        effort=Turn.Effort.HIGH if is_heavy else ended.effort,
        limits=wishes.further(command, turns.limits_of(ended)),
        tool_terms=ended.tool_terms,
        api_key=_paying_key(ended),
        continues=ended,
        instructions=ended.instructions,
        is_temporary=ended.conversation.is_temporary,
    )
    return _start(user, question, conversation=ended.conversation, parent=ended)


def _paying_key(turn: Turn) -> ApiKey | None:
    """The key that paid for the turn, as long as it is good: whoever left a team spends its money no more."""
    key = turn.hold.api_key
    return key if key is not None and keys.is_good(key) else None


def stop(user: User, turn_id: str | UUID) -> None:
    """Ask for the turn's end; harmless when it is over. Raises Refusal for nobody's or another's turn."""
    turn = _turn(user, str(turn_id))
    turns.request_stop(turn.id)
    agents = turn.agents.exclude(status=Turn.Status.FINISHED).values_list("id", flat=True)
    async_to_sync(_tell)(turn.id, agents=list(agents))


def visible_turn(user: User, turn_id: str) -> UUID:
    """The turn's id, for a reader who may see it. Raises Refusal for nobody's or another's turn."""
    key = _uuid(turn_id, fault=unknown_conversation())
    if not Turn.objects.for_user(user).filter(id=key).exists():
        raise unknown_conversation()
    return key


async def _tell(turn_id: UUID, *, agents: Sequence[UUID]) -> None:
    """The database knows already; Redis makes it quick, and a turn that nobody drives is driven to its end
    here."""
    try:
        for each in (turn_id, *agents):
            await events.ask_to_stop(each)
        await segment.drive(turn_id)
    except RedisError:
        logger.warning("turn %s: Redis is away, its worker will see the stop in the database", turn_id)


def _start(
    user: User,
    question: Question,
    *,
    conversation: Conversation | None,
    parent: Turn | None,
    keeps_preset: bool = True,
) -> Turn:
    # Asked before the account is touched: a turn that is just ending needs it, too, and ends in its own time.
    if conversation and turns.has_open(conversation):
        return _after_collision(user, question.client_id)
    _check_backend(question.model)
    new_id = _new_conversation_id(user, question.client_id)
    tools = toolsets.specs_for(question.model, long_thinking=question.long_thinking)
    tools += memory_tools.specs(user, is_temporary=question.is_temporary) if tools else ()
    try:
        with transaction.atomic():
            target = conversation or turns.open_conversation(
                user,
                conversation_id=new_id,
                text=question.text,
                ends_at=timezone.now() + temporary.time_to_live() if question.is_temporary else None,
                preset=question.preset,
            )
            turn = turns.start(target, question, parent=parent, tools=tools)
            if not keeps_preset:
                conversations.choose_preset(target, question.preset)
            if question.is_temporary:
                temporary.prolong(target.pk, by=timedelta(seconds=question.limits.max_seconds))
            rates.enter("turn", user_id=user.pk, lease_id=str(turn.id), ttl_s=turns.PLACE_S)
            transaction.on_commit(lambda: tasks.ring(turn.id))
    except (InsufficientFunds, PriceMissing, rates.RateLimited) as fault:
        raise Refusal(fault.code, str(fault)) from fault
    except Conversation.DoesNotExist:
        raise unknown_conversation() from None
    except IntegrityError:
        return _after_collision(user, question.client_id)
    return turn


def _new_conversation_id(user: User, client_id: UUID) -> UUID:
    """The same sending makes the same conversation, so that two resends at once cannot open two."""
    return uuid5(client_id, str(user.pk))


def _after_collision(user: User, client_id: UUID) -> Turn:
    """Two were started at once: the same one twice, or two in one conversation."""
    if (started := _started(user, client_id)) is not None:
        return started
    raise Refusal(
        "turn_running", _("An answer is still being written in this chat. Wait for it, or stop it.")
    ) from None


def _started(user: User, client_id: UUID) -> Turn | None:
    return Turn.objects.for_user(user).filter(client_id=client_id).first()


def _uuid(text: str, *, fault: Refusal) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise fault from None


def client_id_of(text: str) -> UUID:
    return _uuid(text, fault=Refusal("bad_frame", _("client_id must be a UUID.")))


def text_of(text: str) -> str:
    if not text.strip():
        raise Refusal("empty_message", _("The message is empty: write something first."))
    if len(text) > settings.MAX_MESSAGE_CHARS:
        raise Refusal(
            "message_too_long",
            _("The message has %(length)d characters; the most is %(most)d. Shorten it or send it in pieces.")
            % {"length": len(text), "most": settings.MAX_MESSAGE_CHARS},
        )
    return text.replace("\x00", "")  # PostgreSQL stores no NUL


def _attached(user: User, ids: Sequence[str], conversation: Conversation | None) -> list[Attachment]:
    fault = Refusal("unknown_file", str(attachments.gone()))
    keys = list(dict.fromkeys(_uuid(one, fault=fault) for one in ids))
    try:
        return attachments.for_message(user, keys, conversation=conversation)
    except attachments.UploadRefused as refused:
        raise Refusal(refused.code, refused.message) from refused


def _model(name: str) -> ServedModel:
    model = ServedModel.objects.offered().filter(name=name).first()
    if model is None:
        raise Refusal(
            "unknown_model",
            _("There is no model %(name)s here (any more). Choose another.") % {"name": name[:80]},
        )
    return model


def unknown_conversation() -> Refusal:
    return Refusal("unknown_conversation", _("This chat does not exist (any more)."))


def conversation_of(user: User, conversation_id: str | None) -> Conversation | None:
    if conversation_id is None:
        return None
    key = _uuid(conversation_id, fault=unknown_conversation())
    conversation = (
        Conversation.objects.for_user(user).filter(id=key).select_related("current_turn", "preset").first()
    )
    if conversation is None:
        raise unknown_conversation()
    return conversation


def _parent(conversation: Conversation | None, command: TurnSend) -> Turn | None:
    if conversation is None:
        return None
    if not command.is_branch:
        return conversation.current_turn
    if command.parent is None:
        return None
    key = _uuid(command.parent, fault=unknown_conversation())
    parent = conversation.turns.filter(id=key, spawned_by=None).first()
    if parent is None:
        raise unknown_conversation()
    return parent


def _turn(user: User, turn_id: str) -> Turn:
    key = _uuid(turn_id, fault=unknown_conversation())
    turn = (
        Turn.objects.for_user(user).select_related("conversation", "model", "parent").filter(id=key).first()
    )
    if turn is None:
        raise unknown_conversation()
    return turn


def _check_backend(model: ServedModel) -> None:
    """Refuse while nobody serves the model, so that the person keeps the draft instead of waiting for an
    error.

    A provider is not asked: that would cost every message a round trip, and it answers for itself soon
    enough.
    """
    try:
        backend = backends.backend_for(model)
        is_away = model.backend == ServedModel.Backend.LOCAL and not async_to_sync(_is_ready)(backend)
    except (BackendError, RedisError) as fault:
        raise Refusal("backend_unavailable", str(fault)) from fault
    if is_away:
        raise Refusal(
            "backend_unavailable",
            _("%(model)s is not running at the moment. Your message is kept here: try again soon.")
            % {"model": model.label},
        )


async def _is_ready(backend: ChatBackend) -> bool:
    try:
        return await backend.is_ready()
    finally:
        await backend.aclose()
