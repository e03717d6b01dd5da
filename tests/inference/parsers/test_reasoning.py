"""A model that is led to think is pointed to what the person asked, whatever the platform says besides."""

from inference.parsers import reasoning
from inference.schema import ERROR_MARK, PLATFORM_MARK, ChatMessage, Role, ToolCall, ToolSpec

QUESTION = "What is 17 % of 2,340?"
CALCULATE = ToolSpec(name="calculate", description="Calculates.", parameters={"type": "object"})


def talk(result: str, question: str = QUESTION) -> list[ChatMessage]:
    call = ToolCall(id="functions.calculate:0", name="calculate", arguments='{"expression": "17 * 2340"}')
    return [
        ChatMessage(role=Role.USER, content=question),
        ChatMessage(role=Role.USER, content=f"{PLATFORM_MARK}The limit of steps is near."),
        ChatMessage(role=Role.ASSISTANT, tool_calls=(call,)),
        ChatMessage(role=Role.TOOL, content=result, tool_call_id=call.id, name=call.name),
    ]


def test_a_note_of_the_platform_is_not_taken_for_the_question() -> None:
    shown = reasoning.lead_from_result(talk("39780"))[-1].content
    assert shown == f"17 * 2340 → 39780\n\n{reasoning.RESULT_REQUEST}{QUESTION}"
    assert "答案" in reasoning.lead_in(talk("39780", question="哪个更大？"))


def test_after_a_call_that_failed_the_model_is_told_to_call_again_where_it_may() -> None:
    fault = f"{ERROR_MARK}Expected a number."
    may_call = reasoning.lead_from_result(talk(fault), tools=[CALCULATE])[-1].content
    assert may_call.endswith(f"{fault}\n\n{reasoning.ERROR_REQUEST}{QUESTION}")
    assert reasoning.ERROR_REQUEST not in reasoning.lead_from_result(talk(fault))[-1].content
