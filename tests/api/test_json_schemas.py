"""Schemas are taken where the model can be held to them, and refused with the path of the fault otherwise."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.constraints.grammars import check_tool
from inference.schema import ToolSpec
from webapp.api import json_schemas
from webapp.api.errors import ApiError

PLACE = "tools[0].function.parameters"
names = st.text("abcXYZ_0 é", min_size=1, max_size=4)
enums = st.one_of(
    st.lists(st.text(max_size=5), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(-9, 9), min_size=1, max_size=3, unique=True),
)
leaves: st.SearchStrategy[dict[str, object]] = st.one_of(
    st.sampled_from(["null", "boolean", "number", "integer", "string"]).map(lambda kind: {"type": kind}),
    enums.map(lambda values: {"enum": values}),
    st.just({"$ref": "#/$defs/node"}),
    st.just({"type": "string", "description": "what it is", "default": "x"}),
    st.just({}),
)


@st.composite
def objects(draw, inner):
    properties = draw(st.dictionaries(names, inner, max_size=3))
    schema = {"type": "object", "properties": properties}
    if properties:
        schema["required"] = draw(st.lists(st.sampled_from(sorted(properties)), max_size=3, unique=True))
    if (rest := draw(st.one_of(st.none(), st.booleans(), inner))) is not None:
        schema["additionalProperties"] = rest
    return schema


def compound(inner):
    return st.one_of(
        objects(inner),
        inner.map(lambda items: {"type": "array", "items": items}),
        st.lists(inner, min_size=1, max_size=3).map(lambda ways: {"anyOf": ways}),
    )


NODE = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    "required": ["next"],
}
# The whole of MFJS: https://github.com/MoonshotAI/walle/blob/main/docs/mfjs-spec.md
published = objects(st.recursive(leaves, compound, max_leaves=8)).map(
    lambda schema: schema | {"$defs": {"node": NODE}}
)
FAULTS = [
    ("type", "text"),
    ("type", 7),
    ("required", "a"),
    ("required", [1]),
    ("properties", []),
    ("anyOf", []),
    ("anyOf", {}),
    ("enum", 5),
    ("additionalProperties", "no"),
    ("description", 5),
    ("pattern", "("),
    ("$ref", 5),
    ("$ref", "#/$defs/none"),
    ("$ref", "#none"),
    ("$ref", "https://example.com/schema"),
]


def refusal(schema):
    with pytest.raises(ApiError) as refused:
        json_schemas.check(schema, PLACE, is_function=True)
    assert refused.value.status == 400
    assert f"`{refused.value.param}`" in str(refused.value)
    return refused.value


@settings(deadline=None, max_examples=60)
@given(published)
def test_what_is_published_is_taken_and_followed(schema):
    json_schemas.check(schema, PLACE, is_function=True)
    check_tool(ToolSpec(name="f", description="", parameters=schema))


@settings(deadline=None, max_examples=60)
@given(published, st.data())
def test_a_fault_is_refused_with_its_path(schema, data):
    places = [path for path, _one in json_schemas._schemas(schema, ()) if path[:2] != ("$defs", "node")]
    path = data.draw(st.sampled_from(places))
    keyword, value = data.draw(st.sampled_from(FAULTS))
    if path == () and keyword == "properties":
        keyword, value = "type", "array"
    broken = json.loads(json.dumps(schema))  # a copy in which no two places are one object
    one = broken
    for step in path:
        one = one[step]
    one[keyword] = value
    where = PLACE + "".join(json_schemas._step(step) for step in (*path, keyword))
    assert refusal(broken).param.startswith(where[:300])


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": {"a": {"$ref": "#/properties/b"}, "b": {"type": "string"}}},
        {"properties": {"a": {"$ref": "#/definitions/b~1c"}}, "definitions": {"b/c": {"type": "string"}}},
        {"properties": {"a": {"$ref": "#/$defs/b%20c"}}, "$defs": {"b c": True}},
        {"properties": {"a": {"$ref": "#n"}}, "$defs": {"b": {"$anchor": "n"}}},
        {"$id": "https://example.com/f", "properties": {"a": {"$ref": "https://example.com/f#/$defs/b"}}}
        | {"$defs": {"b": {"type": "null"}}},
        {"properties": {"tree": {"type": "array", "items": {"$ref": "#"}}}, "required": ["tree"]},
        {"properties": {"a": {"items": [{"type": "string"}]}}},  # draft 7
        {"properties": {"a": {"type": "number", "minimum": 1, "exclusiveMinimum": True}}},  # draft 4
        {"properties": {"$ref": {"type": "string"}, "type": {"type": "string"}}},
        {"properties": {"a": {"enum": [{"$ref": "nowhere"}], "default": {"type": "text"}}}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": ["object"]},
    ],
)
def test_other_ways_of_writing_are_taken(schema):
    json_schemas.check(schema, PLACE, is_function=True)


LOOP = {"type": "object", "properties": {"b": {"$ref": "#/$defs/b"}}, "required": ["b"]}


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "string"}, ".type"),
        ({"type": ["object", "null"]}, ".type"),
        ({"properties": {"a b": {"type": "x"}}}, '.properties["a b"].type'),
        ({"properties": {"a": {"anyOf": [{}, {"type": "x"}]}}}, ".properties.a.anyOf[1].type"),
        (
            {"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"$ref": "#/$defs/b"}}},
            ".properties.a.$ref",
        ),
        (LOOP | {"$defs": {"b": LOOP}}, ".properties.b.$ref"),
        (LOOP | {"$defs": {"b": {"type": "array", "items": LOOP, "minItems": 1}}}, ".properties.b.$ref"),
    ],
)
def test_the_path_leads_to_the_fault(schema, path):
    assert refusal(schema).param == PLACE + path


def test_a_great_schema_is_read_in_the_time_of_its_length():
    schema = {"properties": {f"p{i}": {"$ref": f"#/$defs/d{i}"} for i in range(5_000)}}
    schema["$defs"] = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(4_999)} | {"d4999": {}}
    json_schemas.check(schema, PLACE, is_function=True)
