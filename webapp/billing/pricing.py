"""What tokens cost, in whole nano-units. Pure arithmetic: knows no database and no clock."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from inference.schema import Usage

NANO = 1_000_000_000
MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Nano-units for a million tokens of each kind."""

    input_nano: int
    cached_input_nano: int
    output_nano: int

    @classmethod
    def per_million(cls, *, uncached: Decimal, cached: Decimal, output: Decimal) -> Self:
        """From a price list. Raises ValueError for a price that is negative or finer than a nano-unit."""
        return cls(
            input_nano=to_nano(uncached), cached_input_nano=to_nano(cached), output_nano=to_nano(output)
        )

    @property
    def is_free(self) -> bool:
        return self.input_nano == self.cached_input_nano == self.output_nano == 0


FREE = Rates(input_nano=0, cached_input_nano=0, output_nano=0)


def to_nano(amount: Decimal) -> int:
    """A non-negative amount of money as nano-units, exactly."""
    nano = amount * NANO
    if amount < 0 or nano != nano.to_integral_value():
        raise ValueError(f"{amount} is no amount of whole nano-units")
    return int(nano)


def to_decimal(nano: int) -> Decimal:
    return Decimal(nano) / NANO


def cost_nano(rates: Rates, usage: Usage) -> int:
    """The price of this usage: the kinds are summed exactly, then rounded up, once, to a whole nano-unit.

    Reasoning is part of output and is billed as output. More tokens of any kind never cost less.
    """
    return _per_million(
        usage.input_uncached_tokens * rates.input_nano
        + usage.input_cached_tokens * rates.cached_input_nano
        + usage.output_tokens * rates.output_nano
    )


NOTHING = Usage()


def most_nano(rates: Rates, *, spent: Usage = NOTHING, max_input_tokens: int, max_output_tokens: int) -> int:
    """The most that `spent` and one more call can cost together, whatever part of its input is cached."""
    dearest_input = max(rates.input_nano, rates.cached_input_nano)
    return _per_million(
        spent.input_uncached_tokens * rates.input_nano
        + spent.input_cached_tokens * rates.cached_input_nano
        + max_input_tokens * dearest_input
        + (spent.output_tokens + max_output_tokens) * rates.output_nano
    )


def _per_million(total: int) -> int:
    return -(-total // MILLION)
