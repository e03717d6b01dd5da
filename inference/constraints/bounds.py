"""JSON schemas with the bounds that they leave unsaid, so that no value can go on for ever.

Integers keep to what every reader of JSON holds exactly (RFC 8259 §6), strings of a format to the length its
own standard allows. A bound that excludes a float becomes one that includes its neighbour: a number written
between the two would be read as the bound itself.
"""

from collections.abc import Mapping
from typing import Any

_LARGEST_INTEGER = 2**53 - 1
_LONGEST = {"email": 254, "idn-email": 254, "hostname": 253, "idn-hostname": 253, "uri": 2048, "iri": 2048}
_LONGEST_OTHER = 256
# How far within: beyond what llguidance keeps of a bound's digits, and a float of a number's.
_MARGIN, _DIGITS = 1e-9, 12
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems", "items")
_ONES = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")


def bounded(schema: Any) -> Any:
    """The same schema, bounded at every depth. What is no schema stays as it is."""
    if not isinstance(schema, Mapping):
        return schema
    result = dict(schema)
    for key, inner in schema.items():
        if key in _MAPS and isinstance(inner, Mapping):
            result[key] = {name: bounded(one) for name, one in inner.items()}
        elif key in _LISTS and isinstance(inner, list):
            result[key] = [bounded(one) for one in inner]
        elif key in _ONES:
            result[key] = bounded(inner)
    kinds = schema.get("type")
    kinds = set(kinds) if isinstance(kinds, list) else {kinds}
    if "integer" in kinds or "multipleOf" in schema:
        _bound_integers(result)
    if "string" in kinds and isinstance(schema.get("format"), str) and "maxLength" not in schema:
        longest = _LONGEST.get(schema["format"], _LONGEST_OTHER)
        if _number(schema.get("minLength", 0), 0) <= longest:
            result["maxLength"] = longest
    _include(result, "exclusiveMinimum", "minimum", 1.0, max)
    _include(result, "exclusiveMaximum", "maximum", -1.0, min)
    return result


def _bound_integers(schema: dict[str, Any]) -> None:
    lowest = _number(schema.get("minimum", schema.get("exclusiveMinimum")), -_LARGEST_INTEGER)
    highest = _number(schema.get("maximum", schema.get("exclusiveMaximum")), _LARGEST_INTEGER)
    if not {"minimum", "exclusiveMinimum"} & schema.keys() and highest >= -_LARGEST_INTEGER:
        schema["minimum"] = -_LARGEST_INTEGER
    if not {"maximum", "exclusiveMaximum"} & schema.keys() and lowest <= _LARGEST_INTEGER:
        schema["maximum"] = _LARGEST_INTEGER


def _include(schema: dict[str, Any], excluding: str, including: str, side: float, stricter: Any) -> None:
    bound = schema.get(excluding)
    if isinstance(bound, float) and not bound.is_integer():
        del schema[excluding]
        within = float(f"{bound + side * _MARGIN * max(1.0, abs(bound)):.{_DIGITS}g}")
        schema[including] = stricter(within, _number(schema.get(including), within))


def _number(value: Any, default: float) -> float:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else default
