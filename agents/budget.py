"""How a turn's limits are shared with its agents, and what one more call may use of what is left. Pure; money
is whole nano-units."""

from dataclasses import dataclass, replace

from agents.limits import Limit, Limits

KEPT_SHARE = 0.2  # of what is shared, for the turn itself: to bring together what its agents found
MILLION = 1_000_000
FEW_TOKENS = 2_048  # with fewer left a call is to be the answer, not another step
LEAST_TOKENS = 256  # with fewer not even that


def share(limits: Limits, *, num_agents: int, max_steps: int | None = None) -> Limits:
    """The limits of each of so many agents: time and steps as the turn has them, of what is spent an equal
    part of all but what the turn keeps for itself."""
    part = (1 - KEPT_SHARE) / num_agents
    steps = limits.max_steps if max_steps is None else min(max_steps, limits.max_steps)
    return replace(
        limits,
        max_steps=steps,
        max_output_tokens=max(int(limits.max_output_tokens * part), 1),
        max_cost_nano=_part_of(limits.max_cost_nano, part),
        max_total_tokens=_part_of(limits.max_total_tokens, part),
        max_sandbox_seconds=_part_of(limits.max_sandbox_seconds, part),
        max_fetched_bytes=_part_of(limits.max_fetched_bytes, part),
        max_calls_per_tool={
            tool: max(-(-most // num_agents), 1) if most else 0
            for tool, most in limits.max_calls_per_tool.items()
        },
    )


def _part_of(amount: int | None, part: float) -> int | None:
    return None if amount is None else max(int(amount * part), 1)


@dataclass(frozen=True, kw_only=True)
class CallPrice:
    """The most that a call's input costs, and what a million tokens of its output cost."""

    input_nano: int
    output_per_million_nano: int

    def most_nano(self, max_tokens: int) -> int:
        return self.input_nano - (-max_tokens * self.output_per_million_nano // MILLION)

    def tokens_for(self, nano: int) -> int:
        """So many output tokens can be paid beside the input; negative when not even the input can."""
        if nano < self.input_nano:
            return -1
        if self.output_per_million_nano == 0:
            return 10**12
        return (nano - self.input_nano) * MILLION // self.output_per_million_nano


@dataclass(frozen=True, kw_only=True)
class Grant:
    """The output tokens that a call may use. `is_final`: there is no money for another, by this `limit`, so
    that this call is to be the answer."""

    max_tokens: int
    is_final: bool = False
    limit: Limit = Limit.COST


def grant(left_nano: int | None, price: CallPrice, *, wanted: int) -> Grant | None:
    """What a call that wants so many tokens gets of what is left (None: no limit): all, fewer, or None, when
    there is not enough for a short answer."""
    fitting = wanted if left_nano is None else min(price.tokens_for(left_nano), wanted)
    if fitting >= min(FEW_TOKENS, wanted):
        return Grant(max_tokens=fitting)
    return Grant(max_tokens=fitting, is_final=True) if fitting >= min(LEAST_TOKENS, wanted) else None
