"""Receipts: what one request was billed, with everything to compute it again, signed by the platform.

Signed with Ed25519 under a key derived from SECRET_KEY: whoever has the public key can check a receipt
without asking. A receipt of a key before stays good while that key is among SECRET_KEY_FALLBACKS.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.db.models import Q
from django.utils.crypto import salted_hmac

from inference.schema import Usage
from webapp.accounts.models import User
from webapp.billing import pricing
from webapp.billing.models import UsageRecord
from webapp.billing.pricing import Rates


def of(user: User, id: str, *, where: Q | None = None) -> dict[str, Any] | None:
    """The signed receipt of the user's request or turn of this id (its own, or its hold's); None: there is
    none, or not yet. `where` narrows down whose."""
    named = Q(reference=id)
    with suppress(ValueError):
        named |= Q(hold_id=UUID(id))
    records = UsageRecord.objects.for_user(user).filter(named, where or Q())
    record = records.select_related("model", "price", "hold__ledger_entry").first()
    return None if record is None else sign(body(record))


def body(record: UsageRecord) -> dict[str, Any]:
    """Amounts are texts of decimals, so that no reader makes floats of them."""
    price = record.price
    entry = getattr(record.hold, "ledger_entry", None)
    return {
        "object": "receipt",
        "id": str(record.hold_id),
        "request_id": record.reference,
        "created": int(record.created_at.timestamp()),
        "model": record.model.name,
        "finish_reason": record.finish_reason,
        "usage": {
            "input_uncached_tokens": record.input_uncached_tokens,
            "input_cached_tokens": record.input_cached_tokens,
            "output_tokens": record.output_tokens,
            "of_which_reasoning_tokens": record.reasoning_tokens,
            "is_estimated": record.is_estimated,
        },
        "price": None
        if price is None
        else {
            "id": price.pk,
            "currency": price.currency,
            "valid_from": int(price.valid_from.timestamp()),
            "input_per_million": _text(price.input_per_million),
            "cached_input_per_million": _text(price.cached_input_per_million),
            "output_per_million": _text(price.output_per_million),
        },
        "fees": _text(pricing.to_decimal(record.fees_nano)),
        "charged": _text(pricing.to_decimal(record.cost_nano)),
        "currency": record.currency,
        "ledger_entry": entry.pk if entry else None,
    }


def recomputed(receipt: dict[str, Any]) -> Decimal:
    """What the receipt's own tokens, price and fees come to; `charged` is this, or less where the account had
    no more."""
    price, used = receipt["price"], receipt["usage"]
    rates = pricing.FREE
    if price is not None:
        rates = Rates.per_million(
            uncached=Decimal(price["input_per_million"]),
            cached=Decimal(price["cached_input_per_million"]),
            output=Decimal(price["output_per_million"]),
        )
    usage = Usage(
        input_uncached_tokens=used["input_uncached_tokens"],
        input_cached_tokens=used["input_cached_tokens"],
        output_tokens=used["output_tokens"],
    )
    return pricing.to_decimal(pricing.cost_nano(rates, usage)) + Decimal(receipt["fees"])


def sign(receipt: dict[str, Any]) -> dict[str, Any]:
    key = _private(settings.SECRET_KEY)
    public = _raw(key.public_key())
    signature = {
        "algorithm": "ed25519",
        "key_id": _key_id(public),
        "public_key": urlsafe_b64encode(public).decode(),
        "over": "the receipt as JSON with sorted keys and no spaces",
        "value": urlsafe_b64encode(key.sign(_bytes(receipt))).decode(),
    }
    return {**receipt, "signature": signature}


def is_genuine(signed: dict[str, Any]) -> bool:
    """Whether we signed exactly this, now or with a key of before."""
    signature = signed.get("signature")
    if not isinstance(signature, dict):
        return False
    receipt = {name: value for name, value in signed.items() if name != "signature"}
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            value = urlsafe_b64decode(str(signature.get("value")))
            _private(secret).public_key().verify(value, _bytes(receipt))
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def _private(secret: str | bytes) -> Ed25519PrivateKey:
    seed = salted_hmac("webapp.billing.receipts", b"", secret=secret, algorithm="sha256").digest()
    return Ed25519PrivateKey.from_private_bytes(seed)


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _key_id(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()[:16]


def _bytes(receipt: dict[str, Any]) -> bytes:
    return orjson.dumps(receipt, option=orjson.OPT_SORT_KEYS)


def _text(amount: Decimal) -> str:
    return f"{amount:f}"
