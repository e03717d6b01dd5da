"""One request's way through a model of Kimi's shape: what it is asked, and what becomes of its tokens."""

from typing import Any

import pytest

from inference.engine import StepOutput
from inference.engine.sequence import TokenLogprob
from inference.schema import (
    ChatDelta,
    ChatMessage,
    ChatRequest,
    ContentDelta,
    Finished,
    FinishReason,
    JsonSchema,
    NamedTool,
    ReasoningDelta,
    Role,
    Sampling,
    Thinking,
    ToolCallDelta,
    ToolSpec,
)
from inference.tokenizer.chat_template import TemplateRefused
from inference.tokenizer.marks import SPELLED
from inference.tokenizer.tokenizer import Tokenizer
from inference.worker.answer import Answer, PromptRefused
from tests.inference.constraints import driving

SEARCH = ToolSpec(name="search", description="", parameters={"properties": {"query": {"type": "string"}}})
CALL = (
    f"{SPELLED.section_begin}{SPELLED.call_begin}functions.search:0{SPELLED.argument_begin}"
    f'{{"query": "x"}}{SPELLED.call_end}{SPELLED.section_end}'
)
CLOSE = SPELLED.think_close


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def ask(**changes: Any) -> ChatRequest:
    asked = {"id": "one", "model": "m", "messages": (ChatMessage(role=Role.USER, content="hi"),)}
    return ChatRequest(**(asked | changes))


def answer_to(tokenizer: Tokenizer, **changes: Any) -> Answer:
    return Answer(ask(**changes), tokenizer=tokenizer, context_tokens=4000)


def feed(answer: Answer, token_ids: list[int], reason: Any = None) -> list[ChatDelta]:
    return answer.feed(
        StepOutput(sequence_id="one", token_ids=token_ids, finish_reason=reason, num_cached_tokens=0)
    )


def say(answer: Answer, tokenizer: Tokenizer, text: str, *, reason: Any = "stop") -> list[ChatDelta]:
    """The deltas when the model says this, token by token, and then ends."""
    token_ids = tokenizer.encode_trusted(text)
    if answer.sequence.constraint is not None:
        driving.say(answer.sequence.constraint, tokenizer, token_ids)  # type: ignore[arg-type]  # it is ours
    deltas = [delta for token_id in token_ids for delta in feed(answer, [token_id])]
    return deltas if deltas and isinstance(deltas[-1], Finished) else deltas + feed(answer, [], reason)


def text_of(deltas: list[ChatDelta], kind: type[ReasoningDelta] | type[ContentDelta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))


def end_of(deltas: list[ChatDelta]) -> Finished:
    assert isinstance(deltas[-1], Finished)
    return deltas[-1]


def test_reasoning_and_content_are_told_apart_and_counted(tiny_kimi: Tokenizer):
    deltas = say(answer_to(tiny_kimi), tiny_kimi, f"<think>hm{CLOSE}Hi. </think>")
    assert (text_of(deltas, ReasoningDelta), text_of(deltas, ContentDelta)) == ("hm", "Hi. </think>")
    assert end_of(deltas).reason is FinishReason.STOP
    assert end_of(deltas).usage.reasoning_tokens == 4, "with the two marks"


def test_arguments_stream_and_the_answer_ends_with_its_calls(tiny_kimi: Tokenizer):
    deltas = say(answer_to(tiny_kimi, tools=(SEARCH,)), tiny_kimi, f"<think>hm{CALL}")
    calls = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert (calls[0].id, calls[0].name, calls[0].arguments) == ("functions.search:0", "search", "")
    assert len(calls) > 5
    assert "".join(call.arguments for call in calls) == '{"query": "x"}'
    assert end_of(deltas).reason is FinishReason.TOOL_CALLS


def test_a_call_that_is_cut_says_so(tiny_kimi: Tokenizer):
    deltas = say(answer_to(tiny_kimi, tools=(SEARCH,)), tiny_kimi, CALL.partition('"x')[0], reason="length")
    assert end_of(deltas).reason is FinishReason.LENGTH


def test_an_answer_without_any_mark_is_content_in_the_end(tiny_kimi: Tokenizer):
    deltas = say(answer_to(tiny_kimi), tiny_kimi, "Hi.")
    assert text_of(deltas, ContentDelta) == "Hi."
    deltas = say(answer_to(tiny_kimi), tiny_kimi, "Hm, so", reason="length")
    assert text_of(deltas, ContentDelta) == "", "that one was reasoning indeed"


def test_calls_that_are_forbidden_cannot_come_and_the_prompt_stays(tiny_kimi: Tokenizer):
    free, forbidden = (
        answer_to(tiny_kimi, tools=(SEARCH,), tool_choice=choice).sequence for choice in ("auto", "none")
    )
    assert forbidden.prompt_ids == free.prompt_ids
    begins = {tiny_kimi.added[SPELLED.section_begin], tiny_kimi.added[SPELLED.call_begin]}
    assert {token for token, bias in forbidden.sampling.logit_bias.items() if bias < -1e6} == begins
    assert forbidden.constraint is None


def test_a_spent_budget_closes_with_the_models_own_mark(tiny_kimi: Tokenizer):
    answer = answer_to(tiny_kimi, thinking=Thinking(enabled=True, budget_tokens=16))
    feed(answer, tiny_kimi.encode_trusted("<think>so it is done!"))
    assert answer.closing_ids() == [tiny_kimi.added[CLOSE]]
    assert answer.closing_ids() == [], "once"


def test_shortly_before_its_end_a_budget_closes_where_a_sentence_does(tiny_kimi: Tokenizer):
    thinking = Thinking(enabled=True, budget_tokens=80)  # the last 10 tokens are grace
    for text, is_closed in (("a" * 70 + ".", True), ("a" * 71, False), ("a" * 40 + ".", False)):
        answer = answer_to(tiny_kimi, thinking=thinking)
        feed(answer, tiny_kimi.encode_trusted("<think>" + text))
        assert bool(answer.closing_ids()) is is_closed


def test_a_bound_answer_reasons_within_its_budget_first(tiny_kimi: Tokenizer):
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    thinking = Thinking(enabled=True, budget_tokens=12)
    asked = {"response_format": JsonSchema(schema=schema), "thinking": thinking}
    deltas = say(answer_to(tiny_kimi, **asked), tiny_kimi, f'<think>hm{CLOSE}{{"x": 1}}')
    assert (text_of(deltas, ReasoningDelta), text_of(deltas, ContentDelta)) == ("hm", '{"x": 1}')
    answer = answer_to(tiny_kimi, **asked)
    constraint = answer.sequence.constraint
    assert constraint is not None
    assert constraint.forced() == [tiny_kimi.added["<think>"]], "so that it reasons at all"
    constraint.accept(tiny_kimi.encode_trusted("<think>hm, hm, hm."))
    assert constraint.forced() == [tiny_kimi.added[CLOSE]]
    assert answer.closing_ids() == []


def test_a_named_tool_is_called(tiny_kimi: Tokenizer):
    asked = {"tools": (SEARCH,), "tool_choice": NamedTool("search")}
    deltas = say(answer_to(tiny_kimi, **asked), tiny_kimi, f"<think>hm{CLOSE}{CALL}")
    assert end_of(deltas).reason is FinishReason.TOOL_CALLS


def test_an_answer_that_left_its_form_ends_in_an_error(tiny_kimi: Tokenizer):
    answer = answer_to(tiny_kimi, response_format=JsonSchema(schema={"type": "object"}))
    assert answer.sequence.constraint is not None
    answer.sequence.constraint.accept(tiny_kimi.encode_trusted(f"<think>{CLOSE}no"))
    end = end_of(feed(answer, [], "stop"))
    assert end.reason is FinishReason.ERROR
    assert "form" in end.detail


def test_log_probabilities_come_with_the_text_of_their_tokens(tiny_kimi: Tokenizer):
    answer = answer_to(tiny_kimi, sampling=Sampling(logprobs=1))
    assert answer.sequence.sampling.num_logprobs == 1
    deltas: list[ChatDelta] = []
    for token_id in [*tiny_kimi.encode_trusted(f"<think>a\n<{CLOSE}\n\nb c"), *"é".encode()]:
        logprobs = [TokenLogprob(logprob=-0.5, top=[(ord("z"), -0.25)])]
        deltas += answer.feed(
            StepOutput(
                sequence_id="one",
                token_ids=[token_id],
                finish_reason=None,
                num_cached_tokens=0,
                logprobs=logprobs,
            )
        )
    texts = [delta for delta in deltas if isinstance(delta, ReasoningDelta | ContentDelta)]
    assert [delta.text for delta in texts] == ["a", "\n<", "b", " c", "é"]
    told = [[logprob.drawn.token for logprob in delta.logprobs] for delta in texts]
    assert told == [["a"], ["\n", "<"], ["b"], [" ", "c"], ["\ufffd", "\ufffd"]]
    assert b"".join(logprob.drawn.token_bytes for logprob in texts[-1].logprobs) == "é".encode()
    assert texts[0].logprobs[0].drawn.logprob == -0.5
    assert [likely.token for likely in texts[0].logprobs[0].top] == ["z"]


def test_log_probabilities_of_reasoning_never_come_with_the_answer(smollm2: Tokenizer):
    # Its marks are spelled by several tokens, none of which is text of either channel.
    answer = answer_to(smollm2, sampling=Sampling(logprobs=0), thinking=Thinking(enabled=True))
    deltas: list[ChatDelta] = []
    for token_id in smollm2.encode(f"Hm. \n{CLOSE}\n\nYes"):
        logprobs = [TokenLogprob(logprob=-0.5, top=[])]
        deltas += answer.feed(
            StepOutput(
                sequence_id="one",
                token_ids=[token_id],
                finish_reason=None,
                num_cached_tokens=0,
                logprobs=logprobs,
            )
        )
    (content,) = [delta for delta in deltas if isinstance(delta, ContentDelta)]
    assert [logprob.drawn.token for logprob in content.logprobs] == ["Yes"]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"response_format": JsonSchema(schema={"type": "thing"})}, "thing"),
        ({"response_format": JsonSchema(schema=nested(400))}, "deep|flat|recursion"),
        ({"tools": (ToolSpec(name="deep", description="", parameters=nested(400)),)}, "deep|flat|recursion"),
        ({"tools": (SEARCH,), "tool_choice": NamedTool("shell")}, "shell"),
        ({"messages": (ChatMessage(role=Role.USER, content="x" * 5000),)}, "5,"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_reason(tiny_kimi: Tokenizer, asked, reason: str):
    with pytest.raises((PromptRefused, TemplateRefused), match=reason):
        answer_to(tiny_kimi, **asked)


def test_a_model_that_knows_no_tools_cannot_be_made_to_call_one(smollm2: Tokenizer):
    with pytest.raises(PromptRefused, match="no tool"):
        answer_to(smollm2, tools=(SEARCH,), tool_choice="required")
