"""The bounds that a schema leaves unsaid."""

import pytest

from inference.constraints.bounds import bounded
from inference.schema import JsonSchema
from inference.tokenizer.tokenizer import Tokenizer
from tests.inference.constraints import driving

LARGEST = 2**53 - 1


def test_integers_keep_to_what_every_reader_holds_exactly():
    assert bounded({"type": "integer"}) == {"type": "integer", "minimum": -LARGEST, "maximum": LARGEST}
    assert bounded({"type": ["integer", "null"], "minimum": 3})["maximum"] == LARGEST
    assert bounded({"type": "integer", "minimum": 2**60}) == {"type": "integer", "minimum": 2**60}


def test_strings_of_a_format_have_a_length():
    assert bounded({"type": "string", "format": "email"})["maxLength"] == 254
    assert bounded({"type": "string", "format": "uri", "maxLength": 9})["maxLength"] == 9
    assert "maxLength" not in bounded({"type": "string"})


def test_a_bound_that_excludes_a_float_includes_one_a_little_within():
    schema = bounded({"type": "number", "exclusiveMaximum": 32.769999999999996, "exclusiveMinimum": 0.1})
    assert 32.7699999 < schema["maximum"] < 32.769999999999996
    assert 0.1 < schema["minimum"] < 0.10000001
    assert bounded({"type": "number", "exclusiveMaximum": 0.5, "maximum": 0.2})["maximum"] == 0.2


@pytest.mark.parametrize("text", ["96.03", "96.0299999999999999", "96.030"])
def test_no_number_is_written_that_would_be_read_as_an_excluded_bound(tiny_kimi: Tokenizer, text: str):
    schema = {"type": "number", "minimum": 1.03, "exclusiveMaximum": 96.03}
    constraint = driving.build(tiny_kimi, response_format=JsonSchema(schema=schema))
    with pytest.raises(AssertionError):
        driving.say(constraint, tiny_kimi, [*tiny_kimi.encode(text), min(tiny_kimi.stop_ids)])


def test_schemas_within_are_bounded_and_names_and_values_are_left_alone():
    inner = {"type": "integer"}
    schema = {
        "properties": {"type": inner, "format": {"anyOf": [inner, {"const": {"type": "integer"}}]}},
        "items": [inner],
        "additionalProperties": False,
        "$defs": {"x": {"type": "array", "items": inner}},
    }
    result = bounded(schema)
    limits = {"type": "integer", "minimum": -LARGEST, "maximum": LARGEST}
    assert result["properties"]["type"] == result["items"][0] == result["$defs"]["x"]["items"] == limits
    assert result["properties"]["format"]["anyOf"] == [limits, {"const": {"type": "integer"}}]
    assert result["additionalProperties"] is False
    assert schema["items"] == [{"type": "integer"}]
