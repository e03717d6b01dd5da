"""/v1/conversations over HTTP: lists of items that programs keep here, and that responses go on with."""

from typing import Annotated, Any

import msgspec
from django.db import transaction
from msgspec import Meta, Struct

from webapp.accounts.models import ApiKey
from webapp.api import callers, database, json_body
from webapp.api.errors import ApiError
from webapp.api.exchange import Exchange
from webapp.api.models import Item, StoredConversation
from webapp.api.responses import items, store
from webapp.api.responses.handlers import list_shape, page
from webapp.api.responses.items import Stored
from webapp.api.responses.request import Metadata
from webapp.api.responses.store import Page

MOST_AT_ONCE = 20


class NewConversation(Struct, kw_only=True):
    items: Annotated[list[Any], Meta(max_length=MOST_AT_ONCE)] | None = None
    metadata: Metadata | None = None


class Update(Struct, kw_only=True):
    metadata: Metadata


class NewItems(Struct, kw_only=True):
    items: Annotated[list[Any], Meta(min_length=1, max_length=MOST_AT_ONCE)]


_new = msgspec.json.Decoder(NewConversation)
_update = msgspec.json.Decoder(Update)
_new_items = msgspec.json.Decoder(NewItems)


async def create(exchange: Exchange) -> None:
    key = await callers.key_of(exchange)
    body = json_body.read(await exchange.read_body() or b"{}", _new)
    said = items.read(body.items, param="items")
    conversation = await database.run(_create, key, f"conv_{exchange.id}", said, body.metadata or {})
    await exchange.send_json(shape(conversation))


async def retrieve(exchange: Exchange, id: str) -> None:
    key = await callers.key_of(exchange)
    await exchange.send_json(shape(await database.run(store.find_conversation, key, id)))


async def update(exchange: Exchange, id: str) -> None:
    key = await callers.key_of(exchange)
    body = json_body.read(await exchange.read_body(), _update)
    await exchange.send_json(shape(await database.run(_set_metadata, key, id, body.metadata)))


async def delete(exchange: Exchange, id: str) -> None:
    key = await callers.key_of(exchange)
    await database.run(_delete, key, id)
    await exchange.send_json({"id": id, "object": "conversation.deleted", "deleted": True})


async def add_items(exchange: Exchange, id: str) -> None:
    key = await callers.key_of(exchange)
    body = json_body.read(await exchange.read_body(), _new_items)
    said = items.read(body.items, param="items")
    added = await database.run(_add, key, id, said)
    await exchange.send_json(list_shape(Page(items=added, has_more=False)))


async def list_items(exchange: Exchange, id: str) -> None:
    key = await callers.key_of(exchange)
    await exchange.send_json(list_shape(await database.run(_page, key, id, exchange.query)))


async def retrieve_item(exchange: Exchange, id: str, item_id: str) -> None:
    key = await callers.key_of(exchange)
    await exchange.send_json((await database.run(_item, key, id, item_id)).content)


async def delete_item(exchange: Exchange, id: str, item_id: str) -> None:
    """Answers with the conversation."""
    key = await callers.key_of(exchange)
    await exchange.send_json(shape(await database.run(_delete_item, key, id, item_id)))


def shape(conversation: StoredConversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": int(conversation.created_at.timestamp()),
        "metadata": conversation.metadata,
    }


def _create(key: ApiKey, id: str, said: list[Stored], metadata: dict[str, str]) -> StoredConversation:
    with transaction.atomic():
        conversation = StoredConversation.objects.create(id=id, user=key.user, api_key=key, metadata=metadata)
        store.append(id, store.resolved(key, said))
    return conversation


def _set_metadata(key: ApiKey, id: str, metadata: dict[str, str]) -> StoredConversation:
    conversation = store.find_conversation(key, id)
    conversation.metadata = metadata
    conversation.save(update_fields=["metadata"])
    return conversation


def _delete(key: ApiKey, id: str) -> None:
    store.find_conversation(key, id).delete()


def _add(key: ApiKey, id: str, said: list[Stored]) -> list[Stored]:
    conversation = store.find_conversation(key, id)
    added = store.resolved(key, said)
    with transaction.atomic():
        store.append(conversation.id, added)
    return added


def _page(key: ApiKey, id: str, query: bytes) -> Page:
    return page(store.find_conversation(key, id).items.all(), query)


def _item(key: ApiKey, id: str, item_id: str) -> Item:
    found = store.find_conversation(key, id).items.filter(item_id=item_id).first()
    if found is None:
        raise ApiError(404, f"There is no item {item_id[:80]!r} in this conversation.", param="item_id")
    return found


def _delete_item(key: ApiKey, id: str, item_id: str) -> StoredConversation:
    _item(key, id, item_id).delete()
    return store.find_conversation(key, id)
