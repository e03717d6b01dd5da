"""The words that formulas may use, and what each does."""

from typing import Any

import sympy
from sympy import S
from sympy.matrices.exceptions import MatrixError
from sympy.physics import units

from .calculus import derivative, evaluated, integral, limit, series, solve, substituted, summed
from .values import Fault, as_matrix, as_scalar, as_symbol, as_whole

CONSTANTS = {
    **{"pi": S.Pi, "e": S.Exp1, "E": S.Exp1, "I": S.ImaginaryUnit, "oo": S.Infinity, "inf": S.Infinity},
    **{"infinity": S.Infinity, "GoldenRatio": S.GoldenRatio, "EulerGamma": S.EulerGamma},
    **{"true": S.true, "false": S.false},
}


def applied(name: Any, values: Any) -> Any:
    if name in FUNCTIONS:
        least, most, function = FUNCTIONS[name]
        given = [as_scalar(value) for value in values]
    else:
        least, most, function = WORKS[name]
        given = values
    if not least <= len(values) <= most:
        count = str(least) if least == most else f"{least} to {most}"
        raise Fault(f"{name} takes {count} arguments, not {len(values)}.")
    return function(*given)


def on_scalar(function: Any) -> Any:
    return lambda value, *more: function(as_scalar(value), *(as_scalar(one) for one in more))


def on_whole(function: Any, most: Any = 10**40) -> Any:
    def work(*values: Any) -> Any:
        found = function(*(as_whole(value, most) for value in values))
        return S(found) if type(found) is int else found

    return work


def logarithm(value: Any, base: Any = None) -> Any:
    if base is None:
        raise Fault("log can mean two things: write ln(x), or log(x, 10).")
    return sympy.log(value, base)


def converted(value: Any, unit: Any) -> Any:
    targets = list(unit) if isinstance(unit, (list, tuple)) else [unit]
    found = units.convert_to(as_scalar(value), [as_scalar(one) for one in targets])
    if isinstance(found, sympy.Add) or not found.has(*as_scalar(targets[0]).atoms(units.Quantity)):
        raise Fault("The units do not measure the same thing.")
    return found


def eigenvalues(matrix: Any) -> Any:
    return with_counts(matrix.eigenvals())


def with_counts(found: Any) -> Any:
    """Each value as often as it counts."""
    ordered = sorted(found, key=sympy.default_sort_key)
    return [value for value in ordered for _ in range(found[value])]


def prime_factors(value: Any) -> Any:
    found = sympy.factorint(value)
    return " * ".join(f"{prime}**{count}" if count > 1 else str(prime) for prime, count in found.items())


def eigenvectors(matrix: Any) -> Any:
    return [(value, count, list(vectors)) for value, count, vectors in matrix.eigenvects()]


def on_matrix(function: Any) -> Any:
    def work(value: Any, *more: Any) -> Any:
        try:
            return function(as_matrix(value), *more)
        except (MatrixError, ValueError) as fault:
            raise Fault(f"That cannot be done with this matrix: {fault}") from None

    return work


FUNCTIONS = {
    **{
        name: (1, 1, getattr(sympy, name))
        for name in (
            *(
                "sqrt",
                "cbrt",
                "exp",
                "sin",
                "cos",
                "tan",
                "cot",
                "sec",
                "csc",
                "asin",
                "acos",
                "atan",
                "acot",
            ),
            *("sinh", "cosh", "tanh", "coth", "asinh", "acosh", "atanh", "sign", "floor", "re", "im", "arg"),
            *("conjugate", "gamma", "erf", "erfc", "zeta", "LambertW", "Heaviside", "factorial"),
        )
    },
    "abs": (1, 1, sympy.Abs),
    "ceil": (1, 1, sympy.ceiling),
    "ceiling": (1, 1, sympy.ceiling),
    "ln": (1, 1, sympy.log),
    "log": (1, 2, logarithm),
    "log10": (1, 1, lambda value: sympy.log(value, 10)),
    "log2": (1, 1, lambda value: sympy.log(value, 2)),
    "arcsin": (1, 1, sympy.asin),
    "arccos": (1, 1, sympy.acos),
    "arctan": (1, 1, sympy.atan),
    "root": (2, 2, sympy.root),
    "atan2": (2, 2, sympy.atan2),
    "binomial": (2, 2, sympy.binomial),
    "mod": (2, 2, sympy.Mod),
    "min": (1, 50, sympy.Min),
    "max": (1, 50, sympy.Max),
}
WORKS = {
    **{
        name: (1, 1, on_scalar(getattr(sympy, name)))
        for name in ("simplify", "expand", "factor", "apart", "together", "cancel", "trigsimp", "radsimp")
    },
    "collect": (2, 2, lambda value, symbol: sympy.collect(as_scalar(value), as_scalar(symbol))),
    "solve": (1, 2, solve),
    "roots": (1, 2, lambda value, *more: with_counts(sympy.roots(as_scalar(value), *map(as_symbol, more)))),
    "diff": (1, 6, derivative),
    "integrate": (1, 4, integral),
    "limit": (3, 4, limit),
    "series": (1, 4, series),
    "sum": (4, 4, summed(sympy.Sum)),
    "product": (4, 4, summed(sympy.Product)),
    "subs": (2, 30, substituted),
    "N": (1, 2, evaluated),
    "evalf": (1, 2, evaluated),
    "convert": (2, 2, converted),
    "gcd": (2, 2, on_scalar(sympy.gcd)),
    "lcm": (2, 2, on_scalar(sympy.lcm)),
    "quo": (3, 3, on_scalar(sympy.quo)),
    "rem": (3, 3, on_scalar(sympy.rem)),
    "det": (1, 1, on_matrix(lambda matrix: matrix.det())),
    "inv": (1, 1, on_matrix(lambda matrix: matrix.inv())),
    "inverse": (1, 1, on_matrix(lambda matrix: matrix.inv())),
    "transpose": (1, 1, on_matrix(lambda matrix: matrix.T)),
    "trace": (1, 1, on_matrix(lambda matrix: matrix.trace())),
    "rank": (1, 1, on_matrix(lambda matrix: S(matrix.rank()))),
    "rref": (1, 1, on_matrix(lambda matrix: matrix.rref()[0])),
    "nullspace": (1, 1, on_matrix(lambda matrix: matrix.nullspace())),
    "eigenvalues": (1, 1, on_matrix(eigenvalues)),
    "eigenvectors": (1, 1, on_matrix(eigenvectors)),
    "charpoly": (2, 2, on_matrix(lambda matrix, symbol: matrix.charpoly(as_symbol(symbol)).as_expr())),
    "dot": (2, 2, lambda a, b: as_matrix(a).dot(as_matrix(b))),
    "cross": (2, 2, lambda a, b: as_matrix(a).cross(as_matrix(b))),
    "isprime": (1, 1, on_whole(sympy.isprime)),
    "nextprime": (1, 1, on_whole(sympy.nextprime)),
    "prime": (1, 1, on_whole(sympy.prime, 10**6)),
    "primepi": (1, 1, on_whole(sympy.primepi, 10**8)),
    "factorint": (1, 1, on_whole(prime_factors, 10**60)),
    "divisors": (1, 1, on_whole(sympy.divisors, 10**18)),
    "totient": (1, 1, on_whole(sympy.totient)),
    "fibonacci": (1, 1, on_whole(sympy.fibonacci, 20_000)),
    "modinverse": (2, 2, on_whole(sympy.mod_inverse)),
    "powmod": (3, 3, on_whole(pow)),
}
