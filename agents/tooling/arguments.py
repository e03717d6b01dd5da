"""The arguments of a call, as the model wrote them, read against the tool's JSON Schema.

Common faults of models are repaired once, and only where no other meaning is possible; whatever else is wrong
is named in words that the model can act on.
"""

import json
from functools import lru_cache
from typing import Any, NoReturn

import jsonschema
import msgspec
import referencing
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.protocols import Validator
from referencing.exceptions import Unresolvable

from agents.tooling import argument_repair
from inference.schema import ToolSpec

MAX_CHARS = 500_000
MAX_PROBLEM_CHARS = 300


class BadArguments(Exception):
    """The arguments cannot be used; the text tells the model where and why."""


class BadSchema(Exception):
    """A tool describes its arguments in a schema that cannot be used."""


class ArgumentReader:
    """Reads the arguments of one tool. Raises BadSchema."""

    def __init__(self, spec: ToolSpec) -> None:
        self._name = spec.name
        self._schema = spec.parameters
        self._validator = _validator(spec)

    def read(self, text: str, *, is_careful: bool = False) -> dict[str, Any]:
        """The arguments, which fit the schema. Raises BadArguments.

        `is_careful`: for calls that change the world. Text that may have been cut off is not completed.
        """
        if len(text) > MAX_CHARS:
            raise BadArguments(f"The arguments of {self._name} are longer than {MAX_CHARS} characters.")
        try:
            return self._checked(_parse(text))
        except (BadArguments, ValueError, RecursionError) as fault:
            return self._repaired(text, fault, is_careful=is_careful)

    def _repaired(self, text: str, fault: Exception, *, is_careful: bool) -> dict[str, Any]:
        try:
            value = _parse(argument_repair.whole_object(text, may_close=not is_careful))
            return self._checked(argument_repair.coerced(value, self._schema))
        except BadArguments as still:
            raise still from fault
        except (argument_repair.Irreparable, ValueError, RecursionError):
            reason = "nested too deeply" if isinstance(fault, RecursionError) else str(fault)
            if isinstance(fault, BadArguments):
                raise fault from None
            raise BadArguments(
                f"The arguments of {self._name} are not JSON ({reason}). Write one JSON object."
            ) from fault

    def _checked(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BadArguments(f"The arguments of {self._name} must be one JSON object, not {_kind(value)}.")
        try:
            problem = best_match(self._validator.iter_errors(value))
        except Unresolvable as fault:
            raise BadArguments(f"The schema of {self._name} refers to what is not there: {fault}.") from fault
        if problem is not None:
            self._refuse(problem)
        return {name: _with_whole_numbers(member) for name, member in value.items()}

    def _refuse(self, problem: ValidationError) -> NoReturn:
        place = "/".join(str(step) for step in problem.absolute_path)
        raise BadArguments(
            f"The arguments of {self._name} do not fit its schema, at {place or 'the arguments'}: "
            f"{problem.message[:MAX_PROBLEM_CHARS]}"
        )


def _validator(spec: ToolSpec) -> Validator:
    try:
        return _validator_of(msgspec.json.encode(spec.parameters))
    except jsonschema.SchemaError as fault:
        raise BadSchema(f"The schema of {spec.name} is no JSON Schema: {fault.message}") from fault


@lru_cache(maxsize=1024)
def _validator_of(schema: bytes) -> Validator:
    """A toolset is made for each segment of a turn, and proving a schema takes a millisecond."""
    parameters = msgspec.json.decode(schema)
    jsonschema.Draft202012Validator.check_schema(parameters)
    # The registry is empty, so that a schema written by a stranger cannot have us fetch an address.
    return jsonschema.Draft202012Validator(
        parameters,
        registry=referencing.Registry(),
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )


def _parse(text: str) -> Any:
    """The JSON value. Raises ValueError, also for what some parsers would take and others read otherwise."""
    value = json.loads(text.strip() or "{}", parse_constant=_no_constant, object_pairs_hook=_without_doubles)
    json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair: UnicodeEncodeError
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the member {double[:80]!r} is given twice")
    return members


def _with_whole_numbers(value: Any) -> Any:
    """5.0 as 5: to a schema both are the same integer, to a tool's code they are not."""
    if isinstance(value, dict):
        return {name: _with_whole_numbers(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
