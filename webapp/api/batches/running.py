"""Driving a batch, by lease and in segments: its file becomes lines, its lines answers, its answers files.

The row says what is to be done next; a worker that dies loses nothing but the answers it was at.
"""

import asyncio
import json
import logging
import time
from typing import Any

import orjson
from celery import current_app
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from kombu.exceptions import OperationalError

from chat.doorbell import QUEUE
from webapp.api import database, files
from webapp.api.batches import answering
from webapp.api.models import Batch, BatchLine, StoredFile
from webapp.database_clock import FromNow
from webapp.webhooks import endpoints, outbox

logger = logging.getLogger(__name__)

Status = Batch.Status
TASK = "webapp.api.tasks.drive_batch"
LIVES_S = 30.0
KEEP_EVERY_S = 8.0
SEGMENT_S = 45.0
AT_ONCE = 4  # lines of one batch
MOST_DRIVEN = 2  # batches at once: turns of people come first
MOST_LINES = 50_000
MOST_ERRORS = 100


def ring(batch_id: str) -> None:
    """Have a Celery worker look at it. If the broker is away, the sweep rings again."""
    try:
        current_app.send_task(TASK, kwargs={"batch_id": batch_id}, queue=QUEUE, retry=False)
    except OperationalError:
        logger.warning("batch %s: nobody to ring, left to the sweep", batch_id)


def ring_due() -> None:
    """Ring for those that nobody drives."""
    driven = Batch.objects.filter(status__in=Batch.OPEN, lease_until__gt=FromNow()).count()
    for batch_id in (
        _free().order_by("created_at").values_list("id", flat=True)[: max(0, MOST_DRIVEN - driven)]
    ):
        ring(batch_id)


async def drive(batch_id: str) -> None:
    """Go on with the batch for a while, unless somebody does."""
    if not await database.run(_claim, batch_id):
        return
    keeping = asyncio.create_task(_keep(batch_id))
    try:
        await _go_on(batch_id)
    finally:
        keeping.cancel()
        await database.run(_leave, batch_id)


def move(batch: Batch, status: str) -> None:
    """To the next status, with the moment when; those who want to hear of its end are told."""
    batch.status = status
    batch.moments = batch.moments | {status: int(timezone.now().timestamp())}
    with transaction.atomic():
        batch.save(update_fields=["status", "moments"])
        if (event_type := f"batch.{status}") in endpoints.BATCHES:
            event_id = f"evt_{batch.id}"
            outbox.announce(
                batch.user_id,
                event_type=event_type,
                event_id=event_id,
                data={"id": batch.id},
                project_id=batch.api_key.project_id,
            )


async def _go_on(batch_id: str) -> None:
    began = time.monotonic()
    while time.monotonic() - began < SEGMENT_S:
        batch = await database.run(_read, batch_id)
        if batch.status == Status.VALIDATING:
            await database.run(_take_lines, batch_id)
        elif batch.status == Status.IN_PROGRESS and batch.expires_at > timezone.now():
            lines = await database.run(_next_lines, batch_id)
            if not lines:
                await database.run(_finish, batch_id, Status.COMPLETED)
                return
            waits = await asyncio.gather(*(answering.answer(batch, line) for line in lines))
            await asyncio.sleep(min(max(waits), 10.0))
        elif batch.status == Status.IN_PROGRESS:
            await database.run(_finish, batch_id, Status.EXPIRED)
            return
        elif batch.status == Status.CANCELLING:
            await database.run(_finish, batch_id, Status.CANCELLED)
            return
        elif batch.status == Status.FINALIZING:
            await database.run(_finish, batch_id, Status.COMPLETED)
            return
        else:
            return


# ---- who drives


def _free() -> Any:
    return Batch.objects.filter(Q(lease_until=None) | Q(lease_until__lte=FromNow()), status__in=Batch.OPEN)


def _claim(batch_id: str) -> bool:
    return bool(_free().filter(id=batch_id).update(lease_until=FromNow(LIVES_S)))


def _leave(batch_id: str) -> None:
    Batch.objects.filter(id=batch_id).update(lease_until=None)
    if Batch.objects.filter(id=batch_id, status__in=Batch.OPEN).exists():
        ring(batch_id)


async def _keep(batch_id: str) -> None:
    while True:
        await asyncio.sleep(KEEP_EVERY_S)
        held = Batch.objects.filter(id=batch_id)
        await database.run(held.update, lease_until=FromNow(LIVES_S))


# ---- its lines


def _read(batch_id: str) -> Batch:
    return Batch.objects.select_related("api_key__user", "api_key__project__team", "user").get(id=batch_id)


def _next_lines(batch_id: str) -> list[BatchLine]:
    waiting = BatchLine.objects.filter(batch_id=batch_id, status_code=None)
    return list(waiting.order_by("number")[:AT_ONCE])


def _take_lines(batch_id: str) -> None:
    """The file as lines, all or, when one is wrong, none."""
    with transaction.atomic():
        batch = Batch.objects.select_for_update().select_related("input_file").get(id=batch_id)
        if batch.status != Status.VALIDATING:
            return None
        lines, errors = _parsed(batch)
        if errors:
            batch.errors = errors[:MOST_ERRORS]
            batch.save(update_fields=["errors"])
            return move(batch, Status.FAILED)
        BatchLine.objects.bulk_create(lines, batch_size=500)
        return move(batch, Status.IN_PROGRESS)


def _parsed(batch: Batch) -> tuple[list[BatchLine], list[dict[str, Any]]]:
    lines: list[BatchLine] = []
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()
    written = files.bytes_of(batch.input_file).split(b"\n")
    for number, text in enumerate(written, 1):
        if not text.strip():
            continue
        try:
            custom_id, body = _request(text, seen)
        except ValueError as error:
            errors.append({"code": "invalid_line", "message": str(error), "param": None, "line": number})
            continue
        seen.add(custom_id)
        lines.append(BatchLine(batch=batch, number=number, custom_id=custom_id, body=body))
    if not lines and not errors:
        errors.append(
            {"code": "empty_file", "message": "The file has no lines.", "param": None, "line": None}
        )
    if len(lines) > MOST_LINES:
        message = f"A batch has at most {MOST_LINES:,} lines."
        errors.append({"code": "too_many_lines", "message": message, "param": None, "line": None})
    return lines, errors


def _request(text: bytes, seen: set[str]) -> tuple[str, str]:
    """Raises ValueError, saying what is wrong with the line."""
    try:
        line = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"This is not valid JSON: {error}.") from None
    if not isinstance(line, dict):
        raise ValueError("A line is a JSON object.")
    custom_id, body = line.get("custom_id"), line.get("body")
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= 200 or "\0" in custom_id:
        raise ValueError("`custom_id` is a text of 1 to 200 characters.")
    if custom_id in seen:
        raise ValueError(f"The custom_id {custom_id[:80]!r} stands here for the second time.")
    if line.get("method") != "POST" or line.get("url") != "/v1/chat/completions":
        raise ValueError("`method` is POST and `url` is /v1/chat/completions.")
    if not isinstance(body, dict):
        raise ValueError("`body` is an object: the request.")
    if body.get("stream"):
        raise ValueError("`stream` is not for batches: leave it out.")
    return custom_id, orjson.dumps(body).decode()


# ---- its end


def _finish(batch_id: str, status: str) -> None:
    """The answers as files, and the end: in one transaction."""
    with transaction.atomic():
        batch = Batch.objects.select_for_update().select_related("api_key__user").get(id=batch_id)
        if batch.status not in Batch.OPEN:
            return
        if status == Status.EXPIRED:
            gone = {"error": {"code": "batch_expired", "message": "The batch's time was over."}}
            batch.lines.filter(status_code=None).update(status_code=408, answer=json.dumps(gone))
        if status == Status.COMPLETED:
            move(batch, Status.FINALIZING)
        batch.output_file = _written(batch, "output", batch.lines.filter(status_code=200))
        batch.error_file = _written(batch, "errors", batch.lines.filter(status_code__gt=200))
        batch.save(update_fields=["output_file", "error_file"])
        move(batch, status)


def _written(batch: Batch, kind: str, lines: Any) -> StoredFile | None:
    told = b"".join(_told(line) for line in lines.order_by("number").iterator(500))
    if not told:
        return None
    return files.put(
        batch.api_key, name=f"{batch.id}_{kind}.jsonl", purpose=StoredFile.Purpose.BATCH_OUTPUT, content=told
    )


def _told(line: BatchLine) -> bytes:
    answer = orjson.loads(line.answer)
    response = {"status_code": line.status_code, "request_id": line.request_id, "body": answer}
    error = None if line.status_code == 200 else answer.get("error")
    said = {"id": f"{line.batch_id}-{line.number}", "custom_id": line.custom_id}
    return orjson.dumps({**said, "response": response, "error": error}) + b"\n"
