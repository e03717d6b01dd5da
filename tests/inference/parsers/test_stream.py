"""The stream parser gives the same deltas however its text is cut."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.parsers import reasoning, tool_calls
from inference.parsers.stream import StreamParser
from inference.schema import ChatDelta, ContentDelta, ReasoningDelta, ToolCallDelta, ToolSpec

TOOLS = tuple(ToolSpec(name=name, description="", parameters={}) for name in ("calculator", "get_weather"))
CALL = '<tool_call>\n{"name": "calculator", "arguments": {"expression": "17*23"}}\n</tool_call>'
FENCED = '```json\n{\n  "name": "calculator",\n  "arguments": {"expression": "17*23"}\n}\n```'
SUM = ("calculator", '{"expression": "17*23"}')


@dataclass
class Parsed:
    reasoning: str
    content: str
    calls: list[tuple[str, str]]
    ids: list[str]


def parse(pieces, *, thinking=False, tools=TOOLS, stop=(), num_calls_before=0) -> Parsed:
    parser = StreamParser(
        starts_in_reasoning=thinking, tools=tools, stop=stop, num_calls_before=num_calls_before
    )
    deltas: list[ChatDelta] = []
    for piece in pieces:
        if not parser.is_done:
            deltas += parser.feed(piece)
    deltas += parser.finish()
    calls = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert [delta.index for delta in calls] == list(range(len(calls)))
    order = [(ReasoningDelta, ContentDelta, ToolCallDelta).index(type(delta)) for delta in deltas]
    assert order == sorted(order), "reasoning, then content, then calls"
    return Parsed(
        reasoning="".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta)),
        content="".join(delta.text for delta in deltas if isinstance(delta, ContentDelta)),
        calls=[(delta.name, delta.arguments) for delta in calls],
        ids=[delta.id for delta in calls],
    )


BARE = '{"name": "calculator", "arguments": {"expression": "17*23"}}'
OTHER_BARE = '{"name": "shell", "arguments": {}}'
BROKEN = "<tool_call>{'name'}</tool_call> x"
OTHER_JSON = '```json\n{"names": ["a"]}\n```'
HALF_CALL = '```json\n{"name": "calculator", "age": \n```\nb'
CODE = "```python\nprint({})\n```\nDone."

# text, starts in reasoning, reasoning, content, calls
CASES = {
    "an answer": ("It is 4.", False, "", "It is 4.", []),
    "space inside and at the end is the answer's own": (" a  b\n\n", False, "", "a  b\n\n", []),
    "reasoning that was led into": ("two and\n\ntwo\n</think>\n\n4", True, "two and\n\ntwo", "4", []),
    "reasoning that the model opens": ("<think>\nhm\n</think>\n4", False, "hm", "4", []),
    "reasoning that never ends": ("two and two ", True, "two and two", "", []),
    "empty reasoning": ("\n</think>\n\n4", True, "", "4", []),
    "a think mark later on is text": ("Say <think> aloud.", False, "", "Say <think> aloud.", []),
    "half a mark is text": ("a </thin b <tool_cal", False, "", "a </thin b <tool_cal", []),
    "a call": (CALL, False, "", "", [SUM]),
    "a call after content": (f"Let me see.\n{CALL}\n", False, "", "Let me see.", [SUM]),
    "a call after reasoning": (f"sum\n</think>\n\n{CALL}", True, "sum", "", [SUM]),
    "a call inside reasoning": (f"sum\n{CALL}\n</think>\n", True, "sum", "", [SUM]),
    "a fenced call inside reasoning": (f"sum\n{FENCED}\n</think>", True, "sum", "", [SUM]),
    "code inside reasoning": (f"{CODE}\n</think>4", True, CODE, "4", []),
    "a broken call inside reasoning is reasoning": (
        "a <tool_call>b</tool_call> c</think>d", True, "a <tool_call>b</tool_call> c", "d", []
    ),
    "two calls": (CALL + "\n" + CALL, False, "", "", [SUM, SUM]),
    "two calls in one mark": (CALL.replace("}}\n<", '}}\n{"name": "b"}<'), False, "", "", [SUM, ("b", "{}")]),
    "a call in doubled braces": (CALL.replace("{", "{{", 1).replace("}}\n", "}}}\n"), False, "", "", [SUM]),
    "a call that is not closed": (CALL.removesuffix("</tool_call>"), False, "", "", [SUM]),
    "a call not closed before the next": (CALL[:-12] + CALL, False, "", "", [SUM, SUM]),
    "a fenced call inside the marks": (f"<tool_call>\n{FENCED}\n</tool_call>", False, "", "", [SUM]),
    "broken JSON stays text": (BROKEN, False, "", BROKEN, []),
    "a fenced call": (f"Sure:\n\n{FENCED}\n", False, "", "Sure:", [SUM]),
    "a fenced call without a language": (FENCED.replace("json", ""), False, "", "", [SUM]),
    "a fenced call without a language or lines": (
        '``` {{"name": "calculator", "arguments": {"expression": "17*23"}}}', False, "", "", [SUM]
    ),
    "a fenced call that is not closed": (FENCED.removesuffix("```"), False, "", "", [SUM]),
    "a fenced list of calls": (
        '```json\n[{"name": "calculator", "arguments": {}}, {"name": "get_weather"}]\n```',
        False, "", "", [("calculator", "{}"), ("get_weather", "{}")],
    ),
    "a fence inside an argument": (
        '```json\n{"name": "calculator", "arguments": {"a": "```x```"}}\n```', False, "", "",
        [("calculator", '{"a": "```x```"}')],
    ),
    "a fenced call of a tool that was not offered": (
        FENCED.replace("calculator", "shell"), False, "", FENCED.replace("calculator", "shell"), []
    ),
    "a fenced block of other JSON": (OTHER_JSON, False, "", OTHER_JSON, []),
    "a fenced block that only starts like a call": (HALF_CALL, False, "", HALF_CALL, []),
    "a bare call": (BARE, False, "", "", [SUM]),
    "a bare call in doubled braces": (BARE.replace("{", "{{", 1) + "}", False, "", "", [SUM]),
    "a bare call after content": (f"I compute:\n\n{BARE}\n", False, "", "I compute:", [SUM]),
    "a bare call after reasoning": (f"hm</think>\n{BARE}\n\nIt is 391.", True, "hm", "", [SUM]),
    "a bare call of a tool that was not offered": (OTHER_BARE, False, "", OTHER_BARE, []),
    "braces in the answer": ("{a} is {\n{}}\n{", False, "", "{a} is {\n{}}\n{", []),
    "a bare call within a line is text": (f"Write {BARE}.", False, "", f"Write {BARE}.", []),
    "a block of code": (CODE, False, "", CODE, []),
    "code between ticks": ("Use ```x``` or `y`.", False, "", "Use ```x``` or `y`.", []),
    "talk after a call is dropped": (f"{CALL}\nThe result is 391.", False, "", "", [SUM]),
    "arguments in Chinese": (
        '<tool_call>{"name": "get_weather", "arguments": {"city": "北京"}}</tool_call>', False, "", "",
        [("get_weather", '{"city": "北京"}')],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_cut_of_the_text_parses_alike(case):
    text, thinking, *expected = case
    cuts = [[text], list(text)] + [[text[:at], text[at:]] for at in range(len(text) + 1)]
    cuts += [[text[at : at + size] for at in range(0, len(text), size)] for size in (2, 3, 5, 7)]
    for pieces in cuts:
        parsed = parse(pieces, thinking=thinking)
        assert [parsed.reasoning, parsed.content, parsed.calls] == expected, pieces


MARKS = [
    "{",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "```",
    "```json\n",
    '{"name": "calculator"',
    "}",
    "\n",
    " ",
    "a",
]


@given(st.lists(st.sampled_from(MARKS), max_size=12).map("".join), st.booleans(), st.randoms())
def test_any_jumble_of_marks_parses_alike_in_any_cut(text, thinking, random):
    whole = parse([text], thinking=thinking)
    cuts = sorted(random.randint(0, len(text)) for _ in range(5))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert parse(pieces, thinking=thinking) == whole
    assert parse(list(text), thinking=thinking) == whole


@given(st.text(alphabet="<>/thinkol_ca`{}\n x", max_size=40))
def test_without_tools_nothing_of_an_answer_is_lost(text):
    assert parse(list("ok " + text), tools=()).content == "ok " + text


def test_calls_are_numbered_over_the_conversation():
    assert parse([CALL + CALL], num_calls_before=3).ids == [
        "functions.calculator:3",
        "functions.calculator:4",
    ]


def test_a_call_without_offered_tools_is_text():
    assert parse([CALL], tools=()).content == CALL


@pytest.mark.parametrize("text", ["one STOP two", "one STOP", "oneSTOPSTOP"])
def test_the_answer_ends_before_a_stop_string(text):
    for at in range(len(text)):
        assert parse([text[:at], text[at:]], stop=("STOP", "never")).content.strip() == "one"


def test_stop_strings_do_not_cut_reasoning_and_half_of_one_is_kept():
    parsed = parse(list("a STOP b</think>cSTO"), thinking=True, stop=("STOP",))
    assert (parsed.reasoning, parsed.content) == ("a STOP b", "cSTO")


def test_the_prompt_tells_where_the_text_starts():
    assert reasoning.is_open("<|im_start|>assistant\n<think>\n")
    assert not reasoning.is_open("<think>\n</think>\n<|im_start|>assistant\n")


def test_nothing_of_a_call_in_doubled_braces_is_left_over():
    doubled = BARE.replace("{", "{{", 1) + "}"
    for at in range(len(doubled)):
        machine = StreamParser(starts_in_reasoning=False, tools=TOOLS, answered=[tool_calls.as_written(*SUM)])
        deltas = machine.feed(doubled[:at]) + machine.feed(doubled[at:]) + machine.finish()
        assert deltas == [], "the call was answered, and its last brace is part of it"


@pytest.mark.parametrize("opening", ["<tool_call>", '```json\n{"name": "calculator", "arguments": '])
def test_a_call_nested_without_end_is_text(opening: str):
    text = opening + "[" * 100_000
    assert parse([text]).content == text
