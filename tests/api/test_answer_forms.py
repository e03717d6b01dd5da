"""Log probabilities, biases, bound answers, forced calls: asked for, passed on, told in OpenAI's shapes."""

import pydantic
import pytest
from openai.types.chat.chat_completion_token_logprob import TopLogprob

from inference.backends.scripted import Script
from inference.schema import ContentDelta, LikelyToken, TokenLogprob
from webapp.api.chat_reply import Reply, logprobs_shape

TOOLS = [
    {"type": "function", "function": {"name": "calculate", "parameters": {"type": "object"}}},
    {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}},
]


class Sum(pydantic.BaseModel):
    sum: int


def test_log_probabilities_are_told_for_each_token(ask, upstream):
    upstream.has_logprobs = True
    upstream.script = Script.of("text: It is 四")
    choice = ask(logprobs=True, top_logprobs=1).choices[0]
    assert upstream.bodies[-1]["top_logprobs"] == 1
    assert choice.logprobs.refusal is None
    tokens = choice.logprobs.content
    assert [(token.token, token.logprob) for token in tokens] == [("It", -0.5), (" is", -0.5), (" 四", -0.5)]
    assert bytes(tokens[2].bytes).decode() == " 四"
    assert tokens[0].top_logprobs == [TopLogprob(token="z", logprob=-0.25, bytes=[ord("z")])]


def test_log_probabilities_stream_with_the_text_they_are_of(ask, upstream):
    upstream.has_logprobs = True
    upstream.script = Script.of("text: It is 四")
    choices = [chunk.choices[0] for chunk in ask(stream=True, logprobs=True)]
    told = [(choice.delta.content, choice.logprobs.content[0].token) for choice in choices[1:-1]]
    assert told == [("It", "It"), (" is", " is"), (" 四", " 四")]
    assert (choices[0].logprobs, choices[-1].logprobs) == (None, None)
    assert upstream.bodies[-1]["logprobs"] is True
    assert "top_logprobs" not in upstream.bodies[-1]


def test_log_probabilities_nobody_asked_for_are_left_out(ask, upstream):
    upstream.has_logprobs = True
    assert ask().choices[0].logprobs is None
    assert all(chunk.choices[0].logprobs is None for chunk in ask(stream=True))


def test_a_token_that_cannot_come_is_a_number_in_json():
    never = LikelyToken(token="x", logprob=float("-inf"), token_bytes=b"\xff")
    reply = Reply()
    reply.add(ContentDelta("x", logprobs=(TokenLogprob(drawn=never),)))
    (told,) = logprobs_shape(reply.logprobs)["content"]
    assert told == {"token": "x", "logprob": -9999.0, "bytes": [255], "top_logprobs": []}


@pytest.mark.parametrize(
    ("asked", "passed_on"),
    [
        ({"logit_bias": {"5": -100, "77": 2.5}}, {"logit_bias": {"5": -100.0, "77": 2.5}}),
        ({"seed": 7, "stop": ["a", "", "b"]}, {"seed": 7, "stop": ["a", "b"]}),
        ({"top_k": 5, "min_p": 0.1}, {"top_k": 5, "min_p": 0.1}),
        ({"repetition_penalty": 1.2}, {"repetition_penalty": 1.2}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
        ({"tools": TOOLS, "tool_choice": "required"}, {"tool_choice": "required"}),
        ({"tools": TOOLS, "tool_choice": "none"}, {"tool_choice": "none"}),
        ({"tools": TOOLS}, {"tool_choice": "auto"}),
    ],
)
def test_what_is_asked_for_reaches_the_model(ask, upstream, asked, passed_on):
    ask(extra_body=asked)
    (body,) = upstream.bodies
    optional = {"logit_bias", "seed", "stop", "top_k", "min_p", "response_format", "tool_choice"}
    optional |= {"repetition_penalty", "logprobs", "top_logprobs"}
    assert {name: body[name] for name in optional & set(body)} == passed_on


def test_a_named_tool_is_the_one_to_be_called(ask, upstream):
    upstream.script = Script.of('call: search {"query": "4"}')
    named = {"type": "function", "function": {"name": "search"}}
    choice = ask(tools=TOOLS, tool_choice=named).choices[0]
    assert upstream.bodies[-1]["tool_choice"] == named
    assert (choice.finish_reason, choice.message.tool_calls[0].function.name) == ("tool_calls", "search")


def test_a_schema_reaches_the_model_and_the_client_reads_the_answer_by_it(client, upstream):
    upstream.script = Script.of('text: {"sum": 4}')
    question = [{"role": "user", "content": "What is 2 + 2?"}]
    completion = client.chat.completions.parse(model="scripted", messages=question, response_format=Sum)
    assert completion.choices[0].message.parsed == Sum(sum=4)
    asked = upstream.bodies[-1]["response_format"]
    assert (asked["type"], asked["json_schema"]["name"]) == ("json_schema", "Sum")
    assert asked["json_schema"]["schema"]["properties"]["sum"]["type"] == "integer"


def test_a_schema_may_be_nested_as_deeply_as_people_write_them(ask, upstream):
    deep: dict[str, object] = {"type": "integer"}
    for _ in range(30):
        deep = {"type": "object", "properties": {"a": deep}}
    ask(response_format={"type": "json_schema", "json_schema": {"name": "deep", "schema": deep}})
    assert upstream.bodies[-1]["response_format"]["json_schema"]["schema"] == deep
