"""An answer is free until it calls a tool; the call is bound to the tools at hand."""

import pytest

from inference.constraints import building
from inference.constraints.building import Constraint
from inference.schema import ToolSpec
from inference.tokenizer.tokenizer import Tokenizer
from tests.inference.constraints import driving

TOOLS = (
    ToolSpec(
        name="search",
        description="",
        parameters={
            "type": "object",
            "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}},
            "required": ["query"],
            "additionalProperties": False,
        },
    ),
    ToolSpec(name="calculate", description="", parameters={"properties": {"expression": {"type": "string"}}}),
)


def lazy(tokenizer: Tokenizer) -> Constraint:
    return driving.build(tokenizer, tools=TOOLS)


def is_free(constraint: Constraint) -> bool:
    return constraint.mask() is None and constraint.forced() == []


def may_say(constraint: Constraint, tokenizer: Tokenizer, text: str) -> bool:
    """Whether the text may come next; said, if it may."""
    try:
        driving.say(constraint, tokenizer, tokenizer.encode_trusted(text))
    except AssertionError:
        return False
    return True


def test_without_tools_or_a_format_nothing_is_bound(tiny_kimi: Tokenizer):
    assert building.build(tiny_kimi) is None


def test_kimis_calls_are_bound_from_their_marks_on(tiny_kimi: Tokenizer):
    constraint = lazy(tiny_kimi)
    driving.say(constraint, tiny_kimi, tiny_kimi.encode_trusted('<think>I search.</think>{"name": "shell"}'))
    assert is_free(constraint)
    driving.say(constraint, tiny_kimi, tiny_kimi.encode_trusted("<|tool_calls_section_begin|>"))
    call_begin = tiny_kimi.encode_trusted("<|tool_call_begin|>functions.")
    assert constraint.forced() == call_begin, "that much is certain"
    driving.say(constraint, tiny_kimi, call_begin)
    names = driving.allowed(constraint, tiny_kimi)
    assert names == {ord("s"), ord("c")}, "of the offered tools only"
    driving.say(constraint, tiny_kimi, tiny_kimi.encode("search:0"))
    driving.say(constraint, tiny_kimi, tiny_kimi.encode_trusted("<|tool_call_argument_begin|>"))
    driving.say(constraint, tiny_kimi, tiny_kimi.encode('{"'))
    assert constraint.forced()[:1] == [ord("q")], "by the tool's own schema"
    rest = 'query": "x"}<|tool_call_end|><|tool_calls_section_end|>'
    driving.say(constraint, tiny_kimi, tiny_kimi.encode_trusted(rest))
    assert constraint.is_finished, "the results are waited for"


def test_a_call_without_a_section_frees_the_text_behind_it(tiny_kimi: Tokenizer):
    constraint = lazy(tiny_kimi)
    call = "<|tool_call_begin|>functions.calculate:3<|tool_call_argument_begin|>{}<|tool_call_end|>"
    driving.say(constraint, tiny_kimi, tiny_kimi.encode_trusted(call))
    assert is_free(constraint)
    assert not constraint.is_finished


def test_text_that_spells_kimis_marks_stays_free(tiny_kimi: Tokenizer):
    constraint = lazy(tiny_kimi)
    driving.say(constraint, tiny_kimi, tiny_kimi.encode("<|tool_calls_section_begin|><|tool_call_begin|>"))
    assert is_free(constraint)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ('<tool_call>\n{"name": "search"', "}\n</tool_call>"),
        ('I search:\n\n```json\n{"name": "search"', "}\n```"),
        ('```\n{\n  "name": "search"', "\n}\n```"),
        ('{"name": "search"', "}"),
        ('Well.\n{{"name": "search"', "}}"),
    ],
)
def test_calls_in_json_are_bound_however_they_begin(qwen2: Tokenizer, opening: str, closing: str):
    constraint = lazy(qwen2)
    driving.say(constraint, qwen2, qwen2.encode_trusted(opening))
    assert not may_say(constraint, qwen2, ', "arguments": ["x"]')
    constraint = lazy(qwen2)
    assert may_say(constraint, qwen2, opening + ', "arguments": {"query": "x", "limit": 3}')
    assert not is_free(constraint)
    assert may_say(constraint, qwen2, closing)
    assert is_free(constraint)


def test_only_offered_tools_are_called_after_the_mark_and_other_json_is_free(qwen2: Tokenizer):
    constraint = lazy(qwen2)
    assert not may_say(constraint, qwen2, '<tool_call>\n{"name": "shell"')
    constraint = lazy(qwen2)
    assert may_say(constraint, qwen2, '```json\n{"name": "Bob", "age": 3}\n```\nSay {"name": "search", 3}.')
    assert is_free(constraint)


def test_a_spelled_out_mark_binds_too(qwen2: Tokenizer):
    constraint = lazy(qwen2)
    driving.say(constraint, qwen2, qwen2.encode('<tool_call>\n{"'))
    assert not is_free(constraint)
    assert not may_say(constraint, qwen2, 'naked": 1')


def test_a_call_that_something_else_broke_into_is_free_again(qwen2: Tokenizer):
    constraint = lazy(qwen2)
    driving.say(constraint, qwen2, qwen2.encode_trusted('<tool_call>\n{"name": "'))
    constraint.accept(qwen2.encode("\n</think>\n\n"))
    assert is_free(constraint)
    assert not constraint.is_finished
