"""Which constraint a request asks for."""

from collections.abc import Sequence

from inference.constraints import compiling, grammars, vocabulary
from inference.constraints.bound import BoundConstraint, FreeReasoning
from inference.constraints.compiling import BadGrammar
from inference.constraints.lazy import LazyConstraint
from inference.constraints.matcher import Matcher
from inference.schema import Grammar, JsonObject, JsonSchema, NamedTool, Regex, ResponseFormat, ToolSpec
from inference.tokenizer.marks import SPELLED, CallStyle
from inference.tokenizer.tokenizer import Tokenizer

Constraint = BoundConstraint | LazyConstraint


def build(
    tokenizer: Tokenizer,
    *,
    tools: Sequence[ToolSpec] = (),
    tool_choice: str | NamedTool = "auto",
    response_format: ResponseFormat | None = None,
    reasoning: FreeReasoning | None = None,
    max_tokens: int | None = None,
) -> Constraint | None:
    """The constraint on an answer; None where anything goes.

    `tools` are those offered, none of them where calls are forbidden; `reasoning` is what comes before the
    bound part, `max_tokens` the length within which bound JSON is to end. Raises BadGrammar.
    """
    for tool in tools:
        grammars.check_tool(tool)
    if isinstance(response_format, Regex | Grammar):
        written = response_format.pattern if isinstance(response_format, Regex) else response_format.source
        compiling.check_written(written)
    is_called = tool_choice != "auto" and tool_choice != "none"
    if response_format is not None or is_called:
        grammar = _whole(
            tokenizer,
            _chosen(tools, tool_choice),
            tool_choice,
            response_format,
            is_late=reasoning is not None,
        )
        matcher = Matcher(vocabulary.of(tokenizer), grammar)
        # What ends JSON may be any text's middle: other forms go on until they are cut off.
        is_json = is_called or isinstance(response_format, JsonObject | JsonSchema)
        length = max_tokens if is_json else None
        return BoundConstraint(tokenizer, matcher, reasoning=reasoning, max_tokens=length)
    return _lazy(tokenizer, tools) if tools else None


def warm_up(tokenizer: Tokenizer) -> None:
    """Prepare the vocabulary, so that the first request need not."""
    vocabulary.of(tokenizer)


def _chosen(tools: Sequence[ToolSpec], tool_choice: str | NamedTool) -> Sequence[ToolSpec]:
    if tool_choice == "required" and not tools:
        raise BadGrammar("A tool call is required, but no tool is offered.")
    if not isinstance(tool_choice, NamedTool):
        return tools
    named = [tool for tool in tools if tool.name == tool_choice.name]
    if not named:
        raise BadGrammar(f"The tool {tool_choice.name!r} is to be called, but it is not offered.")
    return named


def _whole(
    tokenizer: Tokenizer,
    tools: Sequence[ToolSpec],
    tool_choice: str | NamedTool,
    response_format: ResponseFormat | None,
    *,
    is_late: bool,
) -> str:
    """The grammar of an answer that is bound as a whole, or from the end of its reasoning on."""
    return grammars.whole(
        response_format=response_format if tool_choice in ("auto", "none") else None,
        tools=tools,
        # Small models that call in JSON repeat a forced call for ever.
        has_one_call=isinstance(tool_choice, NamedTool)
        or (tool_choice == "required" and tokenizer.call_style is CallStyle.JSON),
        style=tokenizer.call_style,
        added=tokenizer.added,
        follows_reasoning=is_late,
    )


def _lazy(tokenizer: Tokenizer, tools: Sequence[ToolSpec]) -> LazyConstraint:
    words, added, style = vocabulary.of(tokenizer), tokenizer.added, tokenizer.call_style
    call = Matcher(words, grammars.of_call(tools, style, added))
    if style is CallStyle.JSON:
        return LazyConstraint(tokenizer, at_token={}, at_mark=call, tools=tools)
    section_id = added[SPELLED.section_begin]
    section = Matcher(words, grammars.of_section(tools, added))
    at_token = {section_id: section, added[SPELLED.call_begin]: call}
    return LazyConstraint(tokenizer, at_token=at_token, section_id=section_id)
