"""Pricing is exact: checked against fractions, for any rates and any usage."""

import os
from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.schema import Usage
from webapp.billing import pricing
from webapp.billing.pricing import Rates

# PRICE_CASES=100000 for the long run; each test below draws as many.
EXAMPLES = settings(max_examples=int(os.environ.get("PRICE_CASES", "2000")), deadline=None)

prices = st.decimals(min_value=0, max_value=100_000, places=6)
tokens = st.integers(min_value=0, max_value=10**9)
rates = st.builds(Rates.per_million, uncached=prices, cached=prices, output=prices)
usages = st.builds(
    Usage,
    input_uncached_tokens=tokens,
    input_cached_tokens=tokens,
    output_tokens=tokens,
    reasoning_tokens=tokens,
)


@EXAMPLES
@given(uncached=prices, cached=prices, output=prices, usage=usages)
def test_a_cost_is_the_exact_sum_rounded_up_once(uncached, cached, output, usage):
    exact = (
        Fraction(uncached) * usage.input_uncached_tokens
        + Fraction(cached) * usage.input_cached_tokens
        + Fraction(output) * usage.output_tokens
    ) / 1_000_000
    billed = pricing.cost_nano(Rates.per_million(uncached=uncached, cached=cached, output=output), usage)
    assert billed == ceil(exact * 10**9)


@EXAMPLES
@given(rates=rates, usage=usages, more=usages)
def test_more_tokens_never_cost_less(rates, usage, more):
    assert pricing.cost_nano(rates, usage + more) >= pricing.cost_nano(rates, usage)


@EXAMPLES
@given(rates=rates, usage=usages, spent=usages)
def test_a_hold_covers_whatever_part_of_the_input_turns_out_cached(rates, usage, spent):
    held = pricing.most_nano(
        rates, spent=spent, max_input_tokens=usage.input_tokens, max_output_tokens=usage.output_tokens
    )
    assert held >= pricing.cost_nano(rates, spent + usage)


@EXAMPLES
@given(rates=rates, usage=usages)
def test_reasoning_is_billed_as_output_and_never_twice(rates, usage):
    silent = Usage(
        input_uncached_tokens=usage.input_uncached_tokens,
        input_cached_tokens=usage.input_cached_tokens,
        output_tokens=usage.output_tokens,
    )
    assert pricing.cost_nano(rates, usage) == pricing.cost_nano(rates, silent)


def test_the_list_price_of_a_known_request():
    kimi = Rates.per_million(uncached=Decimal("0.60"), cached=Decimal("0.15"), output=Decimal("2.50"))
    usage = Usage(input_uncached_tokens=1_000, input_cached_tokens=9_000, output_tokens=2_000)
    assert pricing.to_decimal(pricing.cost_nano(kimi, usage)) == Decimal("0.00695")


@pytest.mark.parametrize("amount", ["-1", "0.0000000001"])
def test_an_amount_that_is_no_whole_nano_unit_is_refused(amount):
    with pytest.raises(ValueError, match="nano"):
        pricing.to_nano(Decimal(amount))
