"""What a command asks for beside its words, made safe to keep: limits, terms for tools, a team. What cannot
be had is refused."""

from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from agents import limits
from agents.limits import Limits
from agents.teams.roles import Team
from chat import conductors
from chat.frames import TurnContinue, TurnSend
from chat.models import Preferences, Preset
from chat.refusals import Refusal
from webapp.billing import pricing
from webapp.catalog.models import ServedModel

MAX_LIMITED_TOOLS, TOOL_NAME_CHARS = 100, 64
MAX_GRANTED = 50


def limits_of(command: TurnSend, model: ServedModel, own: Preferences) -> Limits:
    """The preset of the effort, with what the person set instead, for this turn or (`own`) for all; without
    Long Thinking there is nothing to set."""
    preset = limits.preset(
        command.effort, long_thinking=command.long_thinking, reply_tokens=model.max_output_tokens
    )
    if not command.long_thinking:
        return preset
    wanted, highest = command.limits, limits.HIGHEST
    if wanted.published is not None:
        preset = limits.published(wanted.published, reply_tokens=model.max_output_tokens)
    return replace(
        preset,
        max_steps=within(wanted.max_steps, preset.max_steps, most=highest.max_steps),
        max_seconds=within(wanted.max_seconds, preset.max_seconds, most=highest.max_seconds),
        max_reasoning_tokens=within(
            wanted.max_reasoning_tokens,
            preset.max_reasoning_tokens,
            fewest=0,
            most=highest.max_reasoning_tokens,
        ),
        max_cost_nano=_cost_nano(wanted.max_cost, preset.max_cost_nano),
        max_total_tokens=_up_to(wanted.max_total_tokens, preset.max_total_tokens, highest.max_total_tokens),
        max_sandbox_seconds=_up_to(
            wanted.max_sandbox_seconds,
            least(preset.max_sandbox_seconds, own.max_sandbox_seconds),
            highest.max_sandbox_seconds,
        ),
        max_fetched_bytes=_up_to(
            wanted.max_fetched_bytes,
            least(preset.max_fetched_bytes, own.max_fetched_mb and own.max_fetched_mb * 2**20),
            highest.max_fetched_bytes,
        ),
        max_calls_per_tool={
            tool[:TOOL_NAME_CHARS]: within(most, most, fewest=0, most=limits.MOST_CALLS_OF_A_TOOL)
            for tool, most in list((wanted.max_calls_per_tool or {}).items())[:MAX_LIMITED_TOOLS]
        },
    )


def further(command: TurnContinue, before: Limits) -> Limits:
    """Of a turn that goes on from another: as that had them, but for what the person gave it. For an answer
    alone there are no steps: a final answer comes on top of them."""
    if command.answers:
        return replace(before, max_steps=0)
    highest = limits.HIGHEST
    return replace(
        before,
        max_steps=within(command.steps, before.max_steps or 1, most=highest.max_steps),
        max_seconds=within(command.seconds, before.max_seconds, most=highest.max_seconds),
        max_cost_nano=_cost_nano(command.cost, before.max_cost_nano),
    )


def _up_to(wanted: int | None, preset: int | None, most: int | None) -> int | None:
    return preset if wanted is None else within(wanted, wanted, most=most or wanted)


def least(first: int | None, second: int | None) -> int | None:
    """The lower of two limits; None is no limit."""
    return min((one for one in (first, second) if one is not None), default=None)


def terms_of(command: TurnSend, preset: Preset | None) -> dict[str, Any]:
    """On which terms the turn uses tools, as it is stored."""
    if len(command.tools.granted) > MAX_GRANTED:
        raise Refusal("bad_tools", _("So many tools cannot be allowed at once: choose fewer."))
    terms: dict[str, Any] = msgspec.to_builtins(command.tools)
    if preset is not None and preset.tools is not None:
        terms["only"] = preset.tools
    return terms


def team_of(command: TurnSend) -> Team | None:
    """The team that was asked for, if any; it works with Long Thinking only."""
    if not command.team:
        return None
    team = conductors.teams().teams.get(command.team)
    if team is None or not command.long_thinking:
        raise Refusal(
            "bad_team",
            _("There is no team %(name)s, or Long Thinking is off. Choose a team and switch it on.")
            % {"name": command.team[:40]},
        )
    return team


def within(wanted: int | None, preset: int, *, fewest: int = 1, most: int) -> int:
    if wanted is None:
        return preset
    if not fewest <= wanted <= most:
        raise Refusal(
            "bad_limits",
            _("A limit of %(wanted)s is not possible: choose from %(fewest)d to %(most)d.")
            % {"wanted": str(wanted)[:20], "fewest": fewest, "most": most},
        )
    return wanted


def _cost_nano(wanted: str | None, preset: int | None) -> int | None:
    """None or an empty text takes the preset."""
    if not wanted:
        return preset
    try:
        nano = pricing.to_nano(Decimal(wanted))
    except (InvalidOperation, ValueError):
        nano = 0
    if not 0 < nano <= (limits.HIGHEST.max_cost_nano or 0):
        raise Refusal("bad_limits", _("The cost limit must be an amount of money above zero, like 0.50."))
    return nano
