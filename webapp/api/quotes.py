"""What a call or a run may cost, and what one like it has cost on average, before it is made. Takes no money
and no place."""

from functools import partial
from typing import Any

import msgspec
from django.db.models import Avg, Sum
from django.utils import timezone
from msgspec import Struct

from agents.limits import Limits
from chat import preferences, toolsets, wishes
from chat.frames import TurnSend
from chat.models import Turn
from chat.refusals import Refusal
from webapp.accounts.models import ApiKey
from webapp.api import callers, chat_request, database, json_body, messages_request, turn_faults
from webapp.api.errors import bad_request, of_refusal, unknown_model
from webapp.api.exchange import Exchange
from webapp.api.question import Decode, Question
from webapp.api.responses import request as responses
from webapp.billing import accounts, estimates, prices, pricing
from webapp.billing.models import UsageRecord
from webapp.billing.prices import PriceMissing
from webapp.billing.pricing import Rates
from webapp.catalog.models import ServedModel

PRICED = ("/v1/chat/completions", "/v1/messages", "/v1/responses")
LOOKED_AT = 200  # of the last calls, for what is expected


class Asked(Struct, kw_only=True):
    """As a line of a batch has it."""

    url: str
    body: msgspec.Raw


_asked = msgspec.json.Decoder(Asked)


async def handle(exchange: Exchange) -> None:
    """POST /v1/quote: what the body would cost at that address."""
    key = await callers.key_of(exchange)
    asked = json_body.read(await exchange.read_body(), _asked)
    await exchange.send_json(await database.run(of_call, key, asked.url, bytes(asked.body)))


async def dry_run(exchange: Exchange, path: str) -> None:
    """A call with `x-dry-run: true`."""
    key = await callers.key_of(exchange)
    await exchange.send_json(await database.run(of_call, key, path, await exchange.read_body()))


def of_call(key: ApiKey, path: str, content: bytes) -> dict[str, Any]:
    """Raises ApiError, as the call itself would."""
    if path not in PRICED:
        raise bad_request(f"`url` is one of {', '.join(PRICED)}.", param="url")
    decodes: tuple[Decode, ...] = (
        chat_request.decode,
        messages_request.decode,
        partial(responses.decode, key=key),
    )
    question = decodes[PRICED.index(path)](content)
    model = _offered(question.model)
    return _of_question(key, question, model)


def of_turn(key: ApiKey, command: TurnSend) -> dict[str, Any]:
    """What a run may cost: within its limits, and at most what it is allowed to. Raises ApiError."""
    model = _offered(command.model)
    try:
        team = wishes.team_of(command)
        limits = wishes.limits_of(command, model, preferences.of(key.user))
    except Refusal as refusal:
        raise turn_faults.of(refusal) from refusal
    limits = team.bounded(limits) if team else limits
    rates, quote = _begun(key, model)
    most_nano = _most_of_turn(limits, model, rates)
    finished = Turn.objects.filter(
        status=Turn.Status.FINISHED, model=model, effort=command.effort, spawned_by=None
    ).exclude(finish_reason="error")
    last = finished.order_by("-created_at").values("hold_id")[:LOOKED_AT]
    expected = UsageRecord.objects.filter(hold_id__in=last).aggregate(cost=Avg("cost_nano"))["cost"]
    tools = toolsets.specs_for(model, long_thinking=command.long_thinking)
    return quote | {
        "max_cost": _money(most_nano),
        "expected_cost": None if expected is None else _money(min(int(expected), most_nano)),
        "max_steps": limits.max_steps,
        "max_output_tokens": limits.max_output_tokens,
        "num_tools": len(tools),
    }


def _of_question(key: ApiKey, question: Question, model: ServedModel) -> dict[str, Any]:
    asked = question.to_chat_request(id="quote", model=model, tenant=str(key.user_id))
    rates, quote = _begun(key, model)
    most_input = estimates.most_input_tokens(
        asked.messages, tools=asked.tools, context_tokens=model.context_tokens
    )
    most_output = question.num_choices * (asked.sampling.max_tokens or model.max_output_tokens)
    most_nano = pricing.most_nano(rates, max_input_tokens=most_input, max_output_tokens=most_output)
    input_tokens = estimates.estimated_tokens("".join(message.content for message in asked.messages))
    expected_output = min(_usual_output(key, model, most_output), most_output)
    expected_nano = pricing.most_nano(
        rates, max_input_tokens=min(input_tokens, most_input), max_output_tokens=expected_output
    )
    return quote | {
        "max_cost": _money(most_nano),
        "expected_cost": _money(min(expected_nano, most_nano)),
        "input_tokens": input_tokens,
        "max_input_tokens": most_input,
        "expected_output_tokens": expected_output,
        "max_output_tokens": most_output,
    }


def _begun(key: ApiKey, model: ServedModel) -> tuple[Rates, dict[str, Any]]:
    """The rates of today, and what every quote says."""
    account = accounts.paying(key.user, key.project)
    try:
        rates = prices.rates_of(prices.price_for(model, account.currency, timezone.now()))
    except PriceMissing as refusal:
        raise of_refusal(refusal) from refusal
    return rates, {
        "object": "quote",
        "model": model.name,
        "currency": account.currency,
        "available": _money(account.balance_nano - account.held_nano),
    }


def _most_of_turn(limits: Limits, model: ServedModel, rates: Rates) -> int:
    """Every step may read the whole window again; the limits of tokens and money bound it."""
    most_input = limits.max_steps * model.context_tokens
    if limits.max_total_tokens is not None:
        most_input = min(most_input, limits.max_total_tokens)
    most_output = min(limits.max_output_tokens, limits.max_steps * model.max_output_tokens)
    most_nano = pricing.most_nano(rates, max_input_tokens=most_input, max_output_tokens=most_output)
    return most_nano if limits.max_cost_nano is None else min(most_nano, limits.max_cost_nano)


def _usual_output(key: ApiKey, model: ServedModel, most: int) -> int:
    """As many tokens as this user's answers of this model have had; half of the most where there are none."""
    last = UsageRecord.objects.filter(user=key.user, model=model).order_by("-pk")[:LOOKED_AT]
    sums = UsageRecord.objects.filter(pk__in=list(last.values_list("pk", flat=True))).aggregate(
        tokens=Sum("output_tokens"), steps=Sum("num_steps")
    )
    return int(sums["tokens"] / sums["steps"]) if sums["tokens"] and sums["steps"] else most // 2


def _offered(name: str) -> ServedModel:
    model = ServedModel.objects.offered().filter(name=name).first() if name.isprintable() else None
    if model is None:
        raise unknown_model(name)
    return model


def _money(nano: int) -> str:
    return format(pricing.to_decimal(nano).normalize(), "f")
