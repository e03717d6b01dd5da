"""Calls that bear an Idempotency-Key: asked for again they are not made again, but answered with the same
bytes.

A key belongs to an API key and a route, for a day. Only whole answers are kept: a call that failed may be
tried again under the same key.
"""

import hashlib
import zlib
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction

from webapp import database_clock
from webapp.accounts.models import ApiKey
from webapp.api.errors import ApiError, bad_request
from webapp.api.models import KeyedCall

KEPT_FOR = timedelta(hours=24)
LIVES_FOR = timedelta(seconds=120)
MOST_CHARS = 255
MOST_ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to make the call, until its lease is over and another has claimed it."""

    id: int
    fence: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the first call was answered."""

    content_type: str
    content: bytes


def check(name: str) -> None:
    """Raises ApiError 400 for what is no key."""
    if not 1 <= len(name) <= MOST_CHARS or not name.isprintable():
        raise bad_request(
            f"An Idempotency-Key is 1 to {MOST_CHARS} printable characters.", param="Idempotency-Key"
        )


def begin(key: ApiKey, *, route: str, name: str, body: bytes) -> Claim | Answer:
    """The right to make this call, or the answer it was given. Raises ApiError 422 for another body under the
    same key, and 409 while the call is being made.
    """
    body_hash = hashlib.sha256(body).hexdigest()
    now = database_clock.now()
    KeyedCall.objects.filter(
        api_key=key, route=route, name=name, created_at__lt=now - KEPT_FOR, lease_until__lt=now
    ).delete()
    held = KeyedCall.objects.filter(api_key=key, route=route, name=name)
    attempts = 0
    while True:
        attempts += 1
        try:
            with transaction.atomic():
                made = held.create(
                    api_key=key,
                    route=route,
                    name=name,
                    body_hash=body_hash,
                    lease_until=now + LIVES_FOR,
                    created_at=now,
                )
            return Claim(id=made.pk, fence=made.fence)
        except IntegrityError:
            call = held.first()  # None: the first call failed just now and let go of its key
            if call is None and attempts == MOST_ATTEMPTS:
                raise  # it is something else: the API key is gone, say
        if call is not None:
            return _again(call, body_hash)


def _again(call: KeyedCall, body_hash: str) -> Claim | Answer:
    if call.body_hash != body_hash:
        raise _other_body()
    if call.answer is not None:
        return Answer(content_type=call.content_type, content=zlib.decompress(bytes(call.answer)))
    return _take_over(call)


def renew(claim: Claim) -> None:
    _held(claim).update(lease_until=database_clock.now() + LIVES_FOR)


def keep(claim: Claim, answer: Answer) -> None:
    """Remember the whole answer, before its last byte goes out."""
    _held(claim).update(content_type=answer.content_type, answer=zlib.compress(answer.content, level=1))


def forget(claim: Claim) -> None:
    """The call came to no whole answer: it may be made again. One that did stays."""
    _held(claim).filter(answer=None).delete()


def tidy() -> int:
    """Clear away what is older than a day: how many."""
    now = database_clock.now()
    return KeyedCall.objects.filter(created_at__lt=now - KEPT_FOR, lease_until__lt=now).delete()[0]


def _held(claim: Claim):  # type: ignore[no-untyped-def]  # a queryset
    return KeyedCall.objects.filter(pk=claim.id, fence=claim.fence)


def _take_over(call: KeyedCall) -> Claim:
    """The call of a process that died; of several that ask for it one gets it."""
    now = database_clock.now()
    dead = KeyedCall.objects.filter(pk=call.pk, fence=call.fence, lease_until__lt=now, answer=None)
    if not dead.update(fence=call.fence + 1, lease_until=now + LIVES_FOR):
        raise ApiError(
            409,
            "The first call with this Idempotency-Key is still being answered. Ask again for its answer.",
            kind="conflict_error",
            code="idempotency_key_in_use",
            retry_after_s=1.0,
        )
    return Claim(id=call.pk, fence=call.fence + 1)


def _other_body() -> ApiError:
    return ApiError(
        422,
        "This Idempotency-Key was used with another body. Use a new key for another request.",
        code="idempotency_key_reused",
        param="Idempotency-Key",
    )
