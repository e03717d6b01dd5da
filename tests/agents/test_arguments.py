"""What a model writes as arguments is read as it was meant, or refused with the place that is wrong."""

import json
from typing import Any

import pytest

from agents.tool import Effect, Fault, Intent, ToolContext, ToolResult, Traits
from agents.tooling.arguments import ArgumentReader, BadArguments, BadSchema
from agents.tooling.toolset import Toolset
from inference.schema import ToolSpec
from tests.agents.reference_calls import BADLY_WRITTEN, RIGHT, SPECS, WRONG

CONTEXT = ToolContext(key="turn.1.0")


class Recorder:
    """A tool that shows what it was given."""

    def __init__(self, spec: ToolSpec, effect: Effect = Effect.NONE) -> None:
        self.spec = spec
        self.traits = Traits(effect=effect)
        self.given: list[Any] = []

    async def run(self, arguments: Any, context: ToolContext) -> ToolResult:
        self.given.append(arguments)
        return ToolResult(for_model="done")


async def call(tool: Recorder, arguments: str) -> ToolResult:
    intent = Intent(step=1, index=0, call_id="c", name=tool.spec.name, arguments=arguments, key="turn.1.0")
    result = await Toolset([tool]).run(intent, CONTEXT)
    assert isinstance(result, ToolResult)
    return result


@pytest.mark.parametrize(("name", "text", "meant"), RIGHT)
async def test_a_right_call_reaches_its_tool_as_it_was_written(name, text, meant):
    tool = Recorder(SPECS[name], Effect.EXTERNAL)
    assert (await call(tool, text)).fault is None
    assert tool.given == [meant]


@pytest.mark.parametrize(("name", "text", "meant"), BADLY_WRITTEN)
async def test_a_badly_written_call_is_repaired_where_only_one_meaning_is_possible(name, text, meant):
    tool = Recorder(SPECS[name])
    result = await call(tool, text)
    assert result.fault is None, result.for_model
    assert tool.given == [meant]


@pytest.mark.parametrize(("name", "text", "place"), WRONG)
async def test_a_wrong_call_is_refused_and_the_model_told_where(name, text, place):
    tool = Recorder(SPECS[name])
    result = await call(tool, text)
    assert (result.is_error, result.fault) == (True, Fault.BAD_ARGUMENTS)
    assert place in result.for_model
    assert len(result.for_model) < 600
    assert tool.given == []


@pytest.mark.parametrize("text", ['{"city": "Paris"', '{"city": "Paris", "unit": "c"'])
async def test_what_may_have_been_cut_off_is_never_completed_for_a_tool_that_changes_the_world(text):
    careful, careless = Recorder(SPECS["weather"], Effect.EXTERNAL), Recorder(SPECS["weather"])
    assert (await call(careful, text)).fault is Fault.BAD_ARGUMENTS
    assert (await call(careless, text)).fault is None
    assert careful.given == []


def test_a_number_is_never_read_out_of_a_text_where_a_text_is_wanted():
    assert ArgumentReader(SPECS["tag"]).read('{"id": "007"}') == {"id": "007"}


def test_arguments_that_are_nested_without_end_or_endlessly_long_are_refused():
    reader = ArgumentReader(SPECS["tag"])
    for text in ('{"id": 1, "labels": ' + '{"a": ' * 100_000, '{"id": "' + "x" * 600_000 + '"}'):
        with pytest.raises(BadArguments):
            reader.read(text)


def test_a_schema_of_a_stranger_cannot_have_us_fetch_an_address():
    spec = ToolSpec(name="spy", description="", parameters={"$ref": "http://127.0.0.1:9/schema.json"})
    with pytest.raises(BadArguments, match="not there"):
        ArgumentReader(spec).read("{}")


def test_a_tool_whose_schema_is_none_is_left_out(caplog):
    broken = Recorder(ToolSpec(name="broken", description="", parameters={"type": "thing"}))
    with pytest.raises(BadSchema):
        ArgumentReader(broken.spec)
    assert Toolset([broken, Recorder(SPECS["now"])]).specs == (SPECS["now"],)
    assert "broken is left out" in caplog.text


def test_every_reference_call_is_itself_what_it_claims_to_be():
    assert len(RIGHT) + len(BADLY_WRITTEN) >= 50
    assert len(WRONG) >= 50
    for name, text, meant in RIGHT:
        assert json.loads(text.strip() or "{}") == meant, name
