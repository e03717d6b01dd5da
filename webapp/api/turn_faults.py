"""What the chat's door says no to, as the API says it."""

from chat.refusals import Refusal
from webapp.api import errors
from webapp.api.errors import ApiError
from webapp.billing.limits import RateLimited
from webapp.billing.prices import PriceMissing
from webapp.billing.refusals import InsufficientFunds

STATUSES = {
    "unknown_model": 404,
    "unknown_conversation": 404,
    "unknown_file": 404,
    "unknown_call": 404,
    "turn_running": 409,
    "turn_finished": 409,
    "nothing_to_continue": 409,
    "backend_unavailable": 503,
}
PARAMS = {
    "unknown_model": "model",
    "bad_limits": "limits",
    "bad_team": "team",
    "bad_tools": "tools",
    "empty_message": "input",
    "message_too_long": "input",
    "unknown_file": "attachments",
    "unknown_conversation": "run",
}


def of(refusal: Refusal) -> ApiError:
    cause = refusal.__cause__
    if isinstance(cause, InsufficientFunds | RateLimited | PriceMissing):
        return errors.of_refusal(cause)
    status = STATUSES.get(refusal.code, 400)
    is_away = status == 503
    return ApiError(
        status,
        refusal.message,
        kind="server_error" if is_away else "invalid_request_error",
        code=refusal.code,
        param=PARAMS.get(refusal.code),
        retry_after_s=2.0 if is_away else None,
    )
