"""A generated set of JSON Schemas of the kinds that tools and answers are described with. Seeded: the same
number is the same schema everywhere.
"""

import random
from typing import Any

_WORDS = (
    "city",
    "limit",
    "from",
    "to-date",
    "einheit",
    "größe",
    "数量",
    "is_open",
    "a b",
    "x",
    "tags",
    "notes",
)
_PATTERNS = ("^[A-Z]{2}[0-9]{3}$", "^(red|green|blue)$", "^[a-z]+(-[a-z]+)*$", "^\\d{4}-\\d{2}$")
_MAX_DEPTH = 3


def schema(number: int) -> dict[str, Any]:
    """Schema number `number`: an object, as the parameters of a tool are."""
    rng = random.Random(number)
    made = _object(rng, depth=0)
    if rng.random() < 0.15:
        made["$defs"] = {"shared": _leaf(rng)}
        made["properties"]["shared"] = {"$ref": "#/$defs/shared"}
    return made


def _any(rng: random.Random, depth: int) -> dict[str, Any]:
    makers = [_leaf, _leaf, _leaf]
    if depth < _MAX_DEPTH:
        makers += [
            lambda rng: _object(rng, depth),
            lambda rng: _array(rng, depth),
            lambda rng: _choice(rng, depth),
        ]
    return rng.choice(makers)(rng)


def _object(rng: random.Random, depth: int) -> dict[str, Any]:
    names = rng.sample(_WORDS, rng.randint(0 if depth else 1, 4))
    made: dict[str, Any] = {
        "type": "object",
        "properties": {name: _any(rng, depth + 1) for name in names},
        "required": [name for name in names if rng.random() < 0.6],
    }
    more = rng.random()
    if more < 0.5:
        made["additionalProperties"] = False
    elif more < 0.6:
        made["additionalProperties"] = {"type": "integer"}
    return made


def _array(rng: random.Random, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "array", "items": _any(rng, depth + 1)}
    if rng.random() < 0.5:
        made["minItems"] = rng.randint(0, 2)
    if rng.random() < 0.7:
        made["maxItems"] = made.get("minItems", 0) + rng.randint(0, 3)
    return made


def _choice(rng: random.Random, depth: int) -> dict[str, Any]:
    return {"anyOf": [_any(rng, depth + 1) for _ in range(rng.randint(2, 3))]}


def _leaf(rng: random.Random) -> dict[str, Any]:
    makers = (_string, _string, _integer, _number, _enumeration, _plain)
    return rng.choice(makers)(rng)


def _string(rng: random.Random) -> dict[str, Any]:
    kind = rng.random()
    if kind < 0.25:
        return {"type": "string", "pattern": rng.choice(_PATTERNS)}
    if kind < 0.6:
        least = rng.randint(0, 3)
        return {"type": "string", "minLength": least, "maxLength": least + rng.randint(0, 8)}
    if kind < 0.75:
        return {"type": "string", "format": rng.choice(("date", "date-time", "email", "uuid"))}
    return {"type": "string", "description": "Free text."}


def _integer(rng: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "integer"}
    if rng.random() < 0.6:
        made["minimum"] = rng.randint(-50, 50)
        made["maximum"] = made["minimum"] + rng.randint(0, 1000)
    if rng.random() < 0.15:
        made = {"type": "integer", "multipleOf": rng.randint(2, 7)}
    return made


def _number(rng: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "number"}
    if rng.random() < 0.5:
        made["minimum"] = round(rng.uniform(-10, 10), 2)
        made["exclusiveMaximum"] = made["minimum"] + rng.randint(1, 100)
    return made


def _enumeration(rng: random.Random) -> dict[str, Any]:
    values: list[Any] = ["metric", "imperial", 'with "quotes"', "äöü", "{}", 3, -1.5, True, None]
    if rng.random() < 0.2:
        return {"const": rng.choice(values)}
    return {"enum": rng.sample(values, rng.randint(1, 5))}


def _plain(rng: random.Random) -> dict[str, Any]:
    return rng.choice(({"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {}))
