"""Reads a formula as people and models write it."""

import re
from itertools import pairwise
from typing import Any

import sympy
from sympy import S

from . import values
from .values import Fault, as_scalar, bounded, operate, unit_of
from .words import CONSTANTS, FUNCTIONS, WORKS, applied

MAX_DEPTH = 60
NUMBER = r"\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d{1,4}(?![A-Za-z]))?|\.\d+(?:[eE][+-]?\d{1,4})?"
TOKEN = re.compile(
    rf"\s*(?:(?P<number>{NUMBER})|(?P<name>[^\W\d_]\w*)"
    r"|(?P<sign>\*\*|<=|>=|==|!=|'+|[-+*/^!(),;=<>\[\]{}|%]))"
)
SAME = {"^": "**", "==": "=", "{": "(", "}": ")", ";": ","}
SPELLED = {
    **{"×": "*", "·": "*", "∙": "*", "÷": "/", "−": "-", "–": "-", "≤": "<=", "≥": ">=", "≠": "!="},
    **{"²": "^2", "³": "^3", "√": "sqrt ", "∞": "oo ", "π": "pi ", "½": "(1/2)"},
}
RELATIONS = {
    "=": lambda a, b: sympy.Eq(a, b, evaluate=False),
    "!=": sympy.Ne,
    "<": sympy.Lt,
    ">": sympy.Gt,
    "<=": sympy.Le,
    ">=": sympy.Ge,
}


def tokens(text: Any) -> Any:
    for sign, spelled in SPELLED.items():
        text = text.replace(sign, spelled)
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise Fault(f"Cannot read {text[at : at + 20].strip()!r}.")
        kind = str(match.lastgroup)
        word = match[kind]
        found.append((kind, SAME.get(word, word)))
        at = match.end()
    return [*found, ("end", "")]


def refuse_words(found: Any) -> None:
    """A sentence is no product of its words."""
    known = {*CONSTANTS, *FUNCTIONS, *WORKS}
    for (kind, word), (next_kind, following) in pairwise(found):
        are_names = kind == next_kind == "name" and len(word) > 2 and len(following) > 2
        if are_names and not {word, following} & known and ("name", "convert") not in found:
            raise Fault(f"Cannot read the words {word!r} {following!r}: write a formula.")


class Reader:
    """Precedence climbing, lowest first: relation, sum, product, sign, power, postfix, atom."""

    def __init__(self, text: Any) -> None:
        self.tokens = tokens(text)
        refuse_words(self.tokens)
        self.at = 0
        self.depth = 0
        self.knows_units = False

    def whole(self) -> Any:
        value = self.relation()
        if self.next != ("end", ""):
            raise Fault(f"Did not expect {self.next[1]!r} here.")
        return value

    @property
    def next(self) -> Any:
        return self.tokens[self.at]

    def take(self, *signs: Any) -> Any:
        kind, word = self.next
        if kind == "sign" and word in signs:
            self.at += 1
            return word
        return ""

    def expect(self, sign: Any) -> None:
        if not self.take(sign):
            place = f"before {self.next[1]!r}" if self.next[1] else "at the end"
            raise Fault(f"Expected {sign!r} {place}.")

    def relation(self) -> Any:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Fault("The formula is nested too deeply: split it.")
        value = self.sum()
        relations = []
        while sign := self.take(*RELATIONS):
            right = self.sum()
            relations.append(RELATIONS[sign](as_scalar(value), as_scalar(right)))
            value = right
        self.depth -= 1
        if not relations:
            return value
        return relations[0] if len(relations) == 1 else sympy.And(*relations)

    def sum(self) -> Any:
        value = self.product()
        while sign := self.take("+", "-"):
            right = self.product()
            value = operate(sign, value, right)
        return value

    def product(self) -> Any:
        value = self.signed()
        while True:
            if sign := self.take("*", "/", "%"):
                value = operate(sign, value, self.signed())
            elif self.next[0] in ("number", "name") or self.next[1] in ("(", "["):
                value = operate("*", value, self.power())
            else:
                return value

    def signed(self) -> Any:
        is_negative = False
        while sign := self.take("+", "-"):
            is_negative ^= sign == "-"
        value = self.power()
        return operate("*", S.NegativeOne, value) if is_negative else value

    def power(self) -> Any:
        base = self.postfix()
        if not self.take("**"):
            return base
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Fault("Too many powers of powers.")
        exponent = self.signed()
        self.depth -= 1
        return operate("**", base, exponent)

    def postfix(self) -> Any:
        value = self.atom()
        while self.take("!"):
            value = sympy.factorial(bounded(as_scalar(value), 2_000, "The factorial"))
        return value

    def atom(self) -> Any:
        kind, word = self.next
        self.at += 1
        if kind == "number":
            return values.number(word)
        if kind == "name":
            return self.named(word)
        if word == "(":
            given = self.listed(")")
            return given[0] if len(given) == 1 else tuple(given)
        if word == "[":
            return values.grouped(self.listed("]"))
        if word == "|":
            value = self.relation()
            self.expect("|")
            return sympy.Abs(as_scalar(value))
        raise Fault(f"Did not expect {word!r} here." if word else "The formula ends too early.")

    def listed(self, end: Any) -> Any:
        found: list[Any] = []
        if self.take(end):
            return found
        while True:
            found.append(self.relation())
            if self.take(end):
                return found
            if not self.take(","):
                raise Fault(f"Expected ',' or {end!r} behind {self.tokens[self.at - 1][1]!r}.")

    def named(self, name: Any) -> Any:
        if name in FUNCTIONS or name in WORKS:
            if self.next[1] == "(":
                self.at += 1
                knew, self.knows_units = self.knows_units, self.knows_units or name == "convert"
                given = self.listed(")")
                self.knows_units = knew
                return applied(name, given)
            if name in ("sqrt", "sin", "cos", "tan", "ln", "log", "exp"):
                return applied(name, [self.power()])
        if self.knows_units and (unit := unit_of(name)) is not None:
            return unit
        if name in CONSTANTS:
            return CONSTANTS[name]
        if self.next[1] == "(" and (len(name) > 1 or name in "fgh"):
            raise Fault(f"There is no function {name!r} here.")
        return sympy.Symbol(name[:40])
