"""Whatever a model would like to say, what is bound to a schema is valid: a thousand generated schemas."""

import json
import re
from typing import Any

import jsonschema
import pytest

from inference.bench import schema_set
from inference.schema import JsonSchema, NamedTool, ToolSpec
from inference.tokenizer.marks import SPELLED
from inference.tokenizer.tokenizer import Tokenizer
from tests.inference.constraints import driving

NUM_SCHEMAS = 1000
NUM_ON_A_WHOLE_VOCABULARY = 12


def check(text: str, schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))


def tool(number: int) -> ToolSpec:
    return ToolSpec(name=f"tool-{number}.x", description="", parameters=schema_set.schema(number))


def test_the_set_is_of_many_kinds():
    written = json.dumps([schema_set.schema(number) for number in range(NUM_SCHEMAS)])
    assert len({json.dumps(schema_set.schema(number)) for number in range(NUM_SCHEMAS)}) > 950
    for keyword in ("anyOf", "pattern", "minItems", "multipleOf", "$ref", "additionalProperties", "const"):
        assert written.count(f'"{keyword}"') > 20


@pytest.mark.parametrize("part", range(4))
def test_calls_of_a_thousand_generated_tools_are_valid(tiny_kimi: Tokenizer, part: int):
    for number in range(part, NUM_SCHEMAS, 4):
        tools = (tool(number), ToolSpec(name="other", description="", parameters={}))
        choice = NamedTool(tools[0].name)
        constraint = driving.build(tiny_kimi, tools=tools, tool_choice=choice)
        token_ids, has_ended = driving.sample(constraint, tiny_kimi, seed=number)
        text = driving.text_of(token_ids, tiny_kimi)
        assert has_ended, text
        body = re.fullmatch(
            re.escape(SPELLED.section_begin + SPELLED.call_begin)
            + r"functions\.tool-\d+\.x:\d+"
            + re.escape(SPELLED.argument_begin)
            + "(.*)"
            + re.escape(SPELLED.call_end + SPELLED.section_end),
            text,
            re.DOTALL,
        )
        assert body, text
        check(body[1], tools[0].parameters)


@pytest.mark.parametrize("name", ["qwen2", "kimi"])
def test_answers_are_valid_with_a_whole_vocabulary(request: pytest.FixtureRequest, name: str):
    tokenizer = request.getfixturevalue(name)
    for number in range(NUM_ON_A_WHOLE_VOCABULARY):
        schema = schema_set.schema(number)
        constraint = driving.build(tokenizer, response_format=JsonSchema(schema=schema))
        token_ids, has_ended = driving.sample(constraint, tokenizer, seed=number)
        assert has_ended
        check(driving.text_of(token_ids, tokenizer), schema)


def test_a_model_that_never_comes_to_an_end_is_brought_to_one(qwen2: Tokenizer):
    num_cut = {True: 0, False: 0}
    for number in range(16):
        schema = schema_set.schema(number)
        for is_landed in num_cut:
            constraint = driving.build(
                qwen2, response_format=JsonSchema(schema=schema), max_tokens=400 if is_landed else None
            )
            token_ids, has_ended = driving.sample(constraint, qwen2, seed=number, max_tokens=400, hurry=0)
            num_cut[is_landed] += not has_ended
            if is_landed and has_ended:
                check(driving.text_of(token_ids, qwen2), schema)
    assert num_cut[True] == 0 < num_cut[False]
