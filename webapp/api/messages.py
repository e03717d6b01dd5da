"""POST /v1/messages, Anthropic's dialect."""

from webapp.api import call, messages_request
from webapp.api.exchange import Exchange


async def handle(exchange: Exchange) -> None:
    await call.answer(exchange, decode=messages_request.decode, id_prefix="msg_")
