"""A call under an Idempotency-Key, on its way: made once, recorded as it is answered, and answered again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from django.db import transaction

from webapp.accounts.models import ApiKey
from webapp.api import admission, database, idempotency
from webapp.api.exchange import Exchange
from webapp.api.idempotency import Answer, Claim


@asynccontextmanager
async def once(exchange: Exchange, *, secret: str, body: bytes) -> AsyncIterator[bool]:
    """Whether the call is to be made; else it was, and its answer has been sent. Raises ApiError."""
    name = exchange.idempotency_key
    if name is None:
        yield True
        return
    idempotency.check(name)
    key = await database.run(admission.authenticate, secret)
    admission.check(key, scope=admission.INFERENCE, address=exchange.address)
    claim = await database.run(idempotency.begin, key, route=exchange.path[:100], name=name, body=body)
    if isinstance(claim, Answer):
        exchange.extra_headers["idempotent-replayed"] = "true"
        await exchange.send_content(claim.content, claim.content_type.encode())
        yield False
        return
    exchange.recording = Recording(claim)
    try:
        yield True
    finally:
        exchange.recording = None
        await asyncio.shield(database.run(idempotency.forget, claim))


async def make_once(exchange: Exchange, key: ApiKey, *, body: bytes, make: Callable[[str], object]) -> str:
    """The number under which `make` made a thing that is there to be looked at: now, or when it was first
    asked to under this Idempotency-Key. Raises ApiError."""
    name = exchange.idempotency_key
    if name is None:
        await database.run(make, exchange.id)
        return exchange.id
    idempotency.check(name)
    number = await database.run(_made, exchange, key, name, body, make)
    if number != exchange.id:
        exchange.extra_headers["idempotent-replayed"] = "true"
    return number


def _made(exchange: Exchange, key: ApiKey, name: str, body: bytes, make: Callable[[str], object]) -> str:
    claim = idempotency.begin(key, route=exchange.path[:100], name=name, body=body)
    if isinstance(claim, Answer):
        return claim.content.decode()
    try:
        with transaction.atomic():  # the thing and that it was made: a crash leaves both or none
            make(exchange.id)
            idempotency.keep(claim, Answer(content_type="text/plain", content=exchange.id.encode()))
    finally:
        idempotency.forget(claim)
    return exchange.id


@dataclass(frozen=True)
class Recording:
    """Keeps the whole answer of the claimed call."""

    claim: Claim

    async def keep(self, content_type: bytes, content: bytes) -> None:
        answer = Answer(content_type=content_type.decode(), content=content)
        await database.run(idempotency.keep, self.claim, answer)

    async def renew(self) -> None:
        await database.run(idempotency.renew, self.claim)
