"""POST /v1/chat/completions, OpenAI's dialect with Kimi's additions."""

from webapp.api import call, chat_request
from webapp.api.exchange import Exchange


async def handle(exchange: Exchange) -> None:
    await call.answer(exchange, decode=chat_request.decode, id_prefix="chatcmpl-")
