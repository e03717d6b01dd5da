"""Which worker a request goes to: the one that has its beginning in the prefix cache, unless it is too busy.

Works on the text of the messages, without a tokenizer: a hint, never a promise. No queue, no clock.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from inference.request_queue.messages import Heartbeat, WorkerState
from inference.schema import ChatMessage, ChatRequest, Role

# Shorter beginnings fill no block of the cache (64 tokens).
_LEAST_CHARACTERS = 256
# Beginnings looked up for one request: the longest ones.
_MOST_LOOKED_UP = 64
# A worker with so many requests more than the least busy one is too busy for its cache to be worth the wait.
MOST_AHEAD = 4


class Prefixes(NamedTuple):
    """Digests of a request's beginnings: `to_find` from the longest on, `to_keep` for those to come."""

    to_find: tuple[str, ...]
    to_keep: tuple[str, ...]


def prefixes(request: ChatRequest) -> Prefixes:
    """Each message's digest covers all before it, the tools and the tenant: tenants share no cache.

    Kept are the whole request, which the conversation's next one begins with, and what stands before its
    first question, which other conversations may share. Reasoning is left out: later requests drop it.
    """
    digest = hashlib.blake2b(msgspec.json.encode((request.tenant, request.tools)), digest_size=16)
    num_characters = sum(len(tool.description) + len(tool.name) for tool in request.tools)
    found: list[str] = []
    opening = ""
    for place, message in enumerate(request.messages):
        text = _text(message)
        digest.update(text)
        num_characters += len(text)
        if num_characters < _LEAST_CHARACTERS:
            continue
        found.append(digest.hexdigest())
        if place + 1 < len(request.messages) and _is_opening(request.messages, place):
            opening = found[-1]
    longest = tuple(reversed(found[-_MOST_LOOKED_UP:]))
    keeps = (*found[-1:], *((opening,) if opening else ()))
    return Prefixes(to_find=longest, to_keep=keeps)


def choose(
    last_takers: Sequence[str | None], workers: Sequence[Heartbeat], *, num_queued: Mapping[str, int]
) -> str | None:
    """The worker to send to, or None: whoever is free.

    `last_takers` are who last took each beginning of the request, from the longest on; `num_queued` is how
    many requests the queue of each worker's own holds, those being answered included.
    """
    ready = [worker for worker in workers if worker.state is WorkerState.READY]
    if len(ready) < 2:
        return None
    loads = {
        one.worker_id: max(one.num_running + one.num_waiting, num_queued.get(one.worker_id, 0))
        for one in ready
    }
    most = min(loads.values()) + MOST_AHEAD
    return next((taker for taker in last_takers if taker and loads.get(taker, most + 1) <= most), None)


def _is_opening(messages: Sequence[ChatMessage], place: int) -> bool:
    return messages[place].role is Role.SYSTEM and messages[place + 1].role is not Role.SYSTEM


def _text(message: ChatMessage) -> bytes:
    return msgspec.json.encode((message.role, message.content, message.tool_calls, message.tool_call_id))
