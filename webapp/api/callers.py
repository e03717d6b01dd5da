"""Whose request it is."""

from django.db.models import Q

from webapp.accounts.models import ApiKey
from webapp.api import admission, database
from webapp.api.exchange import Exchange


async def key_of(exchange: Exchange, *, scope: str = "inference") -> ApiKey:
    """The key that it was sent with. Raises ApiError 401, and 403 where the key is not for this."""
    return await database.run(_key, exchange.secret, scope, exchange.address)


def kept_for(key: ApiKey) -> Q:
    """Of what is kept with its key: a person's key sees all of theirs, a project's what the project's keys
    made. What names no key, being older than that, is its person's alone: nobody can say any more whether a
    project's key made it, and what is their own must not come to light in a team."""
    own = Q(user=key.user)
    return own if key.project_id is None else own & Q(api_key__project_id=key.project_id)


def _key(secret: str, scope: str, address: str) -> ApiKey:
    key = admission.authenticate(secret)
    admission.check(key, scope=scope, address=address)
    return key
