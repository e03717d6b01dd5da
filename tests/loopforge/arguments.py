"""Arguments that fit a tool's JSON Schema, drawn by a seed."""

import json
import random
from collections.abc import Mapping
from typing import Any

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty", "knoll")


def of(name: str, parameters: Mapping[str, Any], draw: random.Random) -> str:
    """JSON. The calculator's expressions are no text like another."""
    if name == "calculate":
        return json.dumps(
            {"expression": f"{draw.randint(2, 999)} * {draw.randint(2, 99)} + {draw.randint(1, 9)}"}
        )
    return json.dumps(_value(parameters, draw))


def _value(schema: Mapping[str, Any], draw: random.Random) -> Any:
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draw.choice(schema["enum"])
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        required = schema.get("required", list(schema.get("properties", {})))
        return {name: _value(schema["properties"][name], draw) for name in required}
    if kind == "array":
        return [_value(schema.get("items", {}), draw) for _ in range(max(schema.get("minItems", 1), 1))]
    return _plain(kind, schema, draw)


def _plain(kind: str, schema: Mapping[str, Any], draw: random.Random) -> Any:
    low = schema.get("minimum", 0)
    high = max(schema.get("maximum", low + 9_999), low)
    if kind == "integer":
        return draw.randint(low, high)
    if kind == "number":
        return round(draw.uniform(low, high), 2)
    if kind == "boolean":
        return draw.random() < 0.5
    if kind == "null":
        return None
    return f"{draw.choice(WORDS)}-{draw.randrange(16**6):06x}"[: schema.get("maxLength", 80)]
