"""The two manners of speaking HTTP: which headers an answer has, and how a fault is told."""

from datetime import timedelta
from typing import Any, Protocol

from django.utils import timezone

from webapp.api import sse
from webapp.api.errors import ApiError
from webapp.billing.limits import Allowance


class Dialect(Protocol):
    def headers(self, request_id: str, *, elapsed_ms: float) -> dict[str, str]:
        """Those of every answer."""
        ...

    def allowance_headers(self, allowance: Allowance) -> dict[str, str]: ...

    def status(self, error: ApiError) -> int: ...

    def fault(self, error: ApiError, *, request_id: str) -> dict[str, Any]:
        """The body of an answer that is a fault."""
        ...

    def fault_event(self, error: ApiError, *, request_id: str) -> bytes:
        """The last event of a stream that a fault ended."""
        ...


class OpenAI:
    def headers(self, request_id: str, *, elapsed_ms: float) -> dict[str, str]:
        return {
            "x-request-id": request_id,
            "openai-processing-ms": f"{elapsed_ms:.0f}",
            "openai-version": "2020-10-01",
        }

    def allowance_headers(self, allowance: Allowance) -> dict[str, str]:
        return {
            "x-ratelimit-limit-requests": str(allowance.limit),
            "x-ratelimit-remaining-requests": str(allowance.remaining),
            "x-ratelimit-reset-requests": f"{allowance.reset_s:.3f}s",
        }

    def status(self, error: ApiError) -> int:
        return error.status

    def fault(self, error: ApiError, *, request_id: str) -> dict[str, Any]:
        return error.body

    def fault_event(self, error: ApiError, *, request_id: str) -> bytes:
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "error"}
        return sse.event({**error.body, "choices": [choice]})


# What Anthropic calls a fault of each status, and the statuses that some of our codes have there.
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES = {"insufficient_quota": 402, "daily_limit_reached": 402, "server_is_overloaded": 529}


class Anthropic:
    def headers(self, request_id: str, *, elapsed_ms: float) -> dict[str, str]:
        return {"request-id": request_id}

    def allowance_headers(self, allowance: Allowance) -> dict[str, str]:
        reset_at = timezone.now() + timedelta(seconds=allowance.reset_s)
        return {
            "anthropic-ratelimit-requests-limit": str(allowance.limit),
            "anthropic-ratelimit-requests-remaining": str(allowance.remaining),
            "anthropic-ratelimit-requests-reset": f"{reset_at:%Y-%m-%dT%H:%M:%SZ}",
        }

    def status(self, error: ApiError) -> int:
        if error.status == 503:  # not a status of theirs
            return _STATUSES.get(error.code or "", 500)
        return _STATUSES.get(error.code or "", error.status)

    def fault(self, error: ApiError, *, request_id: str) -> dict[str, Any]:
        status = self.status(error)
        kind = _KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
        place = f"{error.param}: " if error.param and error.param not in str(error) else ""
        if error.code == "context_length_exceeded":
            place = "prompt is too long: "  # the words by which agents know that they must shorten it
        return {
            "type": "error",
            "error": {"type": kind, "message": f"{place}{error}"},
            "request_id": request_id,
        }

    def fault_event(self, error: ApiError, *, request_id: str) -> bytes:
        return sse.named_event(self.fault(error, request_id=request_id))


OPENAI = OpenAI()
ANTHROPIC = Anthropic()
