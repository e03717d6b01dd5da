"""Arithmetic on exact fractions, read by a parser of its own. Nothing is ever evaluated as code.

Every number is bounded, so that no expression, however hostile, takes noticeable time or memory. What cannot
be a fraction (roots, logarithms, powers to a fraction) is worked out to 50 digits and marked as rounded.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException
from fractions import Fraction
from itertools import pairwise

MAX_CHARS = 2_000
MAX_DEPTH = 60
MAX_BITS = 13_000  # of a numerator or denominator: about 3,900 digits
MAX_FACTORIAL = 1_000
DIGITS = 50
MAX_ROUND = 1_000

_ROUNDED = Context(prec=DIGITS, Emin=-9_999, Emax=9_999)
_NUMBER = r"\d[\d_]*\.?[\d_]*|\.\d[\d_]*"
_GROUPED = r"\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d*)?"  # as people write numbers
_REST = (
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<sign>\*\*|//|<=|>=|==|!=|[-+*/%^()<>,!×÷·−≤≥≠√π]))"
)
# Among the arguments of a function a comma parts them: max(1,200) has two.
_ARGUMENT = re.compile(rf"\s*(?:(?P<number>(?:{_NUMBER})(?:[eE][+-]?\d{{1,6}})?){_REST}")
_TOKEN = re.compile(rf"\s*(?:(?P<number>(?:{_GROUPED}|{_NUMBER})(?:[eE][+-]?\d{{1,6}})?){_REST}")
_PERCENT = "percent"
_SAME = {"^": "**", "×": "*", "·": "*", "÷": "/", "−": "-", "≤": "<=", "≥": ">=", "≠": "!="}


class ArithmeticFault(Exception):
    """The expression cannot be worked out; the text says why and what to write instead."""


@dataclass(frozen=True)
class Number:
    value: Fraction
    is_exact: bool = True


@dataclass(frozen=True)
class Comparison:
    """`left` against `right`, and whether what was asked of them holds."""

    left: Number
    right: Number
    holds: bool


Result = Number | Comparison


def evaluate(expression: str) -> Result:
    """The value of the expression, or what its comparison comes to. Raises ArithmeticFault."""
    if len(expression) > MAX_CHARS:
        raise ArithmeticFault(f"The expression is longer than {MAX_CHARS} characters: split it.")
    return _Parser(_tokens(expression)).whole()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


_END = _Token("end", "")
_HUNDRED = Number(Fraction(100))


def _tokens(expression: str) -> list[_Token]:
    tokens: list[_Token] = []
    at, are_arguments = 0, [False]  # of each bracket that is open
    text = expression.rstrip().rstrip("=").rstrip()
    while at < len(text):
        match = (_ARGUMENT if are_arguments[-1] else _TOKEN).match(text, at)
        if match is None:
            raise ArithmeticFault(
                f"Cannot read {text[at : at + 20].strip()!r}: write numbers, operators and functions only."
            )
        kind = str(match.lastgroup)
        token = _Token(kind, _SAME.get(match[kind], match[kind]))
        if token.text == "(":
            are_arguments.append(bool(tokens) and tokens[-1].kind == "name")
        elif token.text == ")" and len(are_arguments) > 1:
            are_arguments.pop()
        tokens.append(token)
        at = match.end()
    return list(_with_percentages(tokens))


def _with_percentages(tokens: list[_Token]) -> Iterator[_Token]:
    """A "%" that no number follows is a percentage, else what is left by a division."""
    before = ""
    for token, following in pairwise([*tokens, _END]):
        if token.text != "%":
            if token.text != "of" or before != "%":
                yield token
        elif following.text in ("+", "-"):
            raise ArithmeticFault(
                f"'% {following.text}' can mean two things: write (20/100) for 20 percent, or brackets around"
                " what is behind the %."
            )
        elif following.text == "of":
            yield from (_Token("sign", _PERCENT), _Token("sign", "*"))
        else:
            begins_number = following.kind in ("number", "name") or following.text in ("(", "√", "π")
            yield token if begins_number else _Token("sign", _PERCENT)
        before = token.text


class _Parser:
    """Precedence climbing, lowest first: comparison, sum, product, sign, power, postfix, atom."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> Result:
        if not self._tokens:
            raise ArithmeticFault("The expression is empty.")
        result = self._comparison()
        if self._next is not _END:
            raise ArithmeticFault(f"Did not expect {self._next.text!r} here.")
        return result

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _take(self, *signs: str) -> str:
        """The next sign if it is one of these, else the empty string."""
        token = self._next
        if token.kind == "sign" and token.text in signs:
            self._at += 1
            return token.text
        return ""

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise ArithmeticFault(
                f"Expected {sign!r} {f'before {self._next.text!r}' if self._next.text else 'at the end'}."
            )

    def _comparison(self) -> Result:
        left = self._sum()
        if not (sign := self._take("<", ">", "<=", ">=", "==", "!=")):
            return left
        right = self._sum()
        return Comparison(left, right, _COMPARE[sign](left.value, right.value))

    def _sum(self) -> Number:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ArithmeticFault("The expression is nested too deeply: split it.")
        left = self._product()
        while sign := self._take("+", "-"):
            left = _operate(sign, left, self._product())
        self._depth -= 1
        return left

    def _product(self) -> Number:
        left = self._signed()
        while sign := self._take("*", "/", "//", "%"):
            left = _operate(sign, left, self._signed())
        return left

    def _signed(self) -> Number:
        is_negative = False
        while sign := self._take("+", "-"):
            is_negative ^= sign == "-"
        number = self._power()
        return Number(-number.value, number.is_exact) if is_negative else number

    def _power(self) -> Number:
        base = self._postfix()
        if not self._take("**"):
            return base
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ArithmeticFault("Too many powers of powers.")
        exponent = self._signed()
        self._depth -= 1
        return _power(base, exponent)

    def _postfix(self) -> Number:
        number = self._atom()
        while sign := self._take("!", _PERCENT):
            number = _factorial(number) if sign == "!" else _operate("/", number, _HUNDRED)
        return number

    def _atom(self) -> Number:
        token = self._next
        self._at += 1
        if token.kind == "number":
            return _literal(token.text)
        if token.kind == "name":
            return self._named(token.text.lower())
        if token.text == "(":
            inner = self._sum()
            self._expect(")")
            return inner
        if token.text == "π":
            return _CONSTANTS["pi"]
        if token.text == "√":
            return _sqrt(self._atom())
        raise ArithmeticFault(
            f"Expected a number, not {token.text!r}." if token.text else "The expression stops too soon."
        )

    def _named(self, name: str) -> Number:
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name not in _FUNCTIONS:
            raise ArithmeticFault(
                f"{name!r} is unknown. Functions: {', '.join(sorted(_FUNCTIONS))}; constants: pi, e."
            )
        self._expect("(")
        arguments = [self._sum()]
        while self._take(","):
            arguments.append(self._sum())
        self._expect(")")
        fewest, most, function = _FUNCTIONS[name]
        if not fewest <= len(arguments) <= most:
            raise ArithmeticFault(f"{name}() does not take {len(arguments)} numbers.")
        return _bounded(function(*arguments))


def _literal(text: str) -> Number:
    digits = text.replace("_", "").replace(",", "")
    _, _, exponent = digits.lower().partition("e")
    if exponent and abs(int(exponent)) > MAX_BITS // 4:
        raise ArithmeticFault(f"The exponent of {text} is too large.")
    return _bounded(
        Number(Fraction(digits.rstrip(".") if digits.endswith(".") else digits.replace(".e", "e")))
    )


def _bounded(number: Number) -> Number:
    value = number.value
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise ArithmeticFault("A number of this calculation has more than 3,900 digits.")
    return number


def _operate(sign: str, left: Number, right: Number) -> Number:
    is_exact = left.is_exact and right.is_exact
    if sign in ("/", "//", "%") and right.value == 0:
        raise ArithmeticFault("Division by zero.")
    return _bounded(Number(_ARITHMETIC[sign](left.value, right.value), is_exact))


def _power(base: Number, exponent: Number) -> Number:
    if base.value == 0 and exponent.value < 0:
        raise ArithmeticFault("Division by zero: zero to a negative power.")
    if exponent.value.denominator != 1:
        return _by_decimal(lambda context, x, y: context.power(x, y), base, exponent)
    num_times = exponent.value.numerator
    bits = max(base.value.numerator.bit_length(), base.value.denominator.bit_length())
    if base.value not in (0, 1, -1) and bits * abs(num_times) > MAX_BITS + bits:
        raise ArithmeticFault("This power has more than 3,900 digits.")
    if base.value in (0, 1, -1):
        num_times = num_times % 2 if base.value == -1 else min(abs(num_times), 1)
    return _bounded(Number(Fraction(base.value**num_times), base.is_exact and exponent.is_exact))


def _factorial(number: Number) -> Number:
    value = number.value
    if value.denominator != 1 or not 0 <= value <= MAX_FACTORIAL:
        raise ArithmeticFault(f"A factorial needs a whole number from 0 to {MAX_FACTORIAL}.")
    return Number(Fraction(math.factorial(value.numerator)), number.is_exact)


def _sqrt(number: Number) -> Number:
    value = number.value
    if value < 0:
        raise ArithmeticFault("The square root of a negative number is not real.")
    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if top * top == value.numerator and bottom * bottom == value.denominator:
        return Number(Fraction(top, bottom), number.is_exact)
    return _by_decimal(lambda context, x: context.sqrt(x), number)


def _log(number: Number, base: Number | None = None) -> Number:
    if base is None:
        return _by_decimal(lambda context, x: context.log10(x), number)
    if base.value <= 0 or base.value == 1 or number.value <= 0:
        raise ArithmeticFault("A logarithm needs a positive number and a positive base other than 1.")
    return _by_decimal(lambda context, x, y: context.divide(context.ln(x), context.ln(y)), number, base)


def _round(number: Number, digits: Number = Number(Fraction(0))) -> Number:
    """Half away from zero, as people round."""
    if digits.value.denominator != 1 or abs(digits.value) > MAX_ROUND:
        raise ArithmeticFault("Round to a whole number of digits.")
    scale = Fraction(10) ** digits.value.numerator
    scaled = abs(number.value) * scale + Fraction(1, 2)
    whole = Fraction(scaled.numerator // scaled.denominator) / scale
    return Number(whole if number.value >= 0 else -whole)


def _whole(function: Callable[[Fraction], int]) -> Callable[[Number], Number]:
    return lambda number: Number(Fraction(function(number.value)))


def _of_integers(function: Callable[..., int]) -> Callable[..., Number]:
    def apply(*numbers: Number) -> Number:
        if any(number.value.denominator != 1 for number in numbers):
            raise ArithmeticFault("gcd and lcm need whole numbers.")
        return Number(Fraction(function(*(number.value.numerator for number in numbers))))

    return apply


def _choose(function: Callable[..., Fraction]) -> Callable[..., Number]:
    def apply(*numbers: Number) -> Number:
        return Number(
            function(number.value for number in numbers), all(number.is_exact for number in numbers)
        )

    return apply


def _by_decimal(function: Callable[..., Decimal], *numbers: Number) -> Number:
    """The function worked out to DIGITS digits."""
    context = _ROUNDED.copy()
    try:
        operands = [context.divide(Decimal(n.value.numerator), Decimal(n.value.denominator)) for n in numbers]
        result = function(context, *operands)
    except DecimalException as fault:
        raise ArithmeticFault("This has no real value, or one too large to write.") from fault
    if not result.is_finite():
        raise ArithmeticFault("This has no real value, or one too large to write.")
    if result and abs(result.adjusted()) > MAX_BITS // 4:
        raise ArithmeticFault("This number is too large or too small to write.")
    return _bounded(Number(Fraction(result), is_exact=False))


_ARITHMETIC: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "//": lambda x, y: Fraction(x // y),
    "%": lambda x, y: x % y,
}
_COMPARE: dict[str, Callable[[Fraction, Fraction], bool]] = {
    "<": lambda x, y: x < y,
    ">": lambda x, y: x > y,
    "<=": lambda x, y: x <= y,
    ">=": lambda x, y: x >= y,
    "==": lambda x, y: x == y,
    "!=": lambda x, y: x != y,
}
_CONSTANTS = {
    "pi": Number(Fraction("3.1415926535897932384626433832795028841971693993751"), is_exact=False),
    "e": Number(Fraction("2.7182818284590452353602874713526624977572470936999"), is_exact=False),
}
_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Number]]] = {
    "abs": (1, 1, lambda x: Number(abs(x.value), x.is_exact)),
    "ceil": (1, 1, _whole(math.ceil)),
    "exp": (1, 1, lambda x: _by_decimal(lambda context, y: context.exp(y), x)),
    "factorial": (1, 1, _factorial),
    "floor": (1, 1, _whole(math.floor)),
    "gcd": (1, 50, _of_integers(math.gcd)),
    "lcm": (1, 20, _of_integers(math.lcm)),
    "ln": (1, 1, lambda x: _by_decimal(lambda context, y: context.ln(y), x)),
    "log": (1, 2, _log),
    "max": (1, 200, _choose(max)),
    "min": (1, 200, _choose(min)),
    "round": (1, 2, _round),
    "sqrt": (1, 1, _sqrt),
}

# What an expression may be made of besides numbers and signs.
NAMES = frozenset({*_CONSTANTS, *_FUNCTIONS, "of"})
