"""The API's one error shape, and how every fault of the platform is put into it."""

import math
from typing import Any

from django.utils import timezone

from inference.backends.base import (
    BackendError,
    BackendOverloaded,
    BackendUnavailable,
    PromptTooLong,
    RequestRejected,
)
from webapp.accounts.keys import KeyForbids
from webapp.billing import pricing
from webapp.billing.limits import LimitsUnknown, RateLimited
from webapp.billing.prices import PriceMissing
from webapp.billing.refusals import BudgetReached, DailyLimitReached, InsufficientFunds

Refusal = KeyForbids | InsufficientFunds | RateLimited | LimitsUnknown | PriceMissing


class ApiError(Exception):
    """An answer other than the one asked for. `should_retry`: may the same request succeed later?"""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        headers: dict[str, str] | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s
        self.headers = headers or {}
        self.details = details

    @property
    def body(self) -> dict[str, Any]:
        error = {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}
        # Which limit refused, for programs: beside the four keys that every fault has.
        return {"error": error | ({"details": self.details} if self.details else {})}

    @property
    def should_retry(self) -> bool:
        return self.retry_after_s is not None


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, message, param=param, code=code)


def invalid_key() -> ApiError:
    return ApiError(
        401,
        "This API key is missing, wrong or revoked. Send `Authorization: Bearer sk-…` or `x-api-key: sk-…` "
        "with a key from the settings page.",
        kind="authentication_error",
        code="invalid_api_key",
        headers={"www-authenticate": "Bearer"},
    )


def unknown_model(name: str) -> ApiError:
    return ApiError(
        404,
        f"There is no model {name[:80]!r} here. GET /v1/models lists those on offer.",
        code="model_not_found",
        param="model",
    )


def unknown_path(method: str, path: str) -> ApiError:
    return ApiError(404, f"There is no {method} {path[:200]} here.", code="unknown_url")


def of_refusal(refusal: Refusal) -> ApiError:
    """Of what billing says no to. Money does not come back by waiting, or not before tomorrow:
    only a rate limit invites a retry."""
    if isinstance(refusal, KeyForbids):
        return ApiError(403, str(refusal), kind="permission_error", code=refusal.code)
    if isinstance(refusal, BudgetReached):
        wait_s = max((refusal.renews_at - timezone.now()).total_seconds(), 1.0)
        return ApiError(
            429,
            str(refusal),
            kind="insufficient_quota",
            code=f"{refusal.scope}_spend_limit_exceeded",
            headers={"retry-after": str(math.ceil(wait_s))},
            details={**refusal.details, "reset_s": math.ceil(wait_s)},
        )
    if isinstance(refusal, DailyLimitReached):
        wait_s = max((refusal.renews_at - timezone.now()).total_seconds(), 1.0)
        headers = {"retry-after": str(math.ceil(wait_s))}  # for people: no client should wait so long
        return ApiError(
            429,
            str(refusal),
            kind="insufficient_quota",
            code="daily_limit_reached",
            headers=headers,
            details={**_of_money(refusal), "reset_s": math.ceil(wait_s), "remedy": "wait_or_raise_limit"},
        )
    if isinstance(refusal, InsufficientFunds):
        return ApiError(
            429,
            str(refusal),
            kind="insufficient_quota",
            code="insufficient_quota",
            details={**_of_money(refusal), "reset_s": None, "remedy": "add_credit"},
        )
    if isinstance(refusal, RateLimited):
        return ApiError(
            429,
            str(refusal),
            kind="rate_limit_error",
            code="rate_limit_exceeded",
            retry_after_s=refusal.retry_after_s,
            details={
                "scope": refusal.scope,
                "limit_of": refusal.which,
                "limit": refusal.limit,
                "used": refusal.used,
                "reset_s": refusal.retry_after_s,
                "remedy": "ask_for_less" if refusal.retry_after_s is None else "wait",
            },
        )
    if isinstance(refusal, LimitsUnknown):
        return ApiError(503, str(refusal), kind="server_error", code="limits_unknown", retry_after_s=2.0)
    return ApiError(503, str(refusal), kind="server_error", code="price_missing")


def _of_money(refusal: InsufficientFunds) -> dict[str, Any]:
    """Amounts as text: no float holds them."""
    return {
        "scope": "account",
        "needed": str(pricing.to_decimal(refusal.needed_nano)),
        "available": str(pricing.to_decimal(refusal.available_nano)),
        "held": str(pricing.to_decimal(refusal.held_nano)),
        "currency": refusal.currency,
    }


def of_backend(error: BackendError) -> ApiError:
    if isinstance(error, PromptTooLong):
        return bad_request(str(error), code="context_length_exceeded", param="messages")
    if isinstance(error, RequestRejected):
        return bad_request(str(error))
    if isinstance(error, BackendOverloaded):
        return ApiError(
            503,
            str(error),
            kind="server_error",
            code="server_is_overloaded",
            retry_after_s=error.retry_after_s,
        )
    code = "backend_unavailable" if isinstance(error, BackendUnavailable) else "stream_broken"
    return ApiError(503, str(error), kind="server_error", code=code, retry_after_s=2.0)


def internal(request_id: str) -> ApiError:
    return ApiError(
        500,
        f"The server failed on this request. If it does so again, tell an administrator: {request_id}.",
        kind="server_error",
        code="internal_error",
        retry_after_s=1.0,
    )
