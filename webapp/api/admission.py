"""The door of the data plane: who asks, may they, for what, with which money; one visit to the database.

Sync, as the ORM is; handlers call these functions through webapp.api.database.
"""

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, close_old_connections, connection

from inference.schema import ChatRequest, Usage
from webapp.accounts import keys
from webapp.accounts.keys import KeyForbids
from webapp.accounts.models import ApiKey
from webapp.api import deliveries, lost_reasoning
from webapp.api.errors import invalid_key, of_refusal, unknown_model
from webapp.api.question import Decode, Question
from webapp.billing import estimates, holds, limits, scopes
from webapp.billing.limits import Lease, LimitsUnknown, RateLimited
from webapp.billing.models import UsageRecord
from webapp.billing.prices import PriceMissing
from webapp.billing.refusals import InsufficientFunds
from webapp.catalog.models import ServedModel

logger = logging.getLogger(__name__)

# A request that is not renewed for this long is taken for dead: its place and its money are free again.
LIVES_FOR = timedelta(seconds=45)
SETTLE_PAUSES_S = (0.2, 1.0, 5.0, 15.0)
INFERENCE = "inference"
MOST_MODELS = 1_000
_models: dict[str, tuple[tuple[object, ...], ServedModel]] = {}
_FIND_MODEL = f"SELECT * FROM {ServedModel._meta.db_table} WHERE name = %s AND is_active AND is_configured"


@dataclass(frozen=True, kw_only=True)
class Looked:
    """A request that may be made and has its place, but holds no money."""

    key: ApiKey
    question: Question
    request: ChatRequest
    model: ServedModel
    lease: Lease


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A request that was let in. Its hold is settled or released, and its place given back, exactly once."""

    question: Question
    request: ChatRequest
    model: ServedModel
    hold_id: UUID
    lease: Lease


def authenticate(secret: str) -> ApiKey:
    """Raises ApiError 401."""
    key = keys.authenticate(secret)
    if key is None:
        raise invalid_key()
    return key


def check(key: ApiKey, *, scope: str, model: str = "", address: str | None = "") -> None:
    """Raises ApiError 403 where the key is not for this, or not for a caller at this address."""
    try:
        keys.check(key, scope=scope, model=model, address=address)
    except KeyForbids as refusal:
        raise of_refusal(refusal) from None


def look(secret: str, content: bytes, *, decode: Decode, id: str, address: str = "") -> Looked:
    """Let a request in that costs nothing; `leave` gives its place back. Raises ApiError, having changed
    nothing.
    """
    key = authenticate(secret)
    check(key, scope=INFERENCE, address=address)
    return look_as(key, decode(content), id=id, address=address)


def look_as(key: ApiKey, question: Question, *, id: str, address: str | None = "") -> Looked:
    """As `look`, of a request that was read, for a key that is known; without an address, where that was
    looked at before."""
    check(key, scope=INFERENCE, model=question.model, address=address)
    model = _offered(question.model)
    request = question.to_chat_request(id=id, model=model, tenant=str(key.user_id))
    request = lost_reasoning.repair(request, asker=question.asker)
    try:
        lease = limits.take(
            "request",
            scopes.of(key, model=model.name),
            lease_id=id,
            ttl_s=LIVES_FOR.total_seconds(),
            tokens=_most_tokens(request, model, num_choices=question.num_choices),
            fails_closed=getattr(key, "fails_closed", False),
        )
    except (RateLimited, LimitsUnknown) as refusal:
        raise of_refusal(refusal) from None
    return Looked(key=key, question=question, request=request, model=model, lease=lease)


def leave(looked: Looked) -> None:
    """Give the place back, and all tokens; again is harmless."""
    limits.give_back(looked.lease, used_tokens=0)


def admit(secret: str, content: bytes, *, decode: Decode, id: str, address: str = "") -> Admitted:
    """Let one request on a model in. Raises ApiError, having changed nothing."""
    return hold(look(secret, content, decode=decode, id=id, address=address))


def hold(looked: Looked) -> Admitted:
    """Hold the money that the request may cost. Raises ApiError, having given its place back."""
    try:
        hold_id = _hold(looked.key, looked.request, looked.model, num_choices=looked.question.num_choices)
    except BaseException as fault:
        leave(looked)
        if isinstance(fault, InsufficientFunds | PriceMissing):
            raise of_refusal(fault) from None
        raise
    return Admitted(
        question=looked.question,
        request=looked.request,
        model=looked.model,
        hold_id=hold_id,
        lease=looked.lease,
    )


def renew(admitted: Admitted) -> None:
    """Say that the request is still under way."""
    holds.keep(admitted.hold_id, ttl=LIVES_FOR)
    limits.keep(admitted.lease, ttl_s=LIVES_FOR.total_seconds())


def free(admitted: Admitted) -> None:
    """Give the place back and keep the money and the tokens: it is answered, but not while its client
    waits."""
    limits.give_back(admitted.lease)


def close(
    admitted: Admitted,
    *,
    usage: Usage | None,
    finish_reason: str,
    is_estimated: bool,
    is_noted: bool = False,
    **told: int | None,
) -> None:
    """Give the place back, and bill the usage, or nothing when there is none. Again is harmless.

    `is_noted`: what was delivered has been written down, and is of no more use. `told` is what the record
    tells beside: `first_token_ms`, `duration_ms`, `num_tool_calls`.
    """
    # The place first: a client that asks again at once must not find it still taken.
    limits.give_back(admitted.lease, used_tokens=usage.total_tokens if usage else 0)
    _settle(admitted, usage=usage, finish_reason=finish_reason, is_estimated=is_estimated, **told)
    if is_noted:
        deliveries.drop(admitted.hold_id)


def offered_models() -> list[ServedModel]:
    return list(ServedModel.objects.offered())


def _offered(name: str) -> ServedModel:
    """Looked up before each request: its row is read as it is, and made an object of when it has changed."""
    if not name.isprintable():  # PostgreSQL takes no NUL, and no model is called so
        raise unknown_model(name)
    with connection.cursor() as cursor:
        cursor.execute(_FIND_MODEL, [name])
        row = cursor.fetchone()
    if row is None:
        raise unknown_model(name)
    known = _models.get(name)
    if known is None or known[0] != row:
        model = ServedModel.objects.offered().filter(name=name).first()
        if model is None:
            raise unknown_model(name)
        if len(_models) >= MOST_MODELS:
            _models.clear()
        _models[name] = known = (row, model)
    return known[1]


def _most_tokens(request: ChatRequest, model: ServedModel, *, num_choices: int) -> int:
    """What counts in the rates of tokens until it is known better: the prompt, and all that may be said."""
    asked = sum(estimates.estimated_tokens(message.content) for message in request.messages)
    most = request.sampling.max_tokens
    return asked + num_choices * (model.max_output_tokens if most is None else most)


def _hold(key: ApiKey, request: ChatRequest, model: ServedModel, *, num_choices: int) -> UUID:
    """For the prompt, which is billed once, and the longest answer of each choice."""
    max_input_tokens = estimates.most_input_tokens(
        request.messages, tools=request.tools, context_tokens=model.context_tokens
    )
    hold = holds.place(
        key.user,
        model=model,
        max_input_tokens=max_input_tokens,
        max_output_tokens=num_choices * (request.sampling.max_tokens or model.max_output_tokens),
        ttl=LIVES_FOR,
        api_key=key,
    )
    return hold.id


def _settle(
    admitted: Admitted, *, usage: Usage | None, finish_reason: str, is_estimated: bool, **told: Any
) -> None:
    """A database that is away for some seconds loses no bill."""
    for pause_s in (*SETTLE_PAUSES_S, None):
        try:
            if usage is None:
                holds.release(admitted.hold_id)
                return
            holds.settle(
                admitted.hold_id,
                usage=usage,
                source=UsageRecord.Source.API,
                reference=admitted.request.id,
                finish_reason=finish_reason,
                is_estimated=is_estimated,
                **told,
            )
            return
        except (OperationalError, InterfaceError):
            if pause_s is None:
                raise
            logger.warning("request %s: the database is away, settling again soon", admitted.request.id)
            time.sleep(pause_s)
            close_old_connections()  # else it is tried on the one that broke
