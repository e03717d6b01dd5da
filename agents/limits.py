"""How far a turn may go: the presets of each effort, when a limit is near, when it is reached. Pure; money is
whole nano-units."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from inference.schema import Usage

Effort = Literal["auto", "low", "high", "heavy"]

SHARE_TO_WARN = 0.8
SHARE_TO_REASON = 0.5  # of a reply, at most: the rest is left for the answer
SHARE_TO_ANSWER_IN = 0.1  # of the time, at most `SECONDS_TO_ANSWER_IN`: kept back for the final answer
SECONDS_TO_ANSWER_IN = 60
FEWEST_STEPS_TO_WARN_OF = 5


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`max_reasoning_tokens` is for each step, the others are for the whole turn; 0 reasoning tokens: do not
    think. None: not limited. A final answer that a limit forces comes on top of the steps."""

    max_steps: int
    max_seconds: int
    max_reasoning_tokens: int
    max_output_tokens: int
    max_cost_nano: int | None = None
    max_total_tokens: int | None = None
    max_sandbox_seconds: int | None = None
    max_fetched_bytes: int | None = None
    max_calls_per_tool: Mapping[str, int] = field(default_factory=dict)


class Limit(StrEnum):
    """Which of them ended a turn, or is near."""

    STEPS = "steps"
    SECONDS = "seconds"
    OUTPUT_TOKENS = "output_tokens"
    TOTAL_TOKENS = "total_tokens"
    COST = "cost"
    DAILY_COST = "daily_cost"  # of the account, whatever else it is spent on
    FUNDS = "funds"  # the account is empty
    QUOTA = "quota"  # the model's provider takes no requests, and does not for long
    SANDBOX_SECONDS = "sandbox_seconds"
    FETCHED_BYTES = "fetched_bytes"
    CALLS = "calls"  # of one tool: further ones are refused, the turn goes on
    CONTEXT = "context"  # nothing more fits into the model's window
    REPEATS = "repeats"  # the same calls again and again


_OFF = Limits(max_steps=1, max_seconds=600, max_reasoning_tokens=0, max_output_tokens=1_000_000)
_PRESETS: dict[Effort, Limits] = {
    "low": Limits(
        max_steps=10,
        max_seconds=300,
        max_reasoning_tokens=4_096,
        max_output_tokens=32_768,
        max_cost_nano=250_000_000,
        max_sandbox_seconds=120,
        max_fetched_bytes=20_000_000,
    ),
    "auto": Limits(
        max_steps=50,
        max_seconds=1_800,
        max_reasoning_tokens=24_576,
        max_output_tokens=262_144,
        max_cost_nano=1_000_000_000,
        max_sandbox_seconds=900,
        max_fetched_bytes=200_000_000,
    ),
    "high": Limits(
        max_steps=300,
        max_seconds=7_200,
        max_reasoning_tokens=49_152,
        max_output_tokens=1_000_000,
        max_cost_nano=5_000_000_000,
        max_sandbox_seconds=3_600,
        max_fetched_bytes=1_000_000_000,
    ),
    "heavy": Limits(
        max_steps=300,
        max_seconds=7_200,
        max_reasoning_tokens=49_152,
        max_output_tokens=4_000_000,
        max_cost_nano=20_000_000_000,
        max_sandbox_seconds=14_400,
        max_fetched_bytes=4_000_000_000,
    ),
}
HIGHEST = Limits(
    max_steps=1_000,
    max_seconds=86_400,
    max_reasoning_tokens=262_144,
    max_output_tokens=10_000_000,
    max_cost_nano=10**15,
    max_total_tokens=10**9,
    max_sandbox_seconds=86_400,
    max_fetched_bytes=10**11,
)
MOST_CALLS_OF_A_TOOL = 10_000

# What the model's makers evaluated it with: a hard exam with tools, and agentic search.
_PUBLISHED_BOUNDS = Limits(
    max_steps=300, max_seconds=86_400, max_reasoning_tokens=24_576, max_output_tokens=10_000_000
)
PUBLISHED: Mapping[str, Limits] = {
    "exam": replace(_PUBLISHED_BOUNDS, max_steps=120, max_reasoning_tokens=49_152),
    "search": _PUBLISHED_BOUNDS,
}


def published(evaluation: str, *, reply_tokens: int) -> Limits:
    """The limits of a published evaluation. Raises KeyError for one that is not known."""
    return _fitted(PUBLISHED[evaluation], reply_tokens)


def preset(effort: Effort, *, long_thinking: bool, reply_tokens: int) -> Limits:
    """The limits of an effort, for a model whose reply is at most `reply_tokens` long. Off: one step, no
    thinking."""
    if not long_thinking:
        return _fitted(replace(_OFF, max_output_tokens=reply_tokens), reply_tokens)
    return _fitted(_PRESETS[effort], reply_tokens)


def _fitted(limits: Limits, reply_tokens: int) -> Limits:
    """With room for an answer behind the reasoning."""
    most = min(limits.max_reasoning_tokens, int(reply_tokens * SHARE_TO_REASON))
    return replace(limits, max_reasoning_tokens=most)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a turn has used so far, when it is about to begin step `step`; `last_*` is the last step's part
    of it."""

    step: int
    seconds: float
    usage: Usage
    cost_nano: int
    sandbox_ms: int = 0
    fetched_bytes: int = 0
    last_usage: Usage = Usage()
    last_cost_nano: int = 0


@dataclass(frozen=True, kw_only=True)
class _Gauge:
    """`used` of `most`; `kept` back, so that the final answer still fits in."""

    limit: Limit
    used: float
    most: float
    kept: float = 0


def reached(limits: Limits, spent: Spent) -> Limit | None:
    """The limit that leaves room for the final answer only."""
    return next(
        (gauge.limit for gauge in _gauges(limits, spent) if gauge.used + gauge.kept >= gauge.most), None
    )


def near(limits: Limits, spent: Spent) -> dict[Limit, float]:
    """The limits of which the model is to be warned, each with the share of it that is used."""
    return {
        gauge.limit: gauge.used / gauge.most
        for gauge in _gauges(limits, spent)
        if gauge.used >= gauge.most * SHARE_TO_WARN
        and not (gauge.limit is Limit.STEPS and limits.max_steps < FEWEST_STEPS_TO_WARN_OF)
    }


def seconds_kept(limits: Limits) -> float:
    """What of the time is left for the final answer."""
    return min(limits.max_seconds * SHARE_TO_ANSWER_IN, SECONDS_TO_ANSWER_IN)


def _gauges(limits: Limits, spent: Spent) -> list[_Gauge]:
    usage, last = spent.usage, spent.last_usage
    gauges = [
        _Gauge(limit=Limit.STEPS, used=spent.step - 1, most=limits.max_steps),
        _Gauge(limit=Limit.SECONDS, used=spent.seconds, most=limits.max_seconds, kept=seconds_kept(limits)),
        _Gauge(
            limit=Limit.OUTPUT_TOKENS,
            used=usage.output_tokens,
            most=limits.max_output_tokens,
            kept=last.output_tokens,
        ),
    ]
    if limits.max_total_tokens:
        used, kept = usage.total_tokens, last.total_tokens
        gauges.append(_Gauge(limit=Limit.TOTAL_TOKENS, used=used, most=limits.max_total_tokens, kept=kept))
    if limits.max_cost_nano:
        used, kept = spent.cost_nano, spent.last_cost_nano
        gauges.append(_Gauge(limit=Limit.COST, used=used, most=limits.max_cost_nano, kept=kept))
    if limits.max_sandbox_seconds:
        used_s = spent.sandbox_ms / 1000
        gauges.append(_Gauge(limit=Limit.SANDBOX_SECONDS, used=used_s, most=limits.max_sandbox_seconds))
    if limits.max_fetched_bytes:
        used, most = spent.fetched_bytes, limits.max_fetched_bytes
        gauges.append(_Gauge(limit=Limit.FETCHED_BYTES, used=used, most=most))
    return gauges
