"""How far a turn may go: the presets of each effort, and when a limit is reached. Pure; money is whole
nano-units."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from inference.schema import Usage

Effort = Literal["auto", "low", "high", "heavy"]

SHARE_TO_WIND_UP = 0.8
SHARE_TO_REASON = 0.5  # of a reply, at most: the rest is left for the answer


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`max_reasoning_tokens` is for each step, the others are for the whole turn; 0 reasoning tokens: do not
    think."""

    max_steps: int
    max_seconds: int
    max_reasoning_tokens: int
    max_output_tokens: int
    max_cost_nano: int | None = None


class Limit(StrEnum):
    """Which of them ended a turn."""

    STEPS = "steps"
    SECONDS = "seconds"
    OUTPUT_TOKENS = "output_tokens"
    COST = "cost"


_OFF = Limits(max_steps=1, max_seconds=600, max_reasoning_tokens=0, max_output_tokens=1_000_000)
_PRESETS: dict[Effort, Limits] = {
    "low": Limits(
        max_steps=10,
        max_seconds=300,
        max_reasoning_tokens=4_096,
        max_output_tokens=32_768,
        max_cost_nano=250_000_000,
    ),
    "auto": Limits(
        max_steps=50,
        max_seconds=1_800,
        max_reasoning_tokens=24_576,
        max_output_tokens=262_144,
        max_cost_nano=1_000_000_000,
    ),
    "high": Limits(
        max_steps=300,
        max_seconds=7_200,
        max_reasoning_tokens=49_152,
        max_output_tokens=1_000_000,
        max_cost_nano=5_000_000_000,
    ),
    "heavy": Limits(
        max_steps=300,
        max_seconds=7_200,
        max_reasoning_tokens=49_152,
        max_output_tokens=4_000_000,
        max_cost_nano=20_000_000_000,
    ),
}
HIGHEST = Limits(
    max_steps=1_000,
    max_seconds=86_400,
    max_reasoning_tokens=262_144,
    max_output_tokens=10_000_000,
    max_cost_nano=10**15,
)


def preset(effort: Effort, *, long_thinking: bool, reply_tokens: int) -> Limits:
    """The limits of an effort, for a model whose reply is at most `reply_tokens` long. Off: one step, no
    thinking."""
    limits = _PRESETS[effort] if long_thinking else _OFF
    return Limits(
        max_steps=limits.max_steps,
        max_seconds=limits.max_seconds,
        max_reasoning_tokens=min(limits.max_reasoning_tokens, int(reply_tokens * SHARE_TO_REASON)),
        max_output_tokens=limits.max_output_tokens if long_thinking else reply_tokens,
        max_cost_nano=limits.max_cost_nano,
    )


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a turn has used so far, when it is about to begin step `step`."""

    step: int
    seconds: float
    usage: Usage
    cost_nano: int


def reached(limits: Limits, spent: Spent) -> Limit | None:
    """The limit that forbids another step."""
    if spent.step > limits.max_steps:
        return Limit.STEPS
    if spent.seconds >= limits.max_seconds:
        return Limit.SECONDS
    if spent.usage.output_tokens >= limits.max_output_tokens:
        return Limit.OUTPUT_TOKENS
    if limits.max_cost_nano is not None and spent.cost_nano >= limits.max_cost_nano > 0:
        return Limit.COST
    return None


def must_wind_up(limits: Limits, spent: Spent) -> bool:
    """True when this step should be the answer: it is the last one, or little is left of what another would
    need."""
    if spent.step >= limits.max_steps:
        return True
    shares = [spent.seconds / limits.max_seconds, spent.usage.output_tokens / limits.max_output_tokens]
    if limits.max_cost_nano:
        shares.append(spent.cost_nano / limits.max_cost_nano)
    return max(shares) >= SHARE_TO_WIND_UP
