"""GET /v1/openapi.json: for everybody."""

from functools import cache

import orjson

from webapp.api.addresses import Methods
from webapp.api.exchange import JSON, Exchange
from webapp.api.openapi import document


async def show(exchange: Exchange) -> None:
    exchange.extra_headers |= {"access-control-allow-origin": "*", "cache-control": "public, max-age=300"}
    await exchange.send_content(_content(), JSON)


@cache
def _content() -> bytes:
    return orjson.dumps(document.build())


ADDRESSES: dict[str, Methods] = {"/v1/openapi.json": {"GET": show}}
