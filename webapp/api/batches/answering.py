"""One line of a batch: admitted, answered, and its bill and its answer written down together, once."""

import asyncio
import contextlib
import logging
import uuid
from typing import Any

import msgspec
import orjson
from django.db import InterfaceError, OperationalError, transaction

from inference.backends.base import BackendError, BackendOverloaded, BackendUnavailable, StreamBroken
from inference.schema import Usage
from webapp.accounts import keys
from webapp.api import admission, backend_pool, bill, chat_request, database, errors
from webapp.api.admission import Admitted
from webapp.api.chat_reply import Reply
from webapp.api.errors import ApiError
from webapp.api.models import Batch, BatchLine
from webapp.billing import holds, limits
from webapp.billing.models import UsageRecord

logger = logging.getLogger(__name__)

RENEW_EVERY_S = 15.0
AGAIN_AFTER_S = 2.0
MOST_WAIT_S = 10.0
PRIORITY = -1  # whoever waits for an answer goes first


async def answer(batch: Batch, line: BatchLine) -> float:
    """Answer the line; 0, or for how long to wait when it is to be tried again. A fault of ours that is none
    of the database's is its answer: the other lines do not wait for it."""
    try:
        return await _answer(batch, line)
    except (InterfaceError, OperationalError):
        raise
    except Exception:
        name = f"{batch.id}-{line.number}"
        logger.exception("line %s failed", name)
        await database.run(_write, line, 500, errors.internal(name).body)
        return 0.0


async def _answer(batch: Batch, line: BatchLine) -> float:
    try:
        admitted = await database.run(_admit, batch, line)
    except ApiError as refusal:
        return await _refused(line, refusal)
    renewing = asyncio.create_task(_renew(admitted))
    try:
        replies = await _asked(admitted)
    except BackendError as fault:
        await database.run(admission.close, admitted, usage=None, finish_reason="", is_estimated=False)
        return await _refused(line, errors.of_backend(fault), is_passing=_is_passing(fault))
    except BaseException:
        await asyncio.shield(
            database.run(admission.close, admitted, usage=None, finish_reason="", is_estimated=False)
        )
        raise
    finally:
        renewing.cancel()
    try:
        await asyncio.shield(database.run(_bill, admitted, line, replies))
    except Exception:
        await database.run(admission.close, admitted, usage=None, finish_reason="", is_estimated=False)
        raise
    return 0.0


def _admit(batch: Batch, line: BatchLine) -> Admitted:
    """Raises ApiError."""
    key = batch.api_key
    if not keys.is_good(key):
        raise errors.invalid_key()
    question = chat_request.decode(line.body.encode())
    looked = admission.look_as(key, question, id=f"chatcmpl-{uuid.uuid4().hex}", address=None)
    request = msgspec.structs.replace(looked.request, priority=PRIORITY)
    return admission.hold(
        admission.Looked(key=key, question=question, request=request, model=looked.model, lease=looked.lease)
    )


async def _asked(admitted: Admitted) -> list[Reply]:
    """All choices, whole. Raises BackendError."""
    backend = backend_pool.backend_of(admitted.model)
    replies = [Reply(index) for index in range(admitted.question.num_choices)]
    for reply in replies:
        request = chat_request.of_choice(admitted.request, reply.index)
        async with contextlib.aclosing(backend.stream(request)) as deltas:
            async for delta in deltas:
                reply.add(delta)
        reply.require_end()
    return replies


async def _renew(admitted: Admitted) -> None:
    while True:
        await asyncio.sleep(RENEW_EVERY_S)
        await database.run(admission.renew, admitted)


def _bill(admitted: Admitted, line: BatchLine, replies: list[Reply]) -> None:
    """Answer and bill in one transaction: a line that another has answered costs nothing again."""
    asked = "".join(message.content for message in admitted.request.messages)
    owed = bill.of(replies, input_text=asked)
    usage = owed.usage or Usage()
    writer = admitted.question.writer(admitted.request, model=admitted.model)
    completion = writer.completion(replies, usage=usage)
    reason = replies[0].finished.reason.value if replies[0].finished else ""
    with transaction.atomic():
        is_ours = _write(line, 200, completion, request_id=admitted.request.id)
        if is_ours:
            holds.settle(
                admitted.hold_id,
                usage=usage,
                source=UsageRecord.Source.API,
                reference=admitted.request.id,
                finish_reason=reason,
                is_estimated=owed.is_estimated,
            )
        else:
            holds.release(admitted.hold_id)
    limits.give_back(admitted.lease, used_tokens=usage.total_tokens)


async def _refused(line: BatchLine, refusal: ApiError, *, is_passing: bool | None = None) -> float:
    """What may pass is waited for, until the batch's time is over; the rest is the line's answer."""
    if refusal.should_retry if is_passing is None else is_passing:
        return min(refusal.retry_after_s or AGAIN_AFTER_S, MOST_WAIT_S)
    await database.run(_write, line, refusal.status, refusal.body)
    return 0.0


def _is_passing(fault: BackendError) -> bool:
    return isinstance(fault, BackendUnavailable | BackendOverloaded | StreamBroken)


def _write(line: BatchLine, status: int, answer: dict[str, Any], *, request_id: str = "") -> bool:
    """False when the line was answered before."""
    waiting = BatchLine.objects.filter(pk=line.pk, status_code=None)
    text = orjson.dumps(answer).decode()
    return bool(waiting.update(status_code=status, answer=text, request_id=request_id))
