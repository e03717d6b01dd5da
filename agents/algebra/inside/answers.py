"""What a formula comes to, in words."""

import json
import re
from typing import Any

import sympy
from sympy import S
from sympy.physics.units import Quantity

from .reader import Reader
from .values import SHOWN_DIGITS, Fault

MAX_SHOWN = 8_000


def shown(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{shown(key)}: {shown(one)}" for key, one in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        said = [f"{{{shown(one)}}}" if isinstance(one, dict) else shown(one) for one in value]
        return f"[{', '.join(said)}]" if said else "no solution"
    if isinstance(value, sympy.MatrixBase):
        return str(value.tolist())
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value}{near(value)}"


def near(value: Any) -> str:
    """The decimals of an exact number that is no whole one."""
    if not isinstance(value, sympy.Expr) or value.is_Integer or value.free_symbols:
        return ""
    if value.has(sympy.Float, S.Infinity, S.NegativeInfinity, S.ComplexInfinity, S.NaN, sympy.O):
        return ""
    if not value.atoms(Quantity) and all(part.is_Integer for part in value.as_real_imag()):
        return ""
    decimals = str(value.evalf(SHOWN_DIGITS))
    decimals = re.sub(r"(\.\d*?)0+(?!\d)", r"\1", decimals)
    decimals = re.sub(r"\.(?!\d)", "", decimals)
    return f" ≈ {decimals}" if decimals != str(value) else ""


def answer(text: Any) -> None:
    """Prints what it comes to, or why it cannot be had, as JSON."""
    try:
        said = {"value": shown(Reader(text).whole())}
        if len(said["value"]) > MAX_SHOWN:
            said = {"fault": f"The result has {len(said['value'])} characters: ask for less."}
    except Fault as fault:
        said = {"fault": str(fault)}
    except RecursionError:
        said = {"fault": "The formula is nested too deeply: split it."}
    except MemoryError:
        raise
    except Exception as fault:
        reason = " ".join(str(fault).split())[:200]
        said = {"fault": f"That cannot be worked out here: {type(fault).__name__} {reason}".rstrip()}
    print(json.dumps(said))  # noqa: T201
