"""Kimi K2's marks: every shape that its answers were seen in, in any cut, spelled out or token by token."""

import re
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.parsers.stream import StreamParser
from inference.schema import ChatDelta, ContentDelta, ReasoningDelta, ToolCallDelta, ToolSpec
from inference.tokenizer import marks
from inference.tokenizer.marks import SPELLED, CallStyle, Marks

TOOLS = (
    ToolSpec(
        name="search",
        description="",
        parameters={"type": "object", "properties": {"query": {}, "limit": {}}, "required": ["query"]},
    ),
    ToolSpec(
        name="web.get-page", description="", parameters={"properties": {"url": {}}, "required": ["url"]}
    ),
)
SIGNED, _ = marks.of({spelling: place for place, spelling in enumerate(asdict(SPELLED).values())})
S, E = SPELLED.section_begin, SPELLED.section_end
C, A, D = SPELLED.call_begin, SPELLED.argument_begin, SPELLED.call_end
ARGS = '{"query": "北京 🙂", "limit": 3}'
ONE = ("functions.search:0", "search", ARGS)
PAGE = ("functions.web.get-page:1", "web.get-page", '{"url": "x"}')
CALL = f"{C}functions.search:0{A}{ARGS}{D}"
NEXT = f'{C}functions.web.get-page:1{A}{{"url": "x"}}{D}'
HUGE = '{"query": "' + "x" * 20_000 + '"}'

# text, starts in reasoning, reasoning, content, calls
CASES = {
    "an answer after reasoning": ("<think>hm</think>It is 4.", True, "hm", "It is 4.", []),
    "the opening mark is missing": ("hm</think>It is 4.", True, "hm", "It is 4.", []),
    "a call": (S + CALL + E, False, "", "", [ONE]),
    "a call after content": (f"Let me see. {S}{CALL}{E}", False, "", "Let me see.", [ONE]),
    "a call after reasoning": (f"<think>hm</think>{S}{CALL}{E}", True, "hm", "", [ONE]),
    "two calls": (S + CALL + NEXT + E, False, "", "", [ONE, PAGE]),
    "two sections": (S + CALL + E + S + NEXT + E, False, "", "", [ONE, PAGE]),
    "the section ends the reasoning": (f"<think>hm {S}{CALL}{E}", True, "hm", "", [ONE]),
    "a call inside the reasoning, closed after it": (f"<think>hm{S}{CALL}{E}</think>", True, "hm", "", [ONE]),
    "a call without a section": (f"hm {CALL}", False, "", "hm", [ONE]),
    "a call without a section inside reasoning": (f"hm{CALL}{NEXT}</think>", True, "hm", "", [ONE, PAGE]),
    "a section that was never opened is closed": (f"{CALL}{E}", False, "", "", [ONE]),
    "stray text in the section": (f"{S} I call:\n{CALL} and \n{NEXT} x{E}", False, "", "", [ONE, PAGE]),
    "a section that is not closed": (f"{S}{CALL}", False, "", "", [ONE]),
    "an empty section": (f"<think>a{S}{E}b</think>c", True, "ab", "c", []),
    "talk after the calls": (f"{S}{CALL}{E}\nThe result is 3.", False, "", "", [ONE]),
    "huge arguments": (
        f"{S}{C}functions.search:0{A}{HUGE}{D}{E}", False, "", "", [("functions.search:0", "search", HUGE)]
    ),
    "space around the parts": (
        f"{S}\n{C}\n functions.search:0 \n{A}\n{ARGS}\n {D}\n{E}\n", False, "", "", [ONE]
    ),
    "an id without the prefix": (f"{S}{C}search:0{A}{ARGS}{D}{E}", False, "", "", [ONE]),
    "an id without a number": (
        f"{S}{C}functions.search{A}{ARGS}{D}{E}", False, "", "", [("functions.search:5", "search", ARGS)]
    ),
    "an id that is used twice": (
        f"{S}{CALL}{CALL}{E}", False, "", "", [ONE, ("functions.search:1", "search", ARGS)]
    ),
    "a bare number is known by its arguments": (
        f'{S}{C}7{A}{{"url": "x"}}{D}{E}', False, "", "",
        [("functions.web.get-page:5", "web.get-page", '{"url": "x"}')],
    ),
    "a bare number with arguments that fit no tool": (
        f'{S}{C}7{A}{{"z": 1}}{D}{E}', False, "", "", [("functions.unnamed:5", "unnamed", '{"z": 1}')]
    ),
    "a call without arguments": (
        f"{S}{C}functions.search:0{D}{E}", False, "", "", [("functions.search:0", "search", "{}")]
    ),
    "a call with empty arguments": (
        f"{S}{C}functions.search:0{A} {D}{E}", False, "", "", [("functions.search:0", "search", "{}")]
    ),
    "an incomplete id before the next call": (f"{S}{C}functions.sea{CALL}{E}", False, "", "", [ONE]),
    "a call not closed before the next": (
        f"{S}{C}functions.search:3{A}{{}}{NEXT}{E}", False, "", "",
        [("functions.search:3", "search", "{}"), PAGE],
    ),
    "a call not closed before the section's end": (f"{S}{CALL.removesuffix(D)}{E}", False, "", "", [ONE]),
    "marks of reasoning inside arguments": (
        f'{S}{C}functions.search:0{A}{{"query": "</think>"}}{D}{E}', False, "", "",
        [("functions.search:0", "search", '{"query": "</think>"}')],
    ),
    "a tool that was not offered": (
        f"{S}{C}functions.shell:0{A}{{}}{D}{E}", False, "", "", [("functions.shell:0", "shell", "{}")]
    ),
    "half a mark is text": (f"a {S[:9]} {C[:-1]}", False, "", f"a {S[:9]} {C[:-1]}", []),
    "closing marks in an answer are text": (f"Write {D} there.", False, "", f"Write {D} there.", []),
}  # fmt: skip


def parser(*, thinking: bool, shown: Marks, tools=TOOLS) -> StreamParser:
    return StreamParser(
        starts_in_reasoning=thinking, tools=tools, num_calls_before=5, style=CallStyle.KIMI, marks=shown
    )


def read(pieces, *, thinking=False, shown=SPELLED, tools=TOOLS):
    machine = parser(thinking=thinking, shown=shown, tools=tools)
    deltas: list[ChatDelta] = []
    for piece in pieces:
        if not machine.is_done:
            deltas += machine.feed(piece)
    deltas += machine.finish()
    calls: list[list[str]] = []
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            if delta.name:
                assert delta.index == len(calls)
                calls.append([delta.id, delta.name, ""])
            assert (delta.id, delta.name) in (tuple(calls[-1][:2]), ("", "")), "id and name come whole"
            calls[delta.index][2] += delta.arguments
    order = [(ReasoningDelta, ContentDelta, ToolCallDelta).index(type(delta)) for delta in deltas]
    assert order == sorted(order), "reasoning, then content, then calls"
    reasoning = "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta))
    content = "".join(delta.text for delta in deltas if isinstance(delta, ContentDelta))
    return reasoning, content, [tuple(call) for call in calls]


def signed(text: str) -> str:
    """The text as it looks where each mark is a token."""
    for name, spelling in asdict(SPELLED).items():
        text = text.replace(spelling, getattr(SIGNED, name))
    return text


def cuts(text: str) -> list[list[str]]:
    if len(text) > 2000:
        return [[text], [text[at : at + 997] for at in range(0, len(text), 997)], list(text)]
    halves = [[text[:at], text[at:]] for at in range(len(text) + 1)]
    return [[text], list(text), *halves, *([*re.findall(f"(?s).{{1,{size}}}", text)] for size in (2, 3, 7))]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_cut_of_the_text_parses_alike(case):
    text, thinking, *expected = case
    for pieces in cuts(text):
        assert list(read(pieces, thinking=thinking)) == expected, pieces
    for pieces in cuts(signed(text)):
        assert list(read(pieces, thinking=thinking, shown=SIGNED)) == expected, pieces


def test_where_marks_are_tokens_text_that_spells_one_is_text():
    text = f"Kimi writes {S}{CALL}{E}</think> so."
    assert read(list(text), shown=SIGNED) == ("", text, [])
    assert read(list(f"a </think> b{signed('</think>')}c"), shown=SIGNED, thinking=True)[0] == "a </think> b"


def test_calls_without_offered_tools_are_text():
    assert read([signed(S + CALL + E)], shown=SIGNED, tools=()) == ("", S + CALL + E, [])


def test_arguments_are_passed_on_while_they_are_written():
    machine = parser(thinking=False, shown=SPELLED)
    assert machine.feed(f"{S}{C}functions.search:") == []
    assert machine.feed(f"0{A}") == [ToolCallDelta(index=0, id="functions.search:0", name="search")]
    assert machine.feed('{"query": "a') == [ToolCallDelta(index=0, arguments='{"query": "a')]
    assert machine.feed("b <|tool_") == [ToolCallDelta(index=0, arguments="b")]
    assert machine.feed("x") == [ToolCallDelta(index=0, arguments=" <|tool_x")]
    assert machine.has_open_call
    assert machine.feed(f'"}}{D}') == [ToolCallDelta(index=0, arguments='"}')]
    assert not machine.has_open_call


def test_several_marks_in_one_piece():
    machine = parser(thinking=True, shown=SPELLED)
    deltas = machine.feed(f"<think>hm</think>so{S}{CALL}{NEXT}{E}")
    kinds = [type(delta) for delta in deltas]
    assert kinds == [ReasoningDelta, ContentDelta] + [ToolCallDelta] * 4


def test_an_answer_taken_for_reasoning_can_be_given_again():
    machine = parser(thinking=True, shown=SPELLED)
    assert machine.feed("It is 4.") == [ReasoningDelta("It is 4.")]
    assert machine.finish(repeats_unmarked=True) == [ContentDelta("It is 4.")]
    for text in ("<think>It is 4.", "hm</think>", f"hm{S}{CALL}{E}"):
        machine = parser(thinking=True, shown=SPELLED)
        machine.feed(text)
        assert not [one for one in machine.finish(repeats_unmarked=True) if isinstance(one, ContentDelta)]


PIECES = [
    *asdict(SPELLED).values(),
    "functions.search:0",
    "7",
    "{",
    '"a": 1',
    "}",
    " ",
    "\n",
    "a",
    "<|tool_",
    "<",
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.booleans(), st.randoms())
def test_any_jumble_of_marks_parses_alike_in_any_cut(text, thinking, random):
    for shown, written in ((SPELLED, text), (SIGNED, signed(text))):
        whole = read([written], thinking=thinking, shown=shown)
        places = sorted(random.randint(0, len(written)) for _ in range(5))
        bounds = zip([0, *places], [*places, len(written)], strict=True)
        assert read([written[start:end] for start, end in bounds], thinking=thinking, shown=shown) == whole
        assert read(list(written), thinking=thinking, shown=shown) == whole
        assert not re.search("[\ud800-\udfff]", str(whole)), "no sign is shown"


@pytest.mark.parametrize(
    "written",
    [f"{C}7{A}{'[' * 100_000}{D}", f"{C}functions.search:{'9' * 5000}{A}{ARGS}{D}", f"{C}{A}{ARGS}{D}"],
)
def test_a_call_of_any_shape_is_told_of_and_ends_no_answer(written: str):
    parser = StreamParser(starts_in_reasoning=False, tools=TOOLS, style=CallStyle.KIMI)
    deltas = [*parser.feed(S + written + E), *parser.finish()]
    assert parser.num_calls == 1
    assert all(isinstance(delta, ToolCallDelta) for delta in deltas)
