"""Tools as models meet them, with calls that are right, right but badly written, and wrong."""

from typing import Any

from inference.schema import ToolSpec


def _spec(name: str, properties: dict[str, Any], *required: str, **more: Any) -> ToolSpec:
    schema = {"type": "object", "properties": properties, "required": list(required), **more}
    return ToolSpec(name=name, description=name, parameters={"additionalProperties": False, **schema})


TEXT, WHOLE, NUMBER, YES_NO = ({"type": kind} for kind in ("string", "integer", "number", "boolean"))
POINT = {
    "type": "object",
    "properties": {"lat": NUMBER, "lon": NUMBER},
    "required": ["lat", "lon"],
    "additionalProperties": False,
}
SPECS = {
    spec.name: spec
    for spec in (
        _spec("now", {}),
        _spec("weather", {"city": TEXT, "unit": {"enum": ["c", "f"]}, "days": WHOLE}, "city"),
        _spec("area", {"base": NUMBER, "height": NUMBER, "is_rounded": YES_NO}, "base", "height"),
        _spec("search", {"query": {"type": "string", "minLength": 1}, "top": WHOLE, "safe": YES_NO}, "query"),
        _spec(
            "route",
            {"from": {"$ref": "#/$defs/point"}, "to": {"$ref": "#/$defs/point"}},
            "from",
            "to",
            **{"$defs": {"point": POINT}},
        ),
        _spec(
            "rows",
            {
                "table": {"type": "string", "pattern": "^[a-z_]+$"},
                "where": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"column": TEXT, "op": {"enum": ["=", "<", ">"]}, "value": {}},
                        "required": ["column", "op", "value"],
                    },
                },
                "limit": {"type": "integer", "minimum": 1, "maximum": 100},
            },
            "table",
        ),
        _spec("remind", {"at": {"type": "string", "format": "date"}, "text": TEXT}, "at", "text"),
        _spec("sum", {"numbers": {"type": "array", "items": NUMBER, "minItems": 1}}, "numbers"),
        _spec("page", {"number": {"anyOf": [WHOLE, {"type": "null"}]}}),
        _spec("tag", {"id": {"type": ["string", "integer"]}, "labels": {"type": "object"}}, "id"),
        _spec("label", {"labels": {"type": "object", "additionalProperties": WHOLE}}, "labels"),
    )
}

AREA = {"base": 10, "height": 5}
RIGHT: list[tuple[str, str, dict[str, Any]]] = [
    ("now", "{}", {}),
    ("now", "", {}),
    ("now", "  \n", {}),
    ("weather", '{"city": "Paris"}', {"city": "Paris"}),
    ("weather", '{"city": "", "unit": "c"}', {"city": "", "unit": "c"}),
    ("weather", '{"city": "São Paulo", "days": 7}', {"city": "São Paulo", "days": 7}),
    ("weather", '{"city": "\\u5317\\u4eac"}', {"city": "北京"}),
    ("weather", '{"days": 3.0, "city": "Rome"}', {"city": "Rome", "days": 3}),
    ("area", '{"base": 10, "height": 5}', AREA),
    ("area", '{"base": 1e1, "height": 5.0}', AREA),
    ("area", '{"base": 0.1, "height": -2.5e-3}', {"base": 0.1, "height": -0.0025}),
    ("area", '{"base": 1, "height": 2, "is_rounded": false}', {"base": 1, "height": 2, "is_rounded": False}),
    ("search", '{"query": "a \\"b\\" {c}"}', {"query": 'a "b" {c}'}),
    ("search", '{"query": "```json"}', {"query": "```json"}),
    ("search", '{"query": "x, }", "top": 5}', {"query": "x, }", "top": 5}),
    ("search", '{"query": "5"}', {"query": "5"}),
    ("search", '{"query": "true", "safe": true}', {"query": "true", "safe": True}),
    ("search", '{"query": "{\\"a\\": 1}"}', {"query": '{"a": 1}'}),
    (
        "route",
        '{"from": {"lat": 1, "lon": 2}, "to": {"lat": -3.5, "lon": 4}}',
        {"from": {"lat": 1, "lon": 2}, "to": {"lat": -3.5, "lon": 4}},
    ),
    ("rows", '{"table": "users"}', {"table": "users"}),
    ("rows", '{"table": "users", "where": []}', {"table": "users", "where": []}),
    (
        "rows",
        '{"table": "t", "where": [{"column": "a", "op": "=", "value": "7"}], "limit": 100}',
        {"table": "t", "where": [{"column": "a", "op": "=", "value": "7"}], "limit": 100},
    ),
    (
        "rows",
        '{"table": "t", "where": [{"column": "a", "op": "<", "value": null}]}',
        {"table": "t", "where": [{"column": "a", "op": "<", "value": None}]},
    ),
    ("remind", '{"at": "2026-11-23", "text": "milk"}', {"at": "2026-11-23", "text": "milk"}),
    ("sum", '{"numbers": [1, 2.5, -3]}', {"numbers": [1, 2.5, -3]}),
    ("page", '{"number": null}', {"number": None}),
    ("page", '{"number": 2}', {"number": 2}),
    ("page", "{}", {}),
    ("tag", '{"id": "7"}', {"id": "7"}),
    ("tag", '{"id": 7, "labels": {"a": {"b": []}}}', {"id": 7, "labels": {"a": {"b": []}}}),
    ("label", '{"labels": {"a": 1}}', {"labels": {"a": 1}}),
]

BADLY_WRITTEN: list[tuple[str, str, dict[str, Any]]] = [
    ("weather", '```json\n{"city": "Paris"}\n```', {"city": "Paris"}),
    ("weather", '```\n{"city": "Paris"}\n```', {"city": "Paris"}),
    ("weather", '{"city": "Paris"}\n\nI will now wait for the result.', {"city": "Paris"}),
    ("weather", '{"city": "Paris"}<|tool_call_end|>', {"city": "Paris"}),
    ("weather", '{"city": "Paris"}}', {"city": "Paris"}),
    ("weather", '{"city": "Paris"} it\'s "done', {"city": "Paris"}),
    ("weather", '{"city": "Paris",}', {"city": "Paris"}),
    ("weather", '{"city": "Paris, {x},}", }', {"city": "Paris, {x},}"}),
    ("weather", '{"city": "Paris"', {"city": "Paris"}),
    ("weather", '"{\\"city\\": \\"Paris\\"}"', {"city": "Paris"}),
    ("weather", '{"city": "Paris", "days": "3"}', {"city": "Paris", "days": 3}),
    ("weather", '```json\n{"city": "Paris", "days": "3",}\n```', {"city": "Paris", "days": 3}),
    ("area", '{"base": "10", "height": "5.0"}', AREA),
    ("area", '{"base": "-1.5e2", "height": 5}', {"base": -150, "height": 5}),
    ("area", '{"base": 10, "height": 5, "is_rounded": "true"}', {**AREA, "is_rounded": True}),
    ("area", '{"base": 10, "height": 5, "is_rounded": "False"}', {**AREA, "is_rounded": False}),
    ("area", '{"base": 10, "height": 5, "is_rounded": true', {**AREA, "is_rounded": True}),
    (
        "route",
        '{"from": "{\\"lat\\": 1, \\"lon\\": 2}", "to": {"lat": "3", "lon": 4}}',
        {"from": {"lat": 1, "lon": 2}, "to": {"lat": 3, "lon": 4}},
    ),
    (
        "route",
        '{"from": {"lat": 1, "lon": 2}, "to": {"lat": 3, "lon": 4}',
        {"from": {"lat": 1, "lon": 2}, "to": {"lat": 3, "lon": 4}},
    ),
    (
        "rows",
        '{"table": "t", "where": "[{\\"column\\": \\"a\\", \\"op\\": \\"=\\", \\"value\\": \\"7\\"}]"}',
        {"table": "t", "where": [{"column": "a", "op": "=", "value": "7"}]},
    ),
    ("rows", '{"table": "t", "where": [], "limit": "20"}', {"table": "t", "where": [], "limit": 20}),
    ("sum", '{"numbers": ["1", "2.5"]}', {"numbers": [1, 2.5]}),
    ("sum", '{"numbers": "[1, 2]"}', {"numbers": [1, 2]}),
    ("sum", '{"numbers": [1, 2,]}', {"numbers": [1, 2]}),
    ("page", '{"number": "2"}', {"number": 2}),
    ("label", '{"labels": {"a": "1"}}', {"labels": {"a": 1}}),
]

# With each, a word that tells the model where to look.
WRONG: list[tuple[str, str, str]] = [
    ("now", '{"x": 1}', "'x'"),
    ("now", "[]", "a list"),
    ("now", "null", "null"),
    ("now", "7", "a number"),
    ("weather", "{}", "'city'"),
    ("weather", "", "'city'"),
    ("weather", '{"city": null}', "city"),
    ("weather", '{"city": 5}', "city"),
    ("weather", '{"city": ["Paris"]}', "city"),
    ("weather", '{"city": "Paris", "unit": "k"}', "unit"),
    ("weather", '{"city": "Paris", "unit": "C"}', "unit"),
    ("weather", '{"city": "Paris", "days": 2.5}', "days"),
    ("weather", '{"city": "Paris", "days": "two"}', "days"),
    ("weather", '{"city": "Paris", "days": "007"}', "days"),
    ("weather", '{"city": "Paris", "days": "1,000"}', "days"),
    ("weather", '{"city": "Paris", "days": "3 days"}', "days"),
    ("weather", '{"city": "Paris", "days": true}', "days"),
    ("weather", '{"town": "Paris"}', "'town'"),
    ("weather", '{"city": "Paris", "town": "Rome"}', "'town'"),
    ("weather", '{"city": "Paris", "city": "Rome"}', "twice"),
    ("weather", "{'city': 'Paris'}", "not JSON"),
    ("weather", "{city: Paris}", "not JSON"),
    ("weather", "Paris", "not JSON"),
    ("weather", 'city="Paris"', "not JSON"),
    ("weather", '{"city": "Par', "not JSON"),
    ("weather", '{"city": ', "not JSON"),
    ("weather", '{"city": "Paris", "days": 1', "not JSON"),
    ("weather", '{"city": "Paris", "days":', "not JSON"),
    ("weather", '{"city": "Paris"}{"city": "Rome"}', "not JSON"),
    ("weather", '{"city": "Paris"}\n{"city": "Rome"}', "not JSON"),
    ("weather", '[{"city": "Paris"}]', "a list"),
    ("weather", '"Paris"', "a text"),
    ("weather", 'Here: {"city": "Paris"}', "not JSON"),
    ("weather", '{"city": "Paris",,}', "not JSON"),
    ("weather", '{"city": "\\ud800"}', "not JSON"),
    ("area", '{"base": NaN, "height": 5}', "not JSON"),
    ("area", '{"base": Infinity, "height": 5}', "not JSON"),
    ("area", '{"base": "NaN", "height": 5}', "base"),
    ("area", '{"base": "0x10", "height": 5}', "base"),
    ("area", '{"base": "", "height": 5}', "base"),
    ("area", '{"base": 1, "height": 5, "is_rounded": "yes"}', "is_rounded"),
    ("area", '{"base": 1, "height": 5, "is_rounded": 1}', "is_rounded"),
    ("search", '{"query": ""}', "query"),
    ("search", '{"query": {"text": "x"}}', "query"),
    ("route", '{"from": {"lat": 1}, "to": {"lat": 1, "lon": 2}}', "from"),
    ("route", '{"from": "here", "to": {"lat": 1, "lon": 2}}', "from"),
    ("route", '{"from": {"lat": 1, "lon": "east"}, "to": {"lat": 1, "lon": 2}}', "from/lon"),
    ("route", '{"from": {"lat": 1, "lon": 2}', "'to'"),
    ("rows", '{"table": "Users; drop"}', "table"),
    ("rows", '{"table": "t", "limit": 0}', "limit"),
    ("rows", '{"table": "t", "limit": 101}', "limit"),
    ("rows", '{"table": "t", "where": [{"column": "a", "op": "~", "value": 1}]}', "where/0/op"),
    ("rows", '{"table": "t", "where": [{"column": "a", "op": "="}]}', "where/0"),
    ("rows", '{"table": "t", "where": [{"column": "a", "op": "=", "value": 1}', "not JSON"),
    ("rows", '{"table": "t", "where": {"column": "a"}}', "where"),
    ("remind", '{"at": "tomorrow", "text": "milk"}', "at"),
    ("remind", '{"at": "2026-13-40", "text": "milk"}', "at"),
    ("sum", '{"numbers": []}', "numbers"),
    ("sum", '{"numbers": [1, "two"]}', "numbers/1"),
    ("sum", '{"numbers": 1}', "numbers"),
    ("sum", '{"numbers": "1, 2"}', "numbers"),
    ("page", '{"number": "last"}', "number"),
    ("tag", '{"id": 1.5}', "id"),
    ("label", '{"labels": {"a": "one"}}', "labels/a"),
]
