"""A client that drops the model's reasoning between its tool calls gets it put back."""

from typing import Any

import anthropic
import pytest

from inference.backends.scripted import Script
from webapp.api import lost_reasoning

QUESTION = {"role": "user", "content": "What is 2 + 2?"}
TOOLS = [{"type": "function", "function": {"name": "calculate", "parameters": {"type": "object"}}}]
THINK = {"thinking": {"type": "enabled"}}
SAID = ("think: two and two", 'call: calculate {"expression": "2 + 2"}')


@pytest.fixture
def provider(upstream, scripted_model):
    """One that refuses a call without its reasoning, and so is never to be sent one."""
    upstream.script = Script.of(*SAID)
    scripted_model.thinking_dialect = scripted_model.ThinkingDialect.THINKING_TYPE
    scripted_model.save()
    return upstream


def after(message, *more, question=QUESTION):
    """The conversation as most clients send it back: the call, without what was thought before it."""
    call = message.tool_calls[0].model_dump()
    said = {"role": "assistant", "content": message.content, "tool_calls": [call]}
    return [question, said, {"role": "tool", "tool_call_id": call["id"], "content": "4"}, *more]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_dropped_thought_is_back_with_its_call(client, provider, is_stream):
    def ask(messages):
        return client.chat.completions.create(
            model="scripted", messages=messages, tools=TOOLS, stream=is_stream, extra_body=THINK
        )

    def message_of(answer):
        if not is_stream:
            return answer.choices[0].message
        from openai.lib.streaming.chat import ChatCompletionStreamState

        state = ChatCompletionStreamState()
        for chunk in answer:
            state.handle_chunk(chunk)
        return state.get_final_completion().choices[0].message

    first = message_of(ask([QUESTION]))
    history = after(first)
    history[1]["tool_calls"][0]["function"]["arguments"] = '{"expression":"2 + 2"}'  # written anew
    message_of(ask(history))
    sent = provider.bodies[-1]["messages"]
    assert sent[1]["reasoning_content"] == "two and two"
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == "functions.calculate:0"


def test_a_call_of_another_conversation_gets_no_thought_of_this_one(client, provider):
    def ask(messages, **options):
        return client.chat.completions.create(
            model="scripted", messages=messages, tools=TOOLS, extra_body=THINK, **options
        )

    first = ask([QUESTION], user="ann").choices[0].message
    ask(after(first, question={"role": "user", "content": "Another."}), user="ann")
    assert provider.bodies[-1]["messages"][1]["reasoning_content"] == " ", "never left out"
    ask(after(first), user="bob")
    assert provider.bodies[-1]["messages"][1]["reasoning_content"] == " "
    ask(after(first), user="ann")
    assert provider.bodies[-1]["messages"][1]["reasoning_content"] == "two and two"


def test_messages_without_their_thinking_block_are_made_whole(server, secret, provider, client):
    tools: Any = [{"name": "calculate", "input_schema": {"type": "object"}}]
    with anthropic.Anthropic(base_url=server, api_key=secret, max_retries=0) as claude:

        def ask(messages):
            thinking: Any = {"type": "adaptive"}
            return claude.messages.create(
                model="scripted", max_tokens=100, messages=messages, tools=tools, thinking=thinking
            )

        call = next(block for block in ask([QUESTION]).content if block.type == "tool_use")
        said = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "4"}
        ask([QUESTION, {"role": "assistant", "content": [said]}, {"role": "user", "content": [result]}])
    assert provider.bodies[-1]["messages"][1]["reasoning_content"] == "two and two"


def test_what_is_kept_is_sealed_bounded_and_gone_in_time(client, provider, redis_url, monkeypatch):
    import redis

    client.chat.completions.create(model="scripted", messages=[QUESTION], tools=TOOLS, extra_body=THINK)
    with redis.Redis.from_url(redis_url) as store:
        (name,) = [key for key in store.keys("reasoning:*") if store.type(key) == b"string"]
        assert b"two and two" not in (store.get(name) or b"two and two")
        assert 0 < store.ttl(name) <= lost_reasoning.KEPT_S
        index = name.rpartition(b":")[0]
        assert store.zcard(index) == 1
        keep = store.register_script(lost_reasoning._KEEP)
        for number in range(4):
            keep(keys=[index, f"entry{number}"], args=[b"x", 60, 2])
        assert not store.exists(name, "entry0", "entry1")
        assert store.exists("entry2", "entry3") == 2
