"""Reasoning that a client does not send back with its tool calls, put back from a store of our own.

A model that thinks between its calls is worse without what it thought, and some refuse a call without it. An
entry is found by who asked, the call's id, and what was asked and called before it: ids alone repeat from one
conversation to the next. It is sealed for its owner, expires, and is one of a bounded number.
"""

import hashlib
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import msgspec
import orjson
import redis
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.utils.crypto import salted_hmac
from redis.backoff import NoBackoff
from redis.retry import Retry

from inference.schema import ChatMessage, ChatRequest, Role, ToolCall

logger = logging.getLogger(__name__)

KEPT_S = 6 * 3_600
MOST_ENTRIES = 2_000  # of one tenant; the oldest goes first
MOST_BYTES = 256 * 1024  # of one entry, sealed
ANSWER_WITHIN_S = 0.5
_KEEP = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
_NONCE_BYTES = 12


def keep(request: ChatRequest, *, reasoning: str, calls: Sequence[ToolCall], asker: str = "") -> None:
    """Remember what was thought before these calls. Without Redis nothing is, and nothing fails.

    `asker` tells the tenant's own users apart, where the client names them.
    """
    name = _name(request, request.messages, calls, asker=asker)
    sealed = _seal(reasoning, request.tenant, name)
    if len(sealed) > MOST_BYTES:
        return
    try:
        script = _client(settings.REDIS_URL).register_script(_KEEP)
        script(keys=[_index(request.tenant), name], args=[sealed, KEPT_S, MOST_ENTRIES])
    except redis.RedisError as error:
        logger.warning("reasoning is not kept: Redis does not answer (%s)", type(error).__name__)


def repair(request: ChatRequest, *, asker: str = "") -> ChatRequest:
    """The request with the reasoning of its running tool loop whole, as far as it is known here."""
    if not request.thinking.enabled:
        return request
    names = {
        place: _name(request, request.messages[:place], message.tool_calls, asker=asker)
        for place, message in _robbed(request.messages)
    }
    if not names:
        return request
    messages = list(request.messages)
    for place, reasoning in zip(names, _read(request.tenant, list(names.values())), strict=True):
        messages[place] = msgspec.structs.replace(messages[place], reasoning=reasoning)
    return msgspec.structs.replace(request, messages=tuple(messages))


def loop_begins(messages: Sequence[ChatMessage]) -> int:
    """The place of the question whose tool loop is running: text beside a result is said in its midst."""
    for place in range(len(messages) - 1, -1, -1):
        is_user = messages[place].role is Role.USER
        if is_user and (place == 0 or messages[place - 1].role is not Role.TOOL):
            return place
    return 0


def _robbed(messages: Sequence[ChatMessage]) -> Iterator[tuple[int, ChatMessage]]:
    for place in range(loop_begins(messages), len(messages)):
        message = messages[place]
        if message.role is Role.ASSISTANT and message.tool_calls and not message.reasoning.strip():
            yield place, message


def _read(tenant: str, names: list[str]) -> list[str]:
    try:
        found = _client(settings.REDIS_URL).mget(names)
    except redis.RedisError as error:
        logger.warning("lost reasoning is not looked up: %s", type(error).__name__)
        return [""] * len(names)
    return [_open(sealed, tenant, name) if sealed else "" for name, sealed in zip(names, found, strict=True)]


def _name(
    request: ChatRequest, before: Sequence[ChatMessage], calls: Sequence[ToolCall], *, asker: str
) -> str:
    """Of the entry. Results are left out of it: clients shorten them."""
    loop = before[loop_begins(before) :]
    said = [message.content for message in loop if message.role is Role.USER]
    called = [(call.name, _plain(call.arguments)) for message in loop for call in message.tool_calls]
    first = calls[0]
    known_by = [request.model, asker, said, called, first.id, first.name, _plain(first.arguments)]
    digest = hashlib.sha256(orjson.dumps(known_by, default=str)).hexdigest()
    key = salted_hmac("webapp.api.lost_reasoning", f"{request.tenant}\0{digest}", algorithm="sha256")
    return f"reasoning:{request.tenant}:{key.hexdigest()}"


def _plain(arguments: str) -> str:
    """The same for JSON that was read and written again."""
    try:
        return orjson.dumps(orjson.loads(arguments or "{}"), option=orjson.OPT_SORT_KEYS).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return arguments


def _index(tenant: str) -> str:
    return f"reasoning:{tenant}"


def _seal(reasoning: str, tenant: str, name: str) -> bytes:
    text = zlib.compress(reasoning.encode("utf-8", "surrogatepass"), level=1)
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + _cipher(tenant).encrypt(nonce, text, name.encode())


def _open(sealed: bytes, tenant: str, name: str) -> str:
    """Empty where it was sealed for another, or with a key that is no more."""
    try:
        text = _cipher(tenant).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
        return zlib.decompress(text).decode("utf-8", "surrogatepass")
    except (InvalidTag, ValueError, zlib.error):
        return ""


def _cipher(tenant: str) -> AESGCM:
    return AESGCM(salted_hmac("webapp.api.lost_reasoning.seal", tenant, algorithm="sha256").digest())


@cache
def _client(url: str) -> "redis.Redis[bytes]":
    return redis.Redis.from_url(
        url,
        socket_timeout=ANSWER_WITHIN_S,
        socket_connect_timeout=ANSWER_WITHIN_S,
        retry=Retry(NoBackoff(), 1),
    )
