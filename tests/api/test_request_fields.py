"""Every field that OpenAI's and Kimi's clients may send is taken, and read by its type."""

import openai
import pytest

BEGUN = [
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "It is", "partial": True},
]


def test_every_field_of_the_official_client_is_taken(ask, script):
    script("text: 4")
    completion = ask(
        stream_options=openai.omit,
        max_completion_tokens=50,
        stop=["never"],
        seed=1,
        temperature=1,
        top_p=0.9,
        presence_penalty=0,
        frequency_penalty=0,
        parallel_tool_calls=True,
        verbosity="low",
        prediction={"type": "content", "content": "4"},
        modalities=["text"],
        service_tier="auto",
        store=False,
        metadata={"job": "7"},
        user="ann",
        safety_identifier="ann",
        prompt_cache_key="task-7",
        prompt_cache_retention="24h",
        extra_body={"prompt_cache_options": {}, "moderation": {}, "never_heard_of": [1]},
    )
    assert completion.choices[0].message.content == "4"


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("metadata", {"a": 1}, "metadata"),
        ("user", 7, "user"),
        ("service_tier", "gold", "service_tier"),
        ("store", "yes", "store"),
        ("prediction", {"type": "guess"}, "prediction.type"),
        ("modalities", ["text", "audio"], "modalities"),
        ("audio", {"voice": "alloy"}, "modalities"),
        ("functions", [], "functions"),
        ("web_search_options", {}, "web_search_options"),
        ("stream_options", {"include_usage": "yes"}, "stream_options.include_usage"),
        ("thinking", {"type": "enabled", "effort": "huge"}, "thinking.effort"),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused_by_name(ask, script, field, value, param):
    script("text: 4")
    with pytest.raises(openai.BadRequestError) as refused:
        ask(extra_body={field: value})
    assert refused.value.param == param
    assert isinstance(refused.value.body, dict)
    assert set(refused.value.body) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("dialect", "told"),
    [
        ("thinking_type", {"partial": True}),
        ("template_kwargs", {"continue_final_message": True, "add_generation_prompt": False}),
    ],
)
def test_a_begun_answer_is_gone_on_with(client, upstream, scripted_model, dialect, told):
    scripted_model.thinking_dialect = dialect
    scripted_model.save()
    create = client.chat.completions.create
    create(model="scripted", messages=BEGUN, extra_body={"prompt_cache_key": "task-7"})
    body = upstream.bodies[-1]
    assert body["messages"][-1]["content"] == "It is"
    assert told.items() <= {**body, **body["messages"][-1]}.items()
    assert body.get("prompt_cache_key") == ("task-7" if dialect == "thinking_type" else None)
    with pytest.raises(openai.BadRequestError, match="partial"):
        create(model="scripted", messages=[BEGUN[1], BEGUN[0]])
    with pytest.raises(openai.BadRequestError, match="json_object"):
        create(model="scripted", messages=BEGUN, response_format={"type": "json_object"})
