"""What a kill run asks of the platform's own database, as a process with its settings:

`python -m tests.faults.inside person NAME` makes a person with money and a session; `submit NAME COUNT TEXT`
starts so many turns of theirs, `approve NAME` says yes to all that waits; `states NAME` counts their turns;
`record TURN` says what is stored of a turn, of its money, and of its event log.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import django
import msgspec

django.setup()

from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from chat import dispatch, events, frames, steering  # noqa: E402
from chat.models import Message, ToolRun, Turn  # noqa: E402
from tests.loopforge.server import MODEL  # noqa: E402
from webapp.accounts.models import User  # noqa: E402
from webapp.billing import accounts  # noqa: E402
from webapp.billing.models import Account, Hold, Price, UsageRecord  # noqa: E402
from webapp.catalog.models import ServedModel  # noqa: E402

CREDIT = Decimal("10000")
PRICE = "0.1"  # per million tokens of any kind, so that a second charge would be seen


def make_person(name: str) -> dict[str, Any]:
    user, is_new = User.objects.get_or_create(username=name, defaults={"email": f"{name}@example.com"})
    if is_new:
        accounts.credit(user, CREDIT, "for the run")
    ServedModel.objects.filter(backend=ServedModel.Backend.OPENAI_COMPATIBLE).update(
        context_tokens=262_144, max_output_tokens=8_192, calls_tools=True
    )
    Price.objects.filter(model__backend=ServedModel.Backend.OPENAI_COMPATIBLE).update(
        input_per_million=PRICE, cached_input_per_million=PRICE, output_per_million=PRICE
    )
    client = Client()
    client.force_login(user)
    return {"cookie": client.cookies["sessionid"].value}


def record(turn_id: str) -> dict[str, Any]:
    turn = Turn.objects.select_related("conversation__user", "hold").get(id=turn_id)
    return {
        "status": turn.status,
        "finish_reason": turn.finish_reason,
        "error": turn.error,
        "transcript": _transcript(turn),
        "log": asyncio.run(_log(turn.id)),
        "money": _money(turn),
        "claims": turn.fence,
    }


def _transcript(turn: Turn) -> list[Any]:
    """Each message as it is stored, without times."""
    rows = []
    for message in turn.messages.prefetch_related("parts").order_by("step", "position"):
        parts = [
            [part.kind, part.text, part.tool_name, part.tool_call_id, part.is_error]
            for part in message.parts.all()
        ]
        rows.append([message.step, message.position, message.role, message.finish_reason, parts])
    return rows


async def _log(turn_id: UUID) -> list[Any]:
    """What the log shows, step by step: pieces joined; a call is told once, however often it was begun."""
    async with events.client() as connection:
        entries = await events.read(connection, turn_id)
    shown = events.Shown()
    for entry in entries:
        shown.add(events.decode(entry))
    return canonical(shown.events)


def canonical(shown: list[frames.PlainEvent]) -> list[Any]:
    steps: dict[int, dict[str, Any]] = {}
    for event in shown:
        plain = frames_as_dict(event)
        kind, step = plain.pop("type"), steps.setdefault(plain.pop("step", 0), {"calls": {}, "said": []})
        if kind.startswith("tool_call"):
            step["calls"].setdefault(plain.pop("id"), {}).update(plain)
        elif kind != "step.started":
            step["said"].append([kind, plain])
    return [[number, step] for number, step in sorted(steps.items())]


def frames_as_dict(event: frames.PlainEvent) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(event)
    for name in ("at_ms", "duration_ms"):
        plain.pop(name, None)
    return plain


def _money(turn: Turn) -> dict[str, Any]:
    account = Account.objects.get(user=turn.conversation.user)
    usage = UsageRecord.objects.filter(hold=turn.hold)
    charges = account.ledger.filter(kind="usage", hold=turn.hold)
    replies = turn.messages.exclude(role__in=[Message.Role.USER, Message.Role.TOOL])
    stored = [
        sum(replies.values_list(name, flat=True))
        for name in ("input_uncached_tokens", "input_cached_tokens", "output_tokens")
    ]
    billed = usage.values_list("input_uncached_tokens", "input_cached_tokens", "output_tokens")
    return {
        "stored": stored,
        "billed": [list(row) for row in billed],
        "cost_nano": [int(cost) for cost in usage.values_list("cost_nano", flat=True)],
        "charges": list(charges.values_list("amount_nano", flat=True)),
        "hold": turn.hold.status,
        "open_holds": Hold.objects.filter(account=account, status="open").count(),
        "held_nano": account.held_nano,
    }


def submit(name: str, count: str, text: str) -> dict[str, Any]:
    """As many conversations, each with one turn."""
    person = User.objects.get(username=name)
    limits = frames.Limits(max_steps=1_000, max_seconds=7_200, max_cost="100")
    ids = []
    for number in range(int(count)):
        command = frames.TurnSend(
            client_id=str(uuid4()),
            text=f"{text} number={number}",
            model=MODEL,
            long_thinking=True,
            effort="high",
            limits=limits,
        )
        ids.append(str(dispatch.submit_turn(person, command).id))
    return {"turns": ids}


def approve(name: str) -> dict[str, Any]:
    person = User.objects.get(username=name)
    runs = ToolRun.objects.filter(turn__conversation__user=person, state=ToolRun.State.WAITING, decision="")
    for run in runs:
        word = frames.CallDecide(
            turn=str(run.turn_id), call=run.call_id, decision="approved", arguments=run.arguments
        )
        steering.decide_call(person, word)
    return {"approved": len(runs)}


def states(name: str) -> dict[str, Any]:
    turns = Turn.objects.filter(conversation__user__username=name)
    return {
        "statuses": Counter(turns.values_list("status", flat=True)),
        "ends": Counter(turns.exclude(finish_reason="").values_list("finish_reason", flat=True)),
        "leased": turns.filter(lease_until__gt=timezone.now()).exclude(status="finished").count(),
        "claims": sum(turns.values_list("fence", flat=True)),
        "held_nano": Account.objects.get(user__username=name).held_nano,
    }


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {
    "person": make_person,
    "record": record,
    "submit": submit,
    "approve": approve,
    "states": states,
}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    sys.stdout.write(json.dumps(COMMANDS[name](*arguments)))
