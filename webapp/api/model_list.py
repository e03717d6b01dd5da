"""GET /v1/models and GET /v1/models/NAME: what is on offer, in OpenAI's shape with Kimi's additions."""

from typing import Any

from webapp.api import admission, database
from webapp.api.errors import unknown_model
from webapp.api.exchange import Exchange
from webapp.catalog.models import ServedModel

# The platform keeps no date of a model's birth, and clients only want a number here.
CREATED = 1_735_689_600


async def handle(exchange: Exchange) -> None:
    models = await _models(exchange)
    await exchange.send_json({"object": "list", "data": [_shape(model) for model in models]})


async def handle_one(exchange: Exchange, name: str) -> None:
    """Raises ApiError 404 for a model that is not on offer."""
    for model in await _models(exchange):
        if model.name == name:
            return await exchange.send_json(_shape(model))
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
