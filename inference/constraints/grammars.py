"""What answers and calls are bound to, as text for llguidance: grammars in its Lark dialect."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llguidance import LLMatcher
from llguidance.gbnf_to_lark import any_to_lark

from inference.constraints import compiling
from inference.constraints.bounds import bounded
from inference.constraints.compiling import BadGrammar
from inference.schema import Grammar, JsonObject, JsonSchema, Regex, ResponseFormat, ToolSpec
from inference.tokenizer import marks
from inference.tokenizer.marks import SPELLED, CallStyle

# Space in JSON: none, one blank, or a new line with its indent. Without a bound a model can go on for ever.
_SPACE = r"\n {0,24}| "
_WS = r"WS: /\n[ ]{0,24}|[ ]/"
# Between the reasoning and what is bound.
_GAP = r"GAP: /[ \n]{1,4}/"
_MOST_WORDS = 300
# OpenAI's json_object is an object of any shape.
_ANY_OBJECT = {"type": "object"}


def of_format(response_format: ResponseFormat) -> dict[str, Any]:
    """The grammar of a whole answer, as one entry of llguidance's list. Raises BadGrammar.

    A schema with a keyword that cannot be followed is refused: what was asked for is exactly this schema.
    """
    if isinstance(response_format, JsonObject):
        return {"json_schema": _followed(_ANY_OBJECT)}
    if isinstance(response_format, JsonSchema):
        return {"json_schema": _followed(response_format.schema)}
    if isinstance(response_format, Regex):
        source = LLMatcher.grammar_from_regex(response_format.pattern)
        return dict(json.loads(source)["grammars"][0])
    return {"lark_grammar": _lark(response_format)}


def of_call(tools: Sequence[ToolSpec], style: CallStyle, added: Mapping[str, int]) -> str:
    """A call after its opening mark, up to and with its closing mark."""
    return "\n".join([f"start: {_after_open(tools, style, added)}", *_rules(tools, style, added)])


def of_section(tools: Sequence[ToolSpec], added: Mapping[str, int]) -> str:
    """Kimi's calls after the mark that opens the section, up to and with the mark that closes it."""
    one = f"{_token(SPELLED.call_begin, added)} {_after_open(tools, CallStyle.KIMI, added)}"
    end = _token(SPELLED.section_end, added)
    return "\n".join([f"start: call+ {end}", f"call: {one}", *_rules(tools, CallStyle.KIMI, added)])


def of_named_call(tool: ToolSpec, *, num_braces: int, is_fenced: bool) -> str:
    """A bare or fenced call in JSON after the value of its "name", up to and with its last brace or fence.

    Small models double the braces, as the template of Qwen 2.5 shows them.
    """
    ends = ["}"] * num_braces + ["```"] * is_fenced
    closing = " ".join(f"WS? {json.dumps(end)}" for end in ends)
    return f"start: {_MIDDLE} {_arguments(tool)} {closing}\n{_WS}"


def whole(
    *,
    response_format: ResponseFormat | None,
    tools: Sequence[ToolSpec],
    has_one_call: bool,
    style: CallStyle,
    added: Mapping[str, int],
    follows_reasoning: bool,
) -> str:
    """The whole answer: of the format, or calls of the tools, whichever of them there are.

    Raises BadGrammar. Calls are one or more, or with `has_one_call` exactly one.
    """
    ways = []
    grammars: list[dict[str, Any]] = []
    rules = [_GAP]
    if response_format is not None:
        ways.append("@answer")
        grammars.append({**of_format(response_format), "name": "answer"})
    if tools:
        ways.append("calls")
        rules += _whole_calls(tools, style, added, has_one_call=has_one_call)
    gap = "GAP? " if follows_reasoning else ""
    top = "\n".join([f"start: {gap}({' | '.join(ways)})", *rules])
    return json.dumps({"grammars": [{"lark_grammar": top}, *grammars]})


def check_tool(tool: ToolSpec) -> None:
    """Raises BadGrammar for parameters that are no JSON schema, or one that points elsewhere.

    Keywords that cannot be followed are let go (`jsonschema` checks them before the tool runs), and oneOf is
    followed as anyOf: a rare keyword must not keep a tool from being offered.
    """
    source = LLMatcher.grammar_from_lark(f"start: {_arguments(tool)}")
    is_error, words = compiling.run(LLMatcher.validate_grammar_with_warnings, source)
    if is_error:
        raise BadGrammar(
            f"The parameters of the tool {tool.name!r} cannot be followed: {first_line(words[0])}"
        )


def first_line(error: str) -> str:
    """llguidance's words without its picture of the place, nor all of a long pattern."""
    return error.strip().splitlines()[0][:_MOST_WORDS]


# ---- parts

_MIDDLE = r'WS? "," WS? "\"arguments\"" WS? ":" WS?'


def _whole_calls(
    tools: Sequence[ToolSpec], style: CallStyle, added: Mapping[str, int], *, has_one_call: bool
) -> list[str]:
    """The rule `calls` and those it stands on, marks included."""
    more = "" if has_one_call else "+"
    after_open = _after_open(tools, style, added)
    if style is CallStyle.KIMI:
        begin, end = _token(SPELLED.section_begin, added), _token(SPELLED.section_end, added)
        top = [f"calls: {begin} call{more} {end}", f"call: {_token(SPELLED.call_begin, added)} {after_open}"]
    else:
        top = [f"calls: call{more}", f"call: WS? {_token(marks.TOOL_CALL_OPEN, added)} {after_open}"]
    return [*top, *_rules(tools, style, added)]


def _after_open(tools: Sequence[ToolSpec], style: CallStyle, added: Mapping[str, int]) -> str:
    names = " | ".join(f"tool_{place}" for place in range(len(tools)))
    if style is CallStyle.KIMI:
        return f"({names}) {_token(SPELLED.call_end, added)}"
    head = r'WS? "{" WS? "\"name\"" WS? ":" WS?'
    return f'{head} ({names}) WS? "}}" WS? {_token(marks.TOOL_CALL_CLOSE, added)}'


def _rules(tools: Sequence[ToolSpec], style: CallStyle, added: Mapping[str, int]) -> list[str]:
    """A rule for each tool, from its name to the end of its arguments."""

    def head(name: str) -> str:
        if style is CallStyle.KIMI:
            return f"{json.dumps(f'functions.{name}:')} INDEX {_token(SPELLED.argument_begin, added)}"
        return f"{json.dumps(json.dumps(name))} {_MIDDLE}"

    rules = [f"tool_{place}: {head(tool.name)} {_arguments(tool)}" for place, tool in enumerate(tools)]
    return [*rules, "INDEX: /[0-9]{1,4}/", _WS]


def _arguments(tool: ToolSpec) -> str:
    guidance = {"whitespace_pattern": _SPACE, "lenient": True, "coerce_one_of": True}
    return "%json " + json.dumps({"type": "object", **bounded(tool.parameters), "x-guidance": guidance})


def _followed(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**bounded(schema), "x-guidance": {"whitespace_pattern": _SPACE}}


def _token(spelling: str, added: Mapping[str, int]) -> str:
    """The token of this spelling, or the text where the vocabulary has none."""
    return f"<[{added[spelling]}]>" if spelling in added else json.dumps(spelling)


def _lark(grammar: Grammar) -> str:
    if grammar.syntax == "lark":
        return grammar.source
    try:
        return str(any_to_lark(grammar.source))
    except Exception as error:  # the converter has a class of its own for each fault, and bare ones too
        raise BadGrammar(f"The grammar is no GBNF: {error}") from error
