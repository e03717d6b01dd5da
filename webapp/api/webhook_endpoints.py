"""/v1/webhook_endpoints over HTTP: where a program wants to hear of what ended, and what it was told."""

import uuid
from typing import Annotated, Any

import httpx2
import msgspec
import orjson
from django.utils import timezone
from msgspec import Meta, Struct

from webapp.accounts.models import ApiKey
from webapp.api import callers, database, json_body
from webapp.api.addresses import Methods
from webapp.api.errors import ApiError, bad_request
from webapp.api.exchange import Exchange
from webapp.webhooks import endpoints, outbox
from webapp.webhooks.endpoints import BadEndpoint
from webapp.webhooks.models import Delivery, Endpoint

MOST_DELIVERIES = 100
HINT_CHARS = 4


class New(Struct, kw_only=True):
    name: str
    url: str
    event_types: list[str]


class Update(Struct, kw_only=True):
    name: str | None = None
    url: str | None = None
    event_types: list[str] | None = None


class Trial(Struct, kw_only=True):
    event_type: Annotated[str, Meta(max_length=60)]


_new = msgspec.json.Decoder(New)
_update = msgspec.json.Decoder(Update)
_trial = msgspec.json.Decoder(Trial)


async def create(exchange: Exchange) -> None:
    """The one answer, but for a rotation's, that holds the secret."""
    key = await callers.key_of(exchange)
    body = json_body.read(await exchange.read_body(), _new)
    endpoint = await database.run(_create, key, body)
    await exchange.send_json(shape(endpoint) | {"signing_secret": endpoint.secret})


async def list_all(exchange: Exchange) -> None:
    key = await callers.key_of(exchange)
    found = await database.run(lambda: [shape(one) for one in Endpoint.objects.filter(callers.kept_for(key))])
    ids = [one["id"] for one in found]
    ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    await exchange.send_json({"object": "list", "data": found, "has_more": False, **ends})


async def retrieve(exchange: Exchange, id: str) -> None:
    key = await callers.key_of(exchange)
    await exchange.send_json(shape(await database.run(_find, key, id)))


async def update(exchange: Exchange, id: str) -> None:
    key = await callers.key_of(exchange)
    body = json_body.read(await exchange.read_body(), _update)
    await exchange.send_json(shape(await database.run(_change, key, id, body)))


async def delete(exchange: Exchange, id: str) -> None:
    key = await callers.key_of(exchange)
    await database.run(lambda: _find(key, id).delete())
    await exchange.send_json({"id": id, "object": "webhook_endpoint.deleted", "deleted": True})


async def rotate_secret(exchange: Exchange, id: str) -> None:
    key = await callers.key_of(exchange)
    await exchange.read_body()
    endpoint = await database.run(_rotate, key, id)
    await exchange.send_json(shape(endpoint) | {"signing_secret": endpoint.secret})


async def send_trial(exchange: Exchange, id: str) -> None:
    """Send an event that stands for nothing, now and once."""
    key = await callers.key_of(exchange)
    body = json_body.read(await exchange.read_body(), _trial)
    endpoint = await database.run(_find, key, id)
    if body.event_type not in endpoints.EVENT_TYPES:
        raise bad_request("There are no such events here.", param="event_type")
    event_id = f"evt_{uuid.uuid4().hex}"
    event: dict[str, Any] = {"id": event_id, "object": "event", "type": body.event_type}
    event |= {"created_at": int(timezone.now().timestamp()), "data": {"id": "test"}}
    try:
        status = await outbox.post(endpoint, event_id=event_id, body=orjson.dumps(event).decode())
    except httpx2.HTTPError as fault:
        raise bad_request(f"The endpoint could not be reached: {fault}", param="url") from fault
    told = {"object": "webhook_endpoint.test", "webhook_endpoint_id": endpoint.id, "success": True}
    await exchange.send_json(told | {"event_type": body.event_type, "status_code": status})


async def deliveries(exchange: Exchange, id: str) -> None:
    """What it was told, the newest first: ours alone."""
    key = await callers.key_of(exchange)
    await exchange.send_json({"object": "list", "data": await database.run(_deliveries, key, id)})


async def event_types(exchange: Exchange) -> None:
    await callers.key_of(exchange)
    await exchange.send_json({"object": "list", "data": list(endpoints.EVENT_TYPES)})


ADDRESSES: dict[str, Methods] = {
    "/v1/webhook_event_types": {"GET": event_types},
    "/v1/webhook_endpoints": {"POST": create, "GET": list_all},
    "/v1/webhook_endpoints/{id}": {"GET": retrieve, "POST": update, "DELETE": delete},
    "/v1/webhook_endpoints/{id}/rotate_secret": {"POST": rotate_secret},
    "/v1/webhook_endpoints/{id}/test": {"POST": send_trial},
    "/v1/webhook_endpoints/{id}/deliveries": {"GET": deliveries},
}


def shape(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": endpoint.event_types,
        "is_active": endpoint.is_active,
        "signing_secret_hint": f"whsec_…{endpoint.secret[-HINT_CHARS:]}",
        "created_at": int(endpoint.created_at.timestamp()),
        "updated_at": int(endpoint.updated_at.timestamp()),
    }


def _find(key: ApiKey, id: str) -> Endpoint:
    found = Endpoint.objects.filter(callers.kept_for(key), id=id[:64]).first()
    if found is None:
        raise ApiError(404, f"There is no webhook endpoint {id[:80]!r} here.", param="webhook_endpoint_id")
    return found


def _create(key: ApiKey, body: New) -> Endpoint:
    try:
        return endpoints.create(
            key.user, url=body.url, event_types=body.event_types, name=body.name, api_key=key
        )
    except BadEndpoint as refusal:
        raise bad_request(str(refusal), param=refusal.param) from refusal


def _change(key: ApiKey, id: str, body: Update) -> Endpoint:
    endpoint = _find(key, id)
    try:
        endpoints.update(endpoint, url=body.url, event_types=body.event_types, name=body.name)
    except BadEndpoint as refusal:
        raise bad_request(str(refusal), param=refusal.param) from refusal
    return endpoint


def _rotate(key: ApiKey, id: str) -> Endpoint:
    endpoint = _find(key, id)
    endpoints.rotate_secret(endpoint)
    return endpoint


def _deliveries(key: ApiKey, id: str) -> list[dict[str, Any]]:
    return [_delivery_shape(one) for one in _find(key, id).deliveries.all()[:MOST_DELIVERIES]]


def _delivery_shape(delivery: Delivery) -> dict[str, Any]:
    return {
        "object": "webhook_delivery",
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "state": delivery.state,
        "num_tries": delivery.num_tries,
        "status_code": delivery.status_code,
        "error": delivery.error,
        "created_at": int(delivery.created_at.timestamp()),
        "due_at": int(delivery.due_at.timestamp()) if delivery.due_at else None,
    }
