"""/v1/runs: turns of a thinking agent for programs. A run is a turn of the chat under another name: it is
started by the same door, driven by the same workers, and people see it in their chats.
"""

import contextlib
import uuid
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, Literal
from uuid import UUID

import msgspec
from django.db.models import Q, QuerySet
from msgspec import Struct

from chat import audit, dispatch, exports, reports, snapshots, steering
from chat.events import Entry
from chat.frames import CallDecide, Granted, Limits, ToolTerms, TurnContinue, TurnSend
from chat.models import ToolRun, Turn
from chat.refusals import Refusal
from webapp.accounts.models import ApiKey
from webapp.api import (
    admission,
    callers,
    database,
    json_body,
    keyed_call,
    quotes,
    relay,
    turn_events,
    turn_faults,
)
from webapp.api.addresses import Methods
from webapp.api.errors import ApiError, bad_request
from webapp.api.exchange import Exchange
from webapp.api.queries import parameters, whole_number
from webapp.billing.models import UsageRecord

PREFIX = "run_"
MAX_LIMIT = 100


class NewRun(Struct, kw_only=True):
    """`id` makes a resend harmless; `tools` are the names of those that may be called, all by default;
    `granted` those that nobody need be asked for. `after` is a run that this one goes on from. The most it
    may cost is `limits.max_cost`."""

    input: str
    model: str
    id: UUID | None = None
    after: str | None = None
    long_thinking: bool = True
    effort: Literal["auto", "low", "high", "heavy"] = "auto"
    limits: Limits = Limits()
    team: str = ""
    tools: list[str] | None = None
    granted: list[Granted] = []
    is_fresh: bool = False
    plan_needs_approval: bool = False


class Decision(Struct, kw_only=True):
    """`arguments` are those that the call waits with: they prove what was decided on."""

    call_id: str
    decision: Literal["approved", "refused", "answered", "happened"]
    arguments: str = ""
    edited: str | None = None
    answer: str = ""


class Further(Struct, kw_only=True):
    id: UUID | None = None
    steps: int | None = None
    seconds: int | None = None
    cost: str | None = None


_new = msgspec.json.Decoder(NewRun)
_decision = msgspec.json.Decoder(Decision)
_further = msgspec.json.Decoder(Further)


# ---- over HTTP


async def create(exchange: Exchange) -> None:
    """With `x-dry-run: true` nothing is started: the answer says what it may cost. Under an Idempotency-Key
    it begins once; the answer is how the run stands by now."""
    key = await callers.key_of(exchange, scope="runs")
    content = await exchange.read_body()
    asked = json_body.read(content, _new)
    command = _command(asked, id=asked.id or uuid.uuid4())
    admission.check(key, scope="runs", model=command.model, address=exchange.address)
    if exchange.is_dry_run:
        await exchange.send_json(await database.run(quotes.of_turn, key, command))
        return
    make = partial(_start, key, asked)
    number = await keyed_call.make_once(exchange, key, body=content, make=make)
    await exchange.send_json(await database.run(_begun, key, asked.id or UUID(number)), status=201)


async def list_all(exchange: Exchange) -> None:
    """The newest first; `after` is the last of the page before."""
    key = await callers.key_of(exchange, scope="runs")
    asked = parameters(exchange.query)
    limit = whole_number(asked, "limit", default=20, least=1, most=MAX_LIMIT)
    await exchange.send_json(await database.run(_page, key, after=asked.get("after"), limit=limit))


async def retrieve(exchange: Exchange, id: str) -> None:
    key = await callers.key_of(exchange, scope="runs")
    await exchange.send_json(await database.run(_told, key, id))


async def events(exchange: Exchange, id: str) -> None:
    """The run's events after the one that `Last-Event-ID` or `after` names, up to its last."""
    key = await callers.key_of(exchange, scope="runs")
    turn = await database.run(_find, key, id)
    asked = parameters(exchange.query)
    if (last := exchange.last_event_id) is not None:
        asked["after"] = last
    after = whole_number(asked, "after", default=0, least=0, most=2**53)
    await relay.pass_on(exchange, _pieces(turn.id, after=after))


async def cancel(exchange: Exchange, id: str) -> None:
    """Again is harmless."""
    key = await callers.key_of(exchange, scope="runs")
    turn = await database.run(_find, key, id)
    await database.run(dispatch.stop, key.user, turn.id)
    await exchange.send_json(await database.run(_told, key, id))


async def approve(exchange: Exchange, id: str) -> None:
    """A person's word on a call that waits for it. Said again it is harmless."""
    key = await callers.key_of(exchange, scope="runs")
    decision = json_body.read(await exchange.read_body(), _decision)
    await exchange.send_json(await database.run(_decide, key, id, decision))


async def go_on(exchange: Exchange, id: str) -> None:
    """Go on where a limit ended the run, in a run of its own."""
    key = await callers.key_of(exchange, scope="runs")
    further = json_body.read(await exchange.read_body() or b"{}", _further)
    await exchange.send_json(await database.run(_go_on, key, id, further), status=201)


async def export(exchange: Exchange, id: str) -> None:
    """What was said, as `json` or `markdown`; as `log` every row of the run, chained by hash."""
    key = await callers.key_of(exchange, scope="runs")
    form = parameters(exchange.query).get("format", "json")
    if form not in FORMS:
        raise bad_request(f"`format` is one of {', '.join(FORMS)}.", param="format")
    content = await database.run(_export, key, id, form)
    await exchange.send_content(content, FORMS[form])


FORMS = {
    "json": b"application/json",
    "markdown": b"text/markdown; charset=utf-8",
    "log": b"application/x-ndjson",
}
ADDRESSES: dict[str, Methods] = {
    "/v1/quote": {"POST": quotes.handle},
    "/v1/runs": {"POST": create, "GET": list_all},
    "/v1/runs/{id}": {"GET": retrieve},
    "/v1/runs/{id}/events": {"GET": events},
    "/v1/runs/{id}/cancel": {"POST": cancel},
    "/v1/runs/{id}/approve": {"POST": approve},
    "/v1/runs/{id}/continue": {"POST": go_on},
    "/v1/runs/{id}/export": {"GET": export},
}


async def _pieces(turn_id: UUID, *, after: int) -> AsyncGenerator[bytes, None]:
    with contextlib.suppress(Turn.DoesNotExist):
        async with contextlib.aclosing(turn_events.follow(turn_id, after=after)) as entries:
            async for entry in entries:
                about = msgspec.json.decode(entry, type=Entry)
                yield b"id: %d\nevent: %b\ndata: %b\n\n" % (about.seq, about.type.encode(), entry)


# ---- in the database


def _command(asked: NewRun, *, id: UUID) -> TurnSend:
    if asked.after is not None and not asked.after.startswith(PREFIX):
        raise _unknown(asked.after)
    return TurnSend(
        client_id=str(id),
        text=asked.input,
        model=asked.model,
        parent=asked.after and asked.after.removeprefix(PREFIX),
        long_thinking=asked.long_thinking,
        effort=asked.effort,
        limits=asked.limits,
        team=asked.team,
        plan_needs_approval=asked.plan_needs_approval,
        tools=ToolTerms(is_fresh=asked.is_fresh, granted=asked.granted, only=asked.tools),
    )


def _start(key: ApiKey, asked: NewRun, number: str) -> None:
    command = _command(asked, id=asked.id or UUID(number))
    if command.parent is not None:
        before = _find(key, PREFIX + command.parent)
        command = msgspec.structs.replace(
            command, conversation=str(before.conversation_id), parent=str(before.id), is_branch=True
        )
    with _told_by_the_api():
        dispatch.submit_turn(key.user, command, api_key=key)


def _begun(key: ApiKey, id: UUID) -> dict[str, Any]:
    """The run that was asked for under this id. Raises ApiError 404."""
    turn = _own(key).select_related("model", "conversation__user").filter(client_id=id).first()
    if turn is None:
        raise ApiError(404, "The run that this started is not here (any more).", param="run")
    return shape(turn)


def _decide(key: ApiKey, id: str, decision: Decision) -> dict[str, Any]:
    turn = _find(key, id)
    command = CallDecide(
        turn=str(turn.id),
        call=decision.call_id,
        decision=decision.decision,
        arguments=decision.arguments,
        edited=decision.edited,
        answer=decision.answer,
    )
    with _told_by_the_api():
        steering.decide_call(key.user, command)
    return shape(_find(key, id))


def _go_on(key: ApiKey, id: str, further: Further) -> dict[str, Any]:
    turn = _find(key, id)
    admission.check(key, scope="runs", model=turn.model.name, address=None)
    command = TurnContinue(
        turn=str(turn.id),
        client_id=str(further.id or uuid.uuid4()),
        steps=further.steps,
        seconds=further.seconds,
        cost=further.cost,
    )
    with _told_by_the_api():
        return shape(dispatch.continue_turn(key.user, command))


def _export(key: ApiKey, id: str, form: str) -> bytes:
    turn = _find(key, id)
    if form == "log":
        return "".join(f"{line}\n" for line in audit.export(turn)).encode()
    try:
        snapshot = snapshots.of_turn(turn, with_reasoning=True)
    except snapshots.NothingFinished:
        raise ApiError(409, "The run has not ended: there is nothing to export yet.") from None
    return exports.as_json(snapshot) if form == "json" else exports.as_markdown(snapshot)


def _page(key: ApiKey, *, after: str | None, limit: int) -> dict[str, Any]:
    runs = _own(key).filter(is_adopted=False)
    runs = runs.select_related("model", "conversation").order_by("-created_at", "-id")
    if after is not None:
        last = _find(key, after)
        runs = runs.filter(Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, id__lt=last.id))
    found = list(runs[: limit + 1])
    shown = [_brief(turn) for turn in found[:limit]]
    return {"object": "list", "data": shown, "has_more": len(found) > limit}


def _told(key: ApiKey, id: str) -> dict[str, Any]:
    return shape(_find(key, id))


def _find(key: ApiKey, id: str) -> Turn:
    """Raises ApiError 404."""
    try:
        turn_id = UUID(id.removeprefix(PREFIX))
    except ValueError:
        raise _unknown(id) from None
    turn = _own(key).select_related("model", "conversation__user").filter(id=turn_id).first()
    if turn is None:
        raise _unknown(id)
    return turn


def _own(key: ApiKey) -> QuerySet[Turn]:
    """A person's key sees all of theirs; a project's those of the project, no private chat of its maker."""
    runs = Turn.objects.for_user(key.user).filter(spawned_by=None)
    return runs if key.project_id is None else runs.filter(hold__project_id=key.project_id)


def _unknown(id: str) -> ApiError:
    return ApiError(404, f"There is no run {id[:80]!r} here (any more).", param="run")


@contextlib.contextmanager
def _told_by_the_api() -> Any:
    """The chat's refusals as the API's."""
    try:
        yield
    except Refusal as refusal:
        raise turn_faults.of(refusal) from refusal


# ---- as it is told


def _brief(turn: Turn) -> dict[str, Any]:
    """What a list shows of a run."""
    return {
        "id": f"{PREFIX}{turn.id.hex}",
        "object": "run",
        "status": turn.status,
        "model": turn.model.name,
        "conversation": str(turn.conversation_id),
        "created_at": int(turn.created_at.timestamp()),
        "finished_at": int(turn.finished_at.timestamp()) if turn.finished_at else None,
        "finish_reason": turn.finish_reason or None,
        "limit": turn.limit or None,
        "error": turn.error or None,
    }


def shape(turn: Turn) -> dict[str, Any]:
    report = reports.report(turn.conversation.user, turn.id)
    record = UsageRecord.objects.filter(hold_id=turn.hold_id).first()
    return {
        **_brief(turn),
        "num_steps": report.num_steps,
        "output": report.answer,
        "waiting": [_waiting(run) for run in _waiting_calls(turn)],
        "usage": _usage(record) if record else None,
        "cost": {"amount": report.cost, "currency": report.currency} if report.cost else None,
        "last_event": turn.last_seq,
    }


def _waiting_calls(turn: Turn) -> Any:
    of_turn = Q(turn=turn) | Q(turn__spawned_by=turn)
    return ToolRun.objects.filter(of_turn, state=ToolRun.State.WAITING)


def _waiting(run: ToolRun) -> dict[str, Any]:
    return {
        "call_id": run.call_id,
        "tool": run.tool,
        "arguments": run.arguments,
        "waiting_for": run.waiting_for,
        "prompt": run.prompt,
        "expires_at": int(run.expires_at.timestamp()) if run.expires_at else None,
    }


def _usage(record: UsageRecord) -> dict[str, int]:
    return {
        "input_uncached_tokens": record.input_uncached_tokens,
        "input_cached_tokens": record.input_cached_tokens,
        "output_tokens": record.output_tokens,
        "reasoning_tokens": record.reasoning_tokens,
    }
