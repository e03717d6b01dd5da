"""How long a prompt is, by the model's own tokenizer where it is ours: POST /v1/messages/count_tokens, as
Anthropic has it, and /v1/tokenizers/estimate-token-count, as Kimi has it.

Costs nothing; it takes a place among the requests, as it may take a worker's time.
"""

import asyncio
import contextlib
from dataclasses import dataclass

import msgspec

from inference.backends.base import BackendError, BackendUnavailable
from inference.schema import ChatRequest, Finished
from webapp.api import admission, backend_pool, chat_request, database, errors, messages_request
from webapp.api.exchange import Exchange
from webapp.api.question import Decode
from webapp.billing import estimates
from webapp.catalog.models import ServedModel

# These are asked for an answer of no tokens, and count what they read. A provider would refuse or bill that.
COUNTS = (ServedModel.Backend.LOCAL, ServedModel.Backend.SCRIPTED)
WITHIN_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Count:
    """`is_estimated`: no tokenizer counted it."""

    tokens: int
    is_estimated: bool = False


async def handle(exchange: Exchange) -> None:
    """`estimated` stands beside a number that no tokenizer counted."""
    counted = await count(exchange, decode=messages_request.decode_prompt)
    estimated = {"estimated": True} if counted.is_estimated else {}
    await exchange.send_json({"input_tokens": counted.tokens, **estimated})


async def handle_kimi(exchange: Exchange) -> None:
    """In Kimi's shape."""
    counted = await count(exchange, decode=chat_request.decode_prompt)
    estimated = {"estimated": True} if counted.is_estimated else {}
    await exchange.send_json({"data": {"total_tokens": counted.tokens, **estimated}})


async def count(exchange: Exchange, *, decode: Decode) -> Count:
    """How long the prompt in the body is, in any dialect. Raises ApiError."""
    secret = exchange.secret
    if not exchange.is_short:
        await database.run(admission.authenticate, secret)
    content = await exchange.read_body()
    looked = await database.run(
        admission.look, secret, content, decode=decode, id=f"count_{exchange.id}", address=exchange.address
    )
    try:
        counted = await _counted(looked.model, looked.request)
    finally:
        await asyncio.shield(database.run(admission.leave, looked))
    if counted is None:
        return Count(tokens=_estimate(looked.request, looked.model), is_estimated=True)
    return Count(tokens=counted)


async def _counted(model: ServedModel, request: ChatRequest) -> int | None:
    """None where nobody can tell now. Raises ApiError for a prompt that the model refuses."""
    if model.backend not in COUNTS:
        return None
    try:
        async with asyncio.timeout(WITHIN_S):
            backend = backend_pool.own_backend_of(model)
            async with contextlib.aclosing(backend.stream(request)) as deltas:
                async for delta in deltas:
                    if isinstance(delta, Finished):
                        return delta.usage.input_tokens
    except (BackendUnavailable, TimeoutError):
        return None
    except BackendError as error:
        raise errors.of_backend(error) from error
    return None


def _estimate(request: ChatRequest, model: ServedModel) -> int:
    said = b"".join(msgspec.json.encode(part) for part in (*request.messages, *request.tools))
    return min(estimates.estimated_tokens(said.decode()), model.context_tokens)
