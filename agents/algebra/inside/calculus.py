"""Derivatives, integrals, limits, sums, and what equations are solved by."""

from typing import Any

import sympy
from sympy import S
from sympy.solvers.inequalities import solve_univariate_inequality

from .values import SHOWN_DIGITS, Fault, as_scalar, as_symbol, as_whole


def derivative(value: Any, *more: Any) -> Any:
    """diff(f, x), diff(f, x, 2), diff(f, x, y)."""
    steps = more or only_symbol(value)
    checked = [one if isinstance(one, sympy.Symbol) else as_whole(one, 50) for one in steps]
    if isinstance(value, sympy.MatrixBase):
        return value.diff(*checked)
    return sympy.diff(as_scalar(value), *checked)


def only_symbol(value: Any) -> Any:
    found = sorted(as_scalar(value).free_symbols, key=str)
    if len(found) != 1:
        raise Fault("Say by which variable.")
    return found


def integral(value: Any, *more: Any) -> Any:
    """integrate(f, x), integrate(f, x, 0, 1), integrate(f, (x, 0, 1), (y, 0, 2))."""
    value = as_scalar(value)
    if (
        len(more) == 3
        and isinstance(more[0], sympy.Symbol)
        and not isinstance(more[1], (sympy.Symbol, tuple))
    ):
        more = (tuple(more),)
    limits = []
    for one in more or only_symbol(value):
        if isinstance(one, tuple):
            if len(one) != 3:
                raise Fault("An integral's limits are written (x, from, to).")
            limits.append((as_symbol(one[0]), as_scalar(one[1]), as_scalar(one[2])))
        else:
            limits.append(as_symbol(one))
    found = sympy.integrate(value, *limits)
    if found.has(sympy.Integral):
        raise Fault("No closed form was found." + approximately(found))
    return found


def approximately(value: Any) -> Any:
    try:
        near = value.evalf(SHOWN_DIGITS)
    except Exception:
        # The exact value stands above it: what has no number beside it is still answered.
        return ""
    return f" Its value is about {near}." if near.is_number and near.is_finite else ""


def limit(value: Any, symbol: Any, place: Any, side: Any = None) -> Any:
    sides = {None: "+-", 1: "+", -1: "-"}
    chosen = None if side is None else as_whole(side, 1)
    is_end = as_scalar(place).is_infinite
    return sympy.limit(as_scalar(value), as_symbol(symbol), place, "+" if is_end else sides[chosen])


def series(value: Any, symbol: Any = None, place: Any = S.Zero, order: Any = None) -> Any:
    symbol = only_symbol(value)[0] if symbol is None else as_symbol(symbol)
    return sympy.series(
        as_scalar(value), symbol, as_scalar(place), 6 if order is None else as_whole(order, 40)
    )


def summed(function: Any) -> Any:
    def work(value: Any, symbol: Any, first: Any, last: Any) -> Any:
        bounds = (as_symbol(symbol), as_scalar(first), as_scalar(last))
        found = function(as_scalar(value), bounds).doit()
        return sympy.simplify(found) if not found.has(function) else found

    return work


def solve(what: Any, unknowns: Any = None) -> Any:
    equations = list(what) if isinstance(what, (list, tuple)) else [what]
    symbols = solved_for(equations, unknowns)
    if any(is_inequality(one) for one in equations):
        return solve_inequalities(equations, symbols)
    given = [one for one in equations if one is not S.true]
    if any(one is S.false for one in given):
        return []
    if len(given) == 1 and len(symbols) == 1:
        return solve_one(given[0], symbols[0])
    found = sympy.solve(given, symbols, dict=True)
    return sorted(found, key=str)


def solved_for(equations: Any, unknowns: Any) -> Any:
    if unknowns is None:
        symbols = sorted({one for equation in equations for one in equation.free_symbols}, key=str)
    else:
        listed = unknowns if isinstance(unknowns, (list, tuple)) else [unknowns]
        symbols = [as_symbol(one) for one in listed]
    if not symbols or len(symbols) > 30:
        raise Fault("Say what to solve for, such as solve(x^2 = 4, x).")
    return symbols


def is_inequality(value: Any) -> Any:
    is_relation = isinstance(value, (sympy.logic.boolalg.Boolean, sympy.core.relational.Relational))
    return is_relation and not isinstance(value, sympy.Eq) and value not in (S.true, S.false)


def solve_one(equation: Any, symbol: Any) -> Any:
    try:
        found = sympy.solve(equation, symbol)
        return sorted(found, key=sympy.default_sort_key)
    except NotImplementedError:
        left = equation.lhs - equation.rhs if isinstance(equation, sympy.Eq) else equation
    for start in (1, 0.5, 2, -1, 10):
        try:
            near = sympy.nsolve(left, symbol, start)
        except (ValueError, ZeroDivisionError, TypeError):
            continue
        raise Fault(f"No closed form was found. One solution is about {near}.")
    raise Fault("No solution was found.")


def solve_inequalities(equations: Any, symbols: Any) -> Any:
    if len(symbols) != 1:
        raise Fault("Inequalities are solved for one variable.")
    found = S.Reals
    real = sympy.Symbol(symbols[0].name, real=True)
    for one in equations:
        for part in one.args if isinstance(one, sympy.And) else [one]:
            narrowed = part.subs(symbols[0], real)
            if isinstance(narrowed, sympy.Eq):
                found &= sympy.solveset(narrowed, real, S.Reals)
            elif narrowed not in (S.true, S.false):
                found &= solve_univariate_inequality(narrowed, real, relational=False)
            elif narrowed is S.false:
                return S.EmptySet
    return found


def substituted(value: Any, *changes: Any) -> Any:
    """subs(f, x, 2) or subs(f, x = 2, y = 3)."""
    if len(changes) == 2 and isinstance(changes[0], sympy.Symbol):
        return value.subs(changes[0], as_scalar(changes[1]))
    pairs = []
    for one in changes:
        if not isinstance(one, sympy.Eq):
            raise Fault("Write what to put in as x = 2.")
        pairs.append((one.lhs, one.rhs))
    return value.subs(pairs)


def evaluated(value: Any, digits: Any = None) -> Any:
    precision = SHOWN_DIGITS if digits is None else as_whole(digits, 1_000)
    value = value if isinstance(value, sympy.MatrixBase) else as_scalar(value)
    return value.evalf(precision)
