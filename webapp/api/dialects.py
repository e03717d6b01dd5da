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
            "x-trace-id": request_id.removeprefix("req_"),
            "openai-processing-ms": f"{elapsed_ms:.0f}",
            "openai-version": "2020-10-01",
        }

    def allowance_headers(self, allowance: Allowance) -> dict[str, str]:
        told = {}
        for what, rate in (("requests", allowance.requests), ("tokens", allowance.tokens)):
            if rate is not None:
                told[f"x-ratelimit-limit-{what}"] = str(rate.limit)
                told[f"x-ratelimit-remaining-{what}"] = str(rate.remaining)
                told[f"x-ratelimit-reset-{what}"] = go_duration(rate.reset_s)
        return told

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
_STATUSES = {"server_is_overloaded": 529}


class Anthropic:
    def headers(self, request_id: str, *, elapsed_ms: float) -> dict[str, str]:
        return {"request-id": request_id}

    def allowance_headers(self, allowance: Allowance) -> dict[str, str]:
        told = {}
        # Input and output share one rate here.
        tokens = dict.fromkeys(("tokens", "input-tokens", "output-tokens"), allowance.tokens)
        for what, rate in {"requests": allowance.requests, **tokens}.items():
            if rate is not None:
                reset_at = timezone.now() + timedelta(seconds=rate.reset_s)
                told[f"anthropic-ratelimit-{what}-limit"] = str(rate.limit)
                told[f"anthropic-ratelimit-{what}-remaining"] = str(rate.remaining)
                told[f"anthropic-ratelimit-{what}-reset"] = f"{reset_at:%Y-%m-%dT%H:%M:%SZ}"
        return told

    def status(self, error: ApiError) -> int:
        if error.kind == "insufficient_quota":
            return 402
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


def go_duration(seconds: float) -> str:
    """As Go writes it, and OpenAI with it: 12ms, 1.5s, 6m0s, 1h0m0s."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, seconds = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    rest = f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{rest}"
    return f"{minutes}m{rest}" if minutes else rest


OPENAI = OpenAI()
ANTHROPIC = Anthropic()
