"""/v1/responses over HTTP."""

from typing import Any
from urllib.parse import parse_qs

from webapp.accounts.models import ApiKey
from webapp.api import admission, call, database
from webapp.api.errors import bad_request
from webapp.api.exchange import Exchange
from webapp.api.models import Item
from webapp.api.responses import request, store
from webapp.api.responses.reply import Dialect
from webapp.api.responses.store import Page

MAX_LIMIT = 100


async def create(exchange: Exchange) -> None:
    """Answered while the client waits, unless it asks for the background or for tools of the platform."""
    key = await database.run(admission.authenticate, exchange.secret)
    question = request.decode(await exchange.read_body(), key=key)
    exchange.dialect = question.dialect = Dialect()
    await call.answer(exchange, decode=lambda _content: question, id_prefix="resp_")


async def retrieve(exchange: Exchange, id: str) -> None:
    key = await database.run(admission.authenticate, exchange.secret)
    await exchange.send_json(await database.run(_told, key, id))


async def delete(exchange: Exchange, id: str) -> None:
    key = await database.run(admission.authenticate, exchange.secret)
    await database.run(_delete, key, id)
    await exchange.send_json({"id": id, "object": "response.deleted", "deleted": True})


async def input_items(exchange: Exchange, id: str) -> None:
    key = await database.run(admission.authenticate, exchange.secret)
    await exchange.send_json(list_shape(await database.run(_input_page, key, id, exchange.query)))


def _told(key: ApiKey, id: str) -> dict[str, Any]:
    return store.told(store.find(key.user, id))


def _delete(key: ApiKey, id: str) -> None:
    store.delete(store.find(key.user, id))


def _input_page(key: ApiKey, id: str, query: bytes) -> Page:
    items = Item.objects.filter(response=store.find(key.user, id), side=Item.Side.INPUT)
    return page(items, query)


def page(items: Any, query: bytes) -> Page:
    """The page of the items that the query asks for; the newest first, unless it says otherwise."""
    asked = parameters(query)
    limit = whole_number(asked, "limit", default=20, least=1, most=MAX_LIMIT)
    order = asked.get("order", "desc")
    if order not in ("asc", "desc"):
        raise bad_request("`order` is `asc` or `desc`.", param="order")
    return store.page(items, after=asked.get("after"), limit=limit, is_ascending=order == "asc")


def list_shape(page: Page) -> dict[str, Any]:
    ids = [item["id"] for item in page.items]
    return {
        "object": "list",
        "data": page.items,
        "first_id": ids[0] if ids else "",
        "last_id": ids[-1] if ids else "",
        "has_more": page.has_more,
    }


def parameters(query: bytes) -> dict[str, str]:
    """The query's, each once."""
    return {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}


def whole_number(asked: dict[str, str], name: str, *, default: int, least: int, most: int) -> int:
    """Raises ApiError 400."""
    text = asked.get(name, str(default))
    if not text.isdecimal() or not least <= int(text) <= most:
        raise bad_request(f"`{name}` is a whole number from {least} to {most}.", param=name)
    return int(text)
