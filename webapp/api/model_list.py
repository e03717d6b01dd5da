"""GET /v1/models and GET /v1/models/NAME: what is on offer, in OpenAI's shape with Kimi's additions, or in
Anthropic's."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from webapp.api import admission, database
from webapp.api.dialects import ANTHROPIC
from webapp.api.errors import bad_request, unknown_model
from webapp.api.exchange import Exchange
from webapp.catalog.models import ServedModel

# The platform keeps no date of a model's birth, and clients only want a number here.
CREATED = 1_735_689_600
PAGE, LONGEST_PAGE = 20, 1_000


async def handle(exchange: Exchange) -> None:
    models = await _models(exchange)
    if exchange.dialect is ANTHROPIC:
        return await exchange.send_json(_page(models, exchange.query))
    return await exchange.send_json({"object": "list", "data": [_shape(model) for model in models]})


async def handle_one(exchange: Exchange, name: str) -> None:
    """Raises ApiError 404 for a model that is not on offer."""
    for model in await _models(exchange):
        if model.name == name:
            shape = _anthropic_shape if exchange.dialect is ANTHROPIC else _shape
            return await exchange.send_json(shape(model))
    raise unknown_model(name)


async def _models(exchange: Exchange) -> list[ServedModel]:
    secret = exchange.secret
    await database.run(admission.authenticate, secret)
    return await database.run(admission.offered_models)


def _shape(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": CREATED,
        "owned_by": model.backend,
        "name": model.label,
        "context_length": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "supports_reasoning": model.thinks,
        "supports_tools": model.calls_tools,
        "supports_image_in": False,
        "supports_video_in": False,
    }


def _anthropic_shape(model: ServedModel) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.label,
        "created_at": f"{datetime.fromtimestamp(CREATED, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "lifecycle": "active",
        "max_input_tokens": model.context_tokens,
        "max_tokens": model.max_output_tokens,
    }


def _page(models: list[ServedModel], query: bytes) -> dict[str, Any]:
    """The part of the list that `limit`, `after_id` and `before_id` ask for."""
    asked = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    limit = _limit(asked.get("limit", str(PAGE)))
    names = [model.name for model in models]
    if "before_id" in asked:
        end = _place(names, asked["before_id"], param="before_id")
        begin = max(end - limit, 0)
        has_more = begin > 0
    else:
        begin = _place(names, asked["after_id"], param="after_id") + 1 if "after_id" in asked else 0
        end = begin + limit
        has_more = end < len(names)
    data = [_anthropic_shape(model) for model in models[begin:end]]
    ends = (
        {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
        if data
        else {"first_id": None, "last_id": None}
    )
    return {"data": data, "has_more": has_more, **ends}


def _limit(asked: str) -> int:
    if not (asked.isascii() and asked.isdigit() and len(asked) <= 4 and 1 <= int(asked) <= LONGEST_PAGE):
        raise bad_request(f"`limit` is a whole number from 1 to {LONGEST_PAGE:,}.", param="limit")
    return int(asked)


def _place(names: list[str], name: str, *, param: str) -> int:
    if name not in names:
        raise bad_request(f"`{param}` names {name[:80]!r}, which is no model here.", param=param)
    return names.index(name)
