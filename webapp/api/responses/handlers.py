"""/v1/responses over HTTP."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

from webapp.accounts.models import ApiKey
from webapp.api import call, callers, database, keyed_call, relay, sse, token_count
from webapp.api.errors import ApiError, bad_request
from webapp.api.exchange import Exchange
from webapp.api.models import Item, Response
from webapp.api.queries import parameters, whole_number
from webapp.api.responses import background, compaction, log, request, store, turns
from webapp.api.responses.reply import Dialect
from webapp.api.responses.store import Page

MAX_LIMIT = 100
CANCELLED_WITHIN_S = 5.0
LOOK_AGAIN_S = 0.05


async def create(exchange: Exchange) -> None:
    """Answered while the client waits, unless it asks for the background."""
    key = await callers.key_of(exchange)
    content = await exchange.read_body()
    question = request.decode(content, key=key)
    if not question.tools.hosted and not question.is_background:
        exchange.dialect = question.dialect = Dialect()
        await call.answer(exchange, decode=lambda _content: question, id_prefix="resp_")
        return
    start = turns.start if question.tools.hosted else background.start

    def make(number: str) -> None:
        start(question, id=f"resp_{number}", address=exchange.address)

    id = f"resp_{await keyed_call.make_once(exchange, key, body=content, make=make)}"
    response = await database.run(store.find, key, id)
    if question.is_stream:
        await relay.pass_on(exchange, _pieces(response, after=-1))
        return
    if not question.is_background:
        await relay.until_gone(exchange, _ended(response))
    await exchange.send_json(await database.run(_told, key, id))


async def retrieve(exchange: Exchange, id: str) -> None:
    """The object, or with `stream=true` its events after number `starting_after`."""
    key = await callers.key_of(exchange)
    asked = parameters(exchange.query)
    if asked.get("stream") != "true":
        await exchange.send_json(await database.run(_told, key, id))
        return
    response = await database.run(store.find, key, id)
    after = whole_number(asked, "starting_after", default=-1, least=0, most=2**53)
    await relay.pass_on(exchange, _pieces(response, after=after))


async def cancel(exchange: Exchange, id: str) -> None:
    """Again is harmless. Answers once it has ended, or after a while."""
    key = await callers.key_of(exchange)
    response = await database.run(_cancelled, key, id)
    deadline = time.perf_counter() + CANCELLED_WITHIN_S
    while response.status in Response.OPEN and time.perf_counter() < deadline:
        await asyncio.sleep(LOOK_AGAIN_S)
        response = await database.run(_found, key, id)
    await exchange.send_json(await database.run(store.told, response))


async def _ended(response: Response) -> None:
    async for _piece in _pieces(response, after=-1):
        pass


async def _pieces(response: Response, *, after: int) -> AsyncGenerator[bytes, None]:
    follow = turns.follow if response.turn_id else log.follow
    async with contextlib.aclosing(follow(response, after=after)) as events:
        async for event in events:
            yield sse.named_event(event)


def _cancelled(key: ApiKey, id: str) -> Response:
    response = store.find(key, id)
    if response.turn_id is not None:
        turns.stop(response)
    elif response.is_background:
        background.cancel(response)
    else:
        raise bad_request("Only an answer in the background can be cancelled: hang up instead.")
    return _found(key, id)


def _found(key: ApiKey, id: str) -> Response:
    return turns.progress(store.find(key, id))


async def delete(exchange: Exchange, id: str) -> None:
    key = await callers.key_of(exchange)
    await database.run(_delete, key, id)
    await exchange.send_json({"id": id, "object": "response.deleted", "deleted": True})


async def input_items(exchange: Exchange, id: str) -> None:
    key = await callers.key_of(exchange)
    await exchange.send_json(list_shape(await database.run(_input_page, key, id, exchange.query)))


async def input_tokens(exchange: Exchange) -> None:
    key = await callers.key_of(exchange)
    counted = await token_count.count(exchange, decode=partial(request.decode_counted, key=key))
    estimated = {"estimated": True} if counted.is_estimated else {}
    told = {"object": "response.input_tokens", "input_tokens": counted.tokens}
    await exchange.send_json(told | estimated)


async def compact(exchange: Exchange) -> None:
    key = await callers.key_of(exchange)
    await call.answer(exchange, decode=partial(compaction.decode, key=key), id_prefix="resp_")


def _told(key: ApiKey, id: str) -> dict[str, Any]:
    return store.told(_found(key, id))


def _delete(key: ApiKey, id: str) -> None:
    """Raises ApiError 409 while it is being written: it is billed when it has ended."""
    response = _found(key, id)
    if response.status in Response.OPEN:
        raise ApiError(409, "This response is still being written: cancel it first.", param="response_id")
    store.delete(response)


def _input_page(key: ApiKey, id: str, query: bytes) -> Page:
    items = Item.objects.filter(response=store.find(key, id), side=Item.Side.INPUT)
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
