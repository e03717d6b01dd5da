"""Whose request it is."""

from webapp.accounts.models import ApiKey
from webapp.api import admission, database
from webapp.api.exchange import Exchange


async def key_of(exchange: Exchange, *, scope: str = "inference") -> ApiKey:
    """The key that it was sent with. Raises ApiError 401, and 403 where the key is not for this."""
    return await database.run(_key, exchange.secret, scope, exchange.address)


def _key(secret: str, scope: str, address: str) -> ApiKey:
    key = admission.authenticate(secret)
    admission.check(key, scope=scope, address=address)
    return key
