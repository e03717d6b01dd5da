"""The calculator: exact arithmetic for a model that is bad at it."""

from collections.abc import Mapping
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from agents.tool import ToolContext, ToolResult, Traits
from agents.tools import arithmetic
from inference.schema import ToolSpec

SHOWN_DIGITS = 30  # of a value that has no end or was rounded

DESCRIPTION = """\
Work out an arithmetic expression exactly. Use it for every calculation and every comparison of numbers,
instead of doing it in your head. Operators: + - * / // % ** ! and < > <= >= == != to compare; parentheses.
Functions: sqrt, abs, round(x, digits), floor, ceil, min, max, gcd, lcm, factorial, exp, ln, log(x, base);
constants: pi, e.
Examples: "12.5% of 1,840", "9.11 > 9.9", "round(1250 * 1.07 ** 10, 2)", "12! / (3! * 9!)"."""


class Calculate:
    spec = ToolSpec(
        name="calculate",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "expression": {
                    "type": "string",
                    "description": "One arithmetic expression, without units, variables or words.",
                    "minLength": 1,
                    "maxLength": arithmetic.MAX_CHARS,
                }
            },
            "required": ["expression"],
            "additionalProperties": False,
        },
    )
    traits = Traits()

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        try:
            return ToolResult(for_model=show(arithmetic.evaluate(arguments["expression"])))
        except arithmetic.ArithmeticFault as fault:
            return ToolResult(for_model=str(fault), is_error=True)


def show(result: arithmetic.Result) -> str:
    """Exact values in full (a fraction also as a decimal), rounded ones after "≈", a comparison in words."""
    if isinstance(result, arithmetic.Comparison):
        return _compared(result)
    value = result.value
    if not result.is_exact:
        return f"≈ {_rounded(value)}"
    if value.denominator == 1:
        return str(value.numerator)
    if (decimal := _as_decimal(value)) is not None:
        return decimal
    return f"{value.numerator}/{value.denominator} ≈ {_rounded(value)}"


def _compared(comparison: arithmetic.Comparison) -> str:
    # No "true" or "false": a small model takes it for the answer, or misreads which of the two is bigger.
    smaller, bigger = sorted((comparison.left, comparison.right), key=lambda number: number.value)
    words = "equal to" if smaller.value == bigger.value else "bigger than"
    return f"{show(bigger)} is {words} {show(smaller)}"


def _as_decimal(value: Fraction) -> str | None:
    """The value as a decimal that ends, or None when it has no short one."""
    rest, num_digits = value.denominator, 0
    for prime in (2, 5):
        power = 0
        while rest % prime == 0:
            rest //= prime
            power += 1
        num_digits = max(num_digits, power)
    if rest != 1 or num_digits > SHOWN_DIGITS * 2:
        return None
    digits = str(abs(value.numerator) * 10**num_digits // value.denominator).rjust(num_digits + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-num_digits]}.{digits[-num_digits:]}"


def _rounded(value: Fraction) -> str:
    context = Context(prec=SHOWN_DIGITS)
    return format(context.divide(Decimal(value.numerator), Decimal(value.denominator)).normalize(context), "")
