"""A turn that is really driven leaves the spans that were agreed on."""

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from inference.backends.scripted import Reply
from tests.chat.conftest import Ask
from tests.conftest import WriteScript
from tests.spans import exported

__all__ = ["exported"]


def test_a_turn_is_one_trace_of_its_model_and_tool_calls(
    ask: Ask, script: WriteScript, exported: InMemorySpanExporter
) -> None:
    script(
        Reply(step=1, lines=("think: a sum", 'call: calculate {"expression": "2 + 2"}')),
        Reply(step=2, lines=("text: It is 4.",)),
    )
    turn = ask("What is 2 + 2?", long_thinking=True)
    spans = [span for span in exported.get_finished_spans() if span.name.split()[0] in NAMES]
    assert [span.name for span in spans] == [
        *("chat scripted", "execute_tool calculate", "chat scripted", "invoke_agent assistant"),
    ]
    assert {format(span.context.trace_id, "032x") for span in spans} == {turn.id.hex}
    first, tool, second, agent = (dict(span.attributes or {}) for span in spans)
    assert (first["turn.step"], tool["turn.step"], second["turn.step"]) == (1, 1, 2)
    assert first["gen_ai.usage.output_tokens"]
    assert second["gen_ai.response.finish_reasons"] == ("stop",)
    assert tool["gen_ai.tool.call.id"] == "functions.calculate:0"
    assert agent["gen_ai.conversation.id"] == str(turn.id)
    assert "2 + 2" not in "".join(span.to_json() for span in spans)


NAMES = ("chat", "execute_tool", "invoke_agent")
