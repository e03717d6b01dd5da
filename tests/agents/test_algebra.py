"""Algebra gives what is known to be right, and no formula harms it or holds it up."""

from collections.abc import Iterator

import pytest

from agents.algebra.session import Algebra, AlgebraFault
from agents.sandbox import tiers
from agents.tool import Fault, ToolContext, ToolResult
from agents.tools.calculate import Calculate

pytestmark = pytest.mark.skipif(not tiers.active().is_offered, reason="no sandbox on this machine")

KNOWN = {
    "simplify(sin(x)^2 + cos(x)^2)": "1",
    "expand((a + b)^3)": "a**3 + 3*a**2*b + 3*a*b**2 + b**3",
    "factor(x^4 - 1)": "(x - 1)*(x + 1)*(x**2 + 1)",
    "2x(x + 1)": "2*x*(x + 1)",
    "solve(x^2 - 4 = 0, x)": "[-2, 2]",
    "solve([x + y = 3, x - y = 1], [x, y])": "[{x: 2, y: 1}]",
    "solve(x^2 > 4, x)": "Union(Interval.open(-oo, -2), Interval.open(2, oo))",
    "solve(2 = 3, x)": "no solution",
    "diff(x^3 sin(x), x)": "x**3*cos(x) + 3*x**2*sin(x)",
    "integrate(sin(x)^2, x, 0, pi)": "pi/2 ≈ 1.5707963267949",
    "integrate(x*y, (x, 0, 1), (y, 0, 2))": "1",
    "limit(sin(x)/x, x, 0)": "1",
    "limit(1/x, x, 0, -1)": "-oo",
    "series(exp(x), x, 0, 4)": "1 + x + x**2/2 + x**3/6 + O(x**4)",
    "sum(k^2, k, 1, n)": "n*(2*n**2 + 3*n + 1)/6",
    "sum(1/k^2, k, 1, oo)": "pi**2/6 ≈ 1.64493406684823",
    "det([[1, 2], [3, 4]])": "-2",
    "inverse([[1, 2], [3, 4]])": "[[-2, 1], [3/2, -1/2]]",
    "eigenvalues([[2, 1], [1, 2]])": "[1, 3]",
    "[[1, 2], [3, 4]] * [[0, 1], [1, 0]]": "[[2, 1], [4, 3]]",
    "isprime(2^61 - 1)": "yes",
    "factorint(360)": "2**3 * 3**2 * 5",
    "e^(I π)": "-1",
    "√8 x": "2*sqrt(2)*x",
    "subs(x^2 + y, x = 2, y = 3)": "7",
    "N(pi, 30)": "3.14159265358979323846264338328",
    "convert(90 km/h, m/s)": "25*meter/second",
    "0.1 x + 0.2 x": "3*x/10",
}
REFUSED = {
    "__import__('os').system('id')": "Cannot read",
    "x.__class__.__mro__": "Cannot read",
    "eval(1)": "There is no function 'eval'",
    "exec(x)": "There is no function 'exec'",
    "lambda x: x": "Cannot read",
    "open(x)": "There is no function 'open'",
    "diff(x)(y": "Expected ',' or ')' behind 'y'",
    "2^10^10 * x": "exponent is larger",
    "(" * 500 + "x": "nested too deeply",
    "log(x)": "log can mean two things",
    "the population of France x": "Cannot read the words",
    "convert(3 kg, m)": "do not measure the same thing",
    "inverse([[1, 2], [2, 4]])": "cannot be done with this matrix",
    "integrate(x^x, x)": "No closed form",
    "x/0": "Division by zero",
}
# Each would run for ages, or fill the memory.
ENDLESS = (
    "factorint(nextprime(10^28) * nextprime(3 * 10^28))",
    "expand((a + b + c + d + x)^400)",
    "integrate(sin(x^3 + ln(x))^x / (x + sin(x)), x)",
)


@pytest.fixture(scope="module")
def algebra() -> Iterator[Algebra]:
    algebra = Algebra()
    yield algebra
    algebra.close()


async def calculated(algebra: Algebra | None, expression: str) -> ToolResult:
    context = ToolContext(key="k", turn_id="turn")
    return await Calculate(algebra).run({"expression": expression}, context)


@pytest.mark.parametrize(("formula", "value"), KNOWN.items())
async def test_a_formula_comes_to_what_is_known(algebra: Algebra, formula: str, value: str) -> None:
    result = await calculated(algebra, formula)
    assert (result.for_model, result.is_error) == (value, False)


@pytest.mark.parametrize(("formula", "said"), REFUSED.items())
async def test_what_is_no_formula_is_refused_in_words(algebra: Algebra, formula: str, said: str) -> None:
    result = await calculated(algebra, formula)
    assert result.fault is Fault.FAILED
    assert said in result.for_model


async def test_what_takes_for_ever_is_stopped_and_the_next_formula_is_worked_out() -> None:
    algebra = Algebra(answer_s=2.0)
    try:
        for formula in ENDLESS:
            with pytest.raises(
                AlgebraFault, match=r"Not worked out: it was stopped|cannot be worked out|No closed"
            ):
                await algebra.work_out(formula, name="turn")
        assert await algebra.work_out("factor(x^2 - 1)", name="turn") == "(x - 1)*(x + 1)"
    finally:
        algebra.close()


async def test_arithmetic_needs_no_sandbox_and_says_what_is_wrong_itself() -> None:
    assert (await calculated(None, "9.11 > 9.9")).for_model == "9.9 is bigger than 9.11"
    assert "zero" in (await calculated(None, "1 / 0")).for_model
    refused = await calculated(None, "factor(x^2 - 1)")
    assert "'factor' is unknown" in refused.for_model


async def test_what_arithmetic_refuses_is_not_tried_as_algebra(algebra: Algebra) -> None:
    result = await calculated(algebra, "1 / 0")
    assert result.for_model == (await calculated(None, "1 / 0")).for_model
