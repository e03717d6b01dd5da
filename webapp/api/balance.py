"""GET /v1/users/me/balance, in Kimi's shape: what may be spent now, by whoever pays for this key."""

from typing import Any

from webapp.accounts.models import ApiKey
from webapp.api import admission, database
from webapp.api.exchange import Exchange
from webapp.billing import accounts, pricing


async def handle(exchange: Exchange) -> None:
    data = await database.run(_read, exchange.secret, exchange.address)
    await exchange.send_json({"code": 0, "data": data, "scode": "0x0", "status": True})


def _read(secret: str, address: str) -> dict[str, Any]:
    """Numbers, as Kimi's clients expect; the exact amounts stand beside them as text."""
    key: ApiKey = admission.authenticate(secret)
    admission.check(key, scope="usage", address=address)
    account = accounts.paying(key.user, key.project)
    free = pricing.to_decimal(account.balance_nano - account.held_nano)
    return {
        "available_balance": float(free),
        "voucher_balance": 0.0,  # a voucher becomes money of the account when it is taken
        "cash_balance": float(free),
        "currency": account.currency,
        "available_exact": f"{free:f}",
        "held_exact": f"{pricing.to_decimal(account.held_nano):f}",
    }
