"""The calculator: exact arithmetic for a model that is bad at it, and algebra where the sandbox works."""

import re
from collections.abc import Mapping
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from agents.algebra.session import Algebra, AlgebraFault
from agents.tool import Fault, ToolContext, ToolResult, Traits
from agents.tools import arithmetic
from inference.schema import ToolSpec

SHOWN_DIGITS = 30  # of a value that has no end or was rounded

DESCRIPTION = """\
Work out an arithmetic expression exactly. Use it for every calculation and every comparison of numbers,
instead of doing it in your head. Operators: + - * / // % ** ! and < > <= >= == != to compare; parentheses.
Functions: sqrt, abs, round(x, digits), floor, ceil, min, max, gcd, lcm, factorial, exp, ln, log(x, base);
constants: pi, e.
Examples: "12.5% of 1,840", "9.11 > 9.9", "round(1250 * 1.07 ** 10, 2)", "12! / (3! * 9!)"."""


ALGEBRA = """\
Besides it does exact algebra with variables: simplify, expand, factor, apart; solve(equations, unknowns),
also inequalities and systems in [ ]; diff(f, x), integrate(f, x, from, to), limit(f, x, place), series(f, x,
place, order), sum(f, k, from, to), product; matrices [[1, 2], [3, 4]]: det, inverse, rank, rref, eigenvalues,
eigenvectors; factorint, isprime, gcd, binomial; subs(f, x = 2), N(f, digits), convert(90 km/h, m/s).
Constants also I, oo. Examples: "solve(x^2 > 4, x)", "integrate(sin(x)^2, x, 0, pi)"."""


def _spec(description: str, what: str) -> ToolSpec:
    return ToolSpec(
        name="calculate",
        description=" ".join(description.split()),
        parameters={
            "type": "object",
            "properties": {
                "expression": {
                    "type": "string",
                    "description": what,
                    "minLength": 1,
                    "maxLength": arithmetic.MAX_CHARS,
                }
            },
            "required": ["expression"],
            "additionalProperties": False,
        },
    )


class Calculate:
    """With `algebra` it also works with variables, in a sandbox of the turn's own."""

    spec = _spec(DESCRIPTION, "One arithmetic expression, without units, variables or words.")
    spec_with_algebra = _spec(f"{DESCRIPTION} {ALGEBRA}", "One expression, without words.")
    traits = Traits(timeout_s=180.0)

    def __init__(self, algebra: Algebra | None = None) -> None:
        self._algebra = algebra
        if algebra is not None:
            self.spec = self.spec_with_algebra

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return frozenset({"algebra"} if self._algebra is not None else ())

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        expression = arguments["expression"]
        try:
            return ToolResult(for_model=show(arithmetic.evaluate(expression)))
        except arithmetic.ArithmeticFault as fault:
            if self._algebra is None or not _is_algebra(expression):
                return ToolResult(for_model=str(fault), is_error=True, fault=Fault.FAILED)
        try:
            found = await self._algebra.work_out(expression, name=context.turn_id or context.key)
        except AlgebraFault as fault:
            return ToolResult(for_model=str(fault), is_error=True, fault=Fault.FAILED)
        return ToolResult(for_model=found)


def _is_algebra(expression: str) -> bool:
    """Whether there is more in it than arithmetic knows: else what arithmetic says of it is the answer."""
    names = re.findall(r"[^\W\d_]\w*", expression)
    return any(name not in arithmetic.NAMES for name in names) or bool(
        re.search(r"[\[|²³]|(?<![<>=!])=(?!=)", expression)
    )


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
