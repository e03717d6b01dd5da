"""What a load run asks of the platform's own database, as a process with its settings.

`python -m tests.load.inside open COUNT` makes a person with a session and so many turns that run;
`feed` writes events into the logs of turns, as their workers would, at the rates that come on stdin;
`stored TURN` says what the database holds of a turn's answer.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import django

django.setup()

from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402
from redis.asyncio.client import Pipeline  # noqa: E402

from agents import limits  # noqa: E402
from chat import events, frames, history  # noqa: E402
from chat.models import Conversation, Turn  # noqa: E402
from chat.turn_log import APPEND, APPEND_SHA  # noqa: E402
from webapp.accounts.models import User  # noqa: E402
from webapp.billing import accounts  # noqa: E402
from webapp.billing.models import Hold  # noqa: E402
from webapp.catalog.models import ServedModel  # noqa: E402
from webapp.database_clock import FromNow  # noqa: E402

TICK_S = 0.01
LOG_TTL_MS = 600_000
HELD = timedelta(hours=1)


def open_turns(count: int) -> dict[str, Any]:
    """They have no worker: `feed` is theirs."""
    user, _ = User.objects.get_or_create(username="load", defaults={"email": "load@example.com"})
    model = ServedModel.objects.get(name="scripted")
    bounds = limits.preset("auto", long_thinking=False, reply_tokens=model.max_output_tokens)
    conversations = Conversation.objects.bulk_create(
        Conversation(user=user, title=f"Chat {number}") for number in range(count)
    )
    holds = Hold.objects.bulk_create(
        Hold(account=accounts.of(user), model=model, amount_nano=0, expires_at=timezone.now() + HELD)
        for _ in conversations
    )
    turns = Turn.objects.bulk_create(
        Turn(
            hold=hold,
            conversation=conversation,
            client_id=uuid4(),
            model=model,
            long_thinking=False,
            status=Turn.Status.RUNNING,
            lease_until=FromNow(3_600),
            **asdict(bounds),
        )
        for conversation, hold in zip(conversations, holds, strict=True)
    )
    client = Client()
    client.force_login(user)
    return {"cookie": client.cookies["sessionid"].value, "turns": [str(turn.id) for turn in turns]}


class Feed:
    """Events for one turn: so many a second, of so many characters, each with the time it was written."""

    def __init__(self, turn: str, *, hz: float, chars: int, begins_at: float) -> None:
        self.turn_id = UUID(turn)
        self._every_s = 1 / hz
        self._padding = "x" * chars
        self._next_at = begins_at
        self.seq = 0

    def write_due(self, pipe: "Pipeline[bytes]", now: float) -> None:
        while self._next_at <= now:
            self._next_at += self._every_s
            self.seq += 1
            text = f"{time.monotonic_ns()} {self._padding}"
            entry = events.encode(frames.ContentPiece(step=1, text=text), turn_id=self.turn_id, seq=self.seq)
            pipe.evalsha(APPEND_SHA, 1, events.log_key(self.turn_id), self.seq, LOG_TTL_MS, "", entry)


async def feed(order: dict[str, Any]) -> dict[str, Any]:
    """Says when it begins; the numbers of each turn's last event when it has ended."""
    begins_at = time.monotonic() + 0.2
    feeds = [
        Feed(turn, hz=hz, chars=chars, begins_at=begins_at + (number / len(order["turns"])) / hz)
        for number, (turn, hz, chars) in enumerate(order["turns"])
    ]
    async with events.client() as connection:
        await connection.script_load(APPEND)
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        ends_at = begins_at + order["seconds"]
        while (now := time.monotonic()) < ends_at:
            pipe = connection.pipeline(transaction=False)
            for one in feeds:
                one.write_due(pipe, now)
            await pipe.execute()
            await asyncio.sleep(max(TICK_S - (time.monotonic() - now), 0))
    return {"last": {str(one.turn_id): one.seq for one in feeds}}


def stored(turn_id: str) -> dict[str, Any]:
    turn = Turn.objects.get(id=turn_id)
    return {"status": turn.status, "answer": history.turn_view(turn).answer}


def main(words: list[str]) -> int:
    if words[0] == "open":
        said = open_turns(int(words[1]))
    elif words[0] == "feed":
        said = asyncio.run(feed(json.loads(sys.stdin.readline())))
    else:
        said = stored(words[1])
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
