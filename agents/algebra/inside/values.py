"""What formulas are made of: numbers, variables, lists and matrices, each checked for what it is."""

from typing import Any

import sympy
from sympy.matrices.exceptions import MatrixError
from sympy.physics import units

MAX_DIGITS = 4_000  # of a whole number that is written out
MAX_EXPONENT = 100_000
SHOWN_DIGITS = 15


class Fault(Exception):
    """The formula cannot be read or worked out; the text says what to write instead."""


def number(word: Any) -> Any:
    plain = word.replace("_", "")
    if len(plain) > MAX_DIGITS:
        raise Fault(f"A number has more than {MAX_DIGITS} digits.")
    return sympy.Rational(plain)


def grouped(values: Any) -> Any:
    """A matrix where the values are rows of one length, else a list."""
    are_rows = values and all(isinstance(value, list) for value in values)
    if are_rows and len({len(value) for value in values}) == 1:
        return sympy.ImmutableMatrix([[as_scalar(cell) for cell in row] for row in values])
    return list(values)


def operate(sign: Any, left: Any, right: Any) -> Any:
    left, right = as_operand(left), as_operand(right)
    if sign == "/" and right == 0:
        raise Fault("Division by zero.")
    if sign == "**":
        check_power(left, right)
    try:
        if sign == "%":
            return sympy.Mod(left, right)
        return OPERATIONS[sign](left, right)
    except MatrixError as fault:
        raise Fault(f"The matrices do not fit: {fault}") from None


OPERATIONS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
}


def check_power(base: Any, exponent: Any) -> None:
    if base.is_Number and exponent.is_Number and base not in (0, 1, -1) and abs(exponent) > MAX_EXPONENT:
        raise Fault(f"The exponent is larger than {MAX_EXPONENT}.")


def as_operand(value: Any) -> Any:
    if isinstance(value, list):
        return sympy.ImmutableMatrix([as_scalar(cell) for cell in value])
    return as_scalar(value) if not isinstance(value, sympy.MatrixBase) else value


def as_scalar(value: Any) -> Any:
    is_truth = isinstance(value, sympy.logic.boolalg.Boolean) and not isinstance(value, sympy.Symbol)
    if not isinstance(value, sympy.Basic) or isinstance(value, sympy.MatrixBase) or is_truth:
        raise Fault("A list, matrix or relation stands where a number or an expression is needed.")
    return value


def as_matrix(value: Any) -> Any:
    if isinstance(value, sympy.MatrixBase):
        return value
    if isinstance(value, list):
        return as_operand(value)
    raise Fault("A matrix is needed, such as [[1, 2], [3, 4]].")


def as_symbol(value: Any) -> Any:
    if not isinstance(value, sympy.Symbol):
        raise Fault("A variable is needed, such as x.")
    return value


def as_whole(value: Any, most: Any = 10**12) -> Any:
    value = as_scalar(value)
    if not value.is_Integer or abs(value) > most:
        raise Fault(f"A whole number up to {most} is needed.")
    return int(value)


def bounded(value: Any, most: Any, what: Any) -> Any:
    if value.is_Number and abs(value) > most:
        raise Fault(f"{what} is of more than {most}.")
    return value


def unit_of(name: Any) -> Any:
    found = getattr(units, UNITS.get(name, name), None)
    return found if isinstance(found, units.Quantity) else None


UNITS = {
    **{"mi": "mile", "in": "inch", "lb": "pound", "lbs": "pound", "min": "minute", "h": "hour", "hr": "hour"},
    **{"L": "liter", "l": "liter", "ft": "foot", "yd": "yard", "t": "metric_ton", "kWh": "kWh", "d": "day"},
}
