"""/v1/batches: made, looked at, listed, cancelled."""

import re
from datetime import timedelta
from functools import partial
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec
from django.db import transaction
from django.utils import timezone

from webapp.accounts.models import ApiKey
from webapp.api import callers, database, files, json_body, keyed_call
from webapp.api.batches import running, shape
from webapp.api.errors import ApiError, bad_request
from webapp.api.exchange import Exchange
from webapp.api.models import Batch, StoredFile

ENDPOINT = "/v1/chat/completions"
LEAST, MOST = timedelta(hours=12), timedelta(days=7)
PAGE, LONGEST_PAGE = 20, 100
MOST_OPEN = 50  # of a user


class Body(msgspec.Struct, kw_only=True):
    input_file_id: str
    endpoint: str = ENDPOINT
    completion_window: str = "24h"
    metadata: dict[str, Annotated[str, msgspec.Meta(max_length=512)]] | None = None


_decoder = msgspec.json.Decoder(Body)


async def create(exchange: Exchange) -> None:
    key = await database.run(files.caller, exchange.secret, scope="batches", address=exchange.address)
    content = await exchange.read_body()
    make = partial(_create, key, json_body.read(content, _decoder))
    number = await keyed_call.make_once(exchange, key, body=content, make=make)
    await exchange.send_json(await database.run(lambda: shape.of(_find(key, f"batch_{number}"))))


async def list_all(exchange: Exchange) -> None:
    key = await database.run(files.caller, exchange.secret, scope="batches", address=exchange.address)
    await exchange.send_json(await database.run(_page, key, exchange.query))


async def retrieve(exchange: Exchange, id: str) -> None:
    key = await database.run(files.caller, exchange.secret, scope="batches", address=exchange.address)
    await exchange.send_json(await database.run(lambda: shape.of(_find(key, id))))


async def cancel(exchange: Exchange, id: str) -> None:
    key = await database.run(files.caller, exchange.secret, scope="batches", address=exchange.address)
    await exchange.send_json(await database.run(_cancel, key, id))


def _create(key: ApiKey, body: Body, number: str) -> None:
    window = _window(body.completion_window)
    if body.endpoint != ENDPOINT:
        raise bad_request(f"Batches are made of calls of {ENDPOINT} only.", param="endpoint")
    file = files.find(key, body.input_file_id)
    if file.purpose != StoredFile.Purpose.BATCH:
        raise bad_request("A batch is made of a file with the purpose `batch`.", param="input_file_id")
    if Batch.objects.for_user(key.user).filter(status__in=Batch.OPEN).count() >= MOST_OPEN:
        raise bad_request(f"{MOST_OPEN} of your batches are under way, which is the most.")
    id = f"batch_{number}"
    with transaction.atomic():
        Batch.objects.create(
            id=id,
            user=key.user,
            api_key=key,
            input_file=file,
            completion_window=body.completion_window,
            metadata=body.metadata or {},
            expires_at=timezone.now() + window,
        )
        transaction.on_commit(lambda: running.ring(id))


def _cancel(key: ApiKey, id: str) -> dict[str, Any]:
    """Lines that are being answered are; again is harmless."""
    batch = _find(key, id)
    with transaction.atomic():
        locked = Batch.objects.select_for_update().get(pk=batch.pk)
        if locked.status not in (*Batch.OPEN, Batch.Status.CANCELLED):
            raise ApiError(409, f"The batch is {locked.status} already.", code="batch_ended")
        if locked.status in (Batch.Status.VALIDATING, Batch.Status.IN_PROGRESS):
            running.move(locked, Batch.Status.CANCELLING)
            transaction.on_commit(lambda: running.ring(id))
    return shape.of(locked)


def _find(key: ApiKey, id: str) -> Batch:
    found = Batch.objects.filter(callers.kept_for(key), id=id).first() if id.isprintable() else None
    if found is None:
        raise ApiError(404, f"There is no batch {id[:60]!r}.", code="batch_not_found")
    return found


def _page(key: ApiKey, query: bytes) -> dict[str, Any]:
    asked = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    limit = asked.get("limit", str(PAGE))
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:6]) <= LONGEST_PAGE):
        raise bad_request(f"`limit` is a whole number from 1 to {LONGEST_PAGE}.", param="limit")
    rows = Batch.objects.filter(callers.kept_for(key)).order_by("-created_at", "-id")
    if "after" in asked:
        rows = rows.filter(created_at__lt=_find(key, asked["after"]).created_at)
    found = list(rows[: int(limit) + 1])
    data = [shape.of(batch) for batch in found[: int(limit)]]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
    return {"object": "list", "data": data, "has_more": len(found) > len(data), **ends}


def _window(text: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,3})([hd])", text)
    window = timedelta(hours=int(match[1]) * (24 if match[2] == "d" else 1)) if match else timedelta()
    if not LEAST <= window <= MOST:
        raise bad_request("`completion_window` is from 12h to 7d, like `24h`.", param="completion_window")
    return window
