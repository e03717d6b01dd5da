"""An answer is bound from its first token to its last; its reasoning before it is free."""

import pytest

from inference.constraints.bound import FreeReasoning
from inference.constraints.compiling import BadGrammar
from inference.schema import Grammar, JsonObject, JsonSchema, NamedTool, Regex, ToolSpec
from inference.tokenizer.marks import CallStyle
from inference.tokenizer.tokenizer import Tokenizer
from tests.inference.constraints import driving
from tests.inference.constraints.test_lazy import TOOLS, is_free, may_say

POINT = JsonSchema(schema={"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]})
ANY = tuple(ToolSpec(name=name, description="", parameters={}) for name in ("search", "calculate"))


def reasoning(tokenizer: Tokenizer, **changes) -> FreeReasoning:
    facts = {"close": "</think>", "closing_ids": tokenizer.encode_trusted("</think>")}
    return FreeReasoning(**(facts | changes))


def test_an_answer_is_of_its_schema_and_then_ends(tiny_kimi: Tokenizer):
    constraint = driving.build(tiny_kimi, response_format=POINT)
    assert not may_say(constraint, tiny_kimi, "Sure")
    constraint = driving.build(tiny_kimi, response_format=POINT)
    assert may_say(constraint, tiny_kimi, '{"x": 12')
    assert not driving.allowed(constraint, tiny_kimi) & tiny_kimi.stop_ids, "not before it is whole"
    assert may_say(constraint, tiny_kimi, "}")
    assert constraint.is_finished


@pytest.mark.parametrize(
    ("response_format", "good", "bad"),
    [
        (JsonObject(), '{"a": [1, null]}', "[]"),
        (Regex("[0-9]{3}-[a-z]+"), "123-ab", "12-ab"),
        (Grammar(source='start: "x" /[0-9]+/ "y"'), "x12y", "xy"),
        (Grammar(source='root ::= "x" [0-9]+ "y"', syntax="gbnf"), "x12y", "xy"),
    ],
)
def test_every_kind_of_format_is_kept(tiny_kimi: Tokenizer, response_format, good: str, bad: str):
    constraint = driving.build(tiny_kimi, response_format=response_format)
    assert may_say(constraint, tiny_kimi, good)
    assert constraint.is_finished or driving.allowed(constraint, tiny_kimi) & tiny_kimi.stop_ids
    assert not may_say(driving.build(tiny_kimi, response_format=response_format), tiny_kimi, bad)


def test_where_a_grammar_may_end_every_stop_token_may_come(tiny_kimi: Tokenizer):
    constraint = driving.build(tiny_kimi, response_format=Regex("a+"))
    driving.say(constraint, tiny_kimi, tiny_kimi.encode("a"))
    assert driving.allowed(constraint, tiny_kimi) == {ord("a")} | tiny_kimi.stop_ids


def test_reasoning_is_free_but_cannot_be_the_end(tiny_kimi: Tokenizer):
    constraint = driving.build(tiny_kimi, response_format=POINT, reasoning=reasoning(tiny_kimi))
    assert may_say(constraint, tiny_kimi, "Hm, </ think> {")
    assert driving.allowed(constraint, tiny_kimi) == set(range(tiny_kimi.num_tokens)) - tiny_kimi.stop_ids
    driving.say(constraint, tiny_kimi, tiny_kimi.encode("</think>"))
    assert may_say(constraint, tiny_kimi, "spelled out it is text"), "for there is a token for it"
    assert may_say(constraint, tiny_kimi, '</think>\n\n{"x": 1}')
    assert constraint.is_finished


def test_reasoning_that_the_prompt_did_not_open_is_opened(tiny_kimi: Tokenizer):
    opening = tiny_kimi.encode_trusted("<think>")
    constraint = driving.build(
        tiny_kimi, response_format=POINT, reasoning=reasoning(tiny_kimi, opening_ids=opening)
    )
    assert constraint.forced() == opening
    assert may_say(constraint, tiny_kimi, '<think>hm</think>{"x": 1}')


def test_a_spent_budget_closes_the_reasoning(qwen2: Tokenizer):
    closing = qwen2.encode("\n</think>\n\n")
    before = reasoning(qwen2, closing_ids=closing, budget_tokens=5, may_stop=True)
    constraint = driving.build(qwen2, response_format=POINT, reasoning=before)
    driving.say(constraint, qwen2, qwen2.encode(" one two three four"))
    assert is_free(constraint)
    driving.say(constraint, qwen2, qwen2.encode(" five"))
    assert constraint.forced() == closing
    constraint.accept(closing)
    assert may_say(constraint, qwen2, '{"x": 1}')
    assert constraint.is_finished


def test_what_shares_a_token_with_the_closing_mark_is_bound(qwen2: Tokenizer):
    before = reasoning(qwen2, closing_ids=[], may_stop=True)
    constraint = driving.build(qwen2, response_format=POINT, reasoning=before)
    text = 'hm</think>{"x": 1}'
    assert may_say(constraint, qwen2, text)
    assert constraint.is_finished


@pytest.mark.parametrize("name", ["tiny_kimi", "qwen2"])
def test_a_forced_call_is_of_an_offered_tool(request: pytest.FixtureRequest, name: str):
    tokenizer = request.getfixturevalue(name)
    if tokenizer.call_style is CallStyle.KIMI:
        begin, end = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
        one = "<|tool_call_begin|>functions.{}:0<|tool_call_argument_begin|>{{}}<|tool_call_end|>"
    else:
        begin, end, one = "", "", '<tool_call>\n{{"name": "{}", "arguments": {{}}}}\n</tool_call>'
    constraint = driving.build(tokenizer, tools=ANY, tool_choice="required")
    several = begin + one.format("search") + one.format("calculate") + end
    assert may_say(constraint, tokenizer, several) is (tokenizer.call_style is CallStyle.KIMI)
    constraint = driving.build(tokenizer, tools=ANY, tool_choice="required")
    assert not may_say(constraint, tokenizer, "Sure")
    constraint = driving.build(tokenizer, tools=ANY, tool_choice=NamedTool("calculate"))
    assert not may_say(constraint, tokenizer, begin + one.format("search")), "the named one only"
    constraint = driving.build(tokenizer, tools=ANY, tool_choice=NamedTool("search"))
    assert may_say(constraint, tokenizer, begin + one.format("search") + end)
    assert constraint.is_finished


def test_a_forced_call_may_come_before_the_reasoning_is_closed(tiny_kimi: Tokenizer):
    section = tiny_kimi.added["<|tool_calls_section_begin|>"]
    before = reasoning(tiny_kimi, begins_at=frozenset({section}))
    constraint = driving.build(tiny_kimi, tools=TOOLS, tool_choice="required", reasoning=before)
    driving.say(constraint, tiny_kimi, tiny_kimi.encode_trusted("hm<|tool_calls_section_begin|>"))
    assert constraint.forced()[:1] == tiny_kimi.encode_trusted("<|tool_call_begin|>")


def test_with_a_format_tools_may_still_be_called(tiny_kimi: Tokenizer):
    for text in ('{"x": 1}', "<|tool_calls_section_begin|><|tool_call_begin|>functions.search:0"):
        constraint = driving.build(tiny_kimi, tools=TOOLS, response_format=POINT)
        assert may_say(constraint, tiny_kimi, text)


REMOTE = ToolSpec(name="far", description="", parameters={"properties": {"a": {"$ref": "http://x/y"}}})
RARE = ToolSpec(name="rare", description="", parameters={"properties": {"a": {"not": {"type": "null"}}}})


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"response_format": JsonSchema(schema={"type": "thing"})}, "thing"),
        ({"response_format": JsonSchema(schema={"not": {"type": "null"}})}, "not"),
        ({"response_format": JsonSchema(schema={"$ref": "#/$defs/gone"})}, "gone"),
        ({"response_format": Regex("a(b")}, "regex"),
        ({"response_format": Grammar(source="start: gone")}, "gone"),
        ({"response_format": Grammar(source="root ::= (", syntax="gbnf")}, "GBNF"),
        ({"tools": (REMOTE,)}, "'far'"),
        ({"tools": TOOLS, "tool_choice": NamedTool("shell")}, "'shell'"),
        ({"tool_choice": "required"}, "no tool"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_a_reason(tiny_kimi: Tokenizer, asked, reason: str):
    with pytest.raises(BadGrammar, match=reason):
        driving.build(tiny_kimi, **asked)


def test_a_rare_keyword_does_not_keep_a_tool_from_being_offered(tiny_kimi: Tokenizer):
    constraint = driving.build(tiny_kimi, tools=(RARE,), tool_choice="required")
    token_ids, has_ended = driving.sample(constraint, tiny_kimi, seed=1)
    assert has_ended
    assert "functions.rare:" in driving.text_of(token_ids, tiny_kimi)


def test_a_broken_answer_ends_with_its_fault(tiny_kimi: Tokenizer):
    constraint = driving.build(tiny_kimi, response_format=POINT)
    constraint.accept(tiny_kimi.encode("no"))
    assert constraint.is_finished
    assert constraint.fault
    assert driving.allowed(constraint, tiny_kimi) == tiny_kimi.stop_ids


CHAIN = 5000  # definitions one behind the other: the compiler's stack outgrows that of a thread


def test_a_chain_of_definitions_is_followed_and_does_not_end_the_process(tiny_kimi: Tokenizer):
    links = {f"d{place}": {"$ref": f"#/$defs/d{place + 1}"} for place in range(CHAIN)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**links, f"d{CHAIN}": {"const": 7}}}
    rules = [f"r{place:x}:r{place + 1:x}" for place in range(CHAIN // 2)]
    grammar = Grammar(source="\n".join(["start: r0", *rules, f'r{CHAIN // 2:x}: "7"']))
    for chained in (JsonSchema(schema=schema), grammar):
        constraint = driving.build(tiny_kimi, response_format=chained)
        assert may_say(constraint, tiny_kimi, "7")
        assert constraint.is_finished


@pytest.mark.parametrize(
    ("response_format", "words"),
    [
        (Grammar(source="start: " + " | ".join(f'"w{place}"' for place in range(30_000))), "characters long"),
        (JsonSchema(schema={"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}), "bound to this"),
    ],
)
def test_what_costs_too_much_or_nothing_can_begin_is_refused(
    tiny_kimi: Tokenizer, response_format, words: str
):
    with pytest.raises(BadGrammar, match=words):
        driving.build(tiny_kimi, response_format=response_format)


def test_only_json_is_hurried_to_its_end(tiny_kimi: Tokenizer):
    text = JsonSchema(schema={"type": "string"})
    for response_format, is_hurried in ((text, True), (Regex('"[a-z"]*'), False)):
        constraint = driving.build(tiny_kimi, response_format=response_format, max_tokens=12)
        driving.say(constraint, tiny_kimi, tiny_kimi.encode('"abcde'))
        assert (ord("z") in driving.allowed(constraint, tiny_kimi)) is not is_hurried


def test_a_token_beyond_the_vocabulary_says_nothing(tiny_kimi: Tokenizer):
    # A model may have more rows of logits than its vocabulary has tokens.
    beyond = tiny_kimi.num_tokens + 3
    lazy = driving.build(tiny_kimi, tools=ANY)
    lazy.accept([beyond])
    assert is_free(lazy)
    bound = driving.build(tiny_kimi, response_format=POINT, reasoning=reasoning(tiny_kimi, close="</done>"))
    bound.accept([beyond])
    assert not bound.fault
    assert tiny_kimi.shown_bytes(beyond) == b""
