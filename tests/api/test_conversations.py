"""Conversations that programs keep, counting and compacting a prompt, and webhook endpoints, all through the
official client."""

from typing import Any

import openai
import pytest

from inference.backends.scripted import Reply
from tests.api.test_background import ended, worker  # noqa: F401


def say(text: str) -> Any:
    return {"type": "message", "role": "user", "content": text}


def test_a_conversation_is_made_read_page_by_page_changed_and_deleted(client):
    conversation = client.conversations.create(items=[say("one"), say("two")], metadata={"topic": "test"})
    assert (conversation.object, conversation.metadata) == ("conversation", {"topic": "test"})
    added = client.conversations.items.create(conversation.id, items=[say("three")])
    [three] = added.data
    newest = client.conversations.items.list(conversation.id, limit=2)
    assert [item.content[0].text for item in newest.data] == ["three", "two"]
    assert newest.has_more
    assert [item.content[0].text for item in newest.get_next_page().data] == ["one"]
    oldest = client.conversations.items.list(conversation.id, order="asc")
    assert [item.content[0].text for item in oldest] == ["one", "two", "three"]
    assert client.conversations.items.retrieve(three.id, conversation_id=conversation.id) == three
    client.conversations.items.delete(three.id, conversation_id=conversation.id)
    assert len(client.conversations.items.list(conversation.id).data) == 2
    changed = client.conversations.update(conversation.id, metadata={"topic": "other"})
    assert client.conversations.retrieve(conversation.id) == changed
    assert client.conversations.delete(conversation.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(conversation.id)


def test_responses_go_on_with_a_conversation_and_add_to_it(client, script, scripted_model):
    script(Reply(when="name", lines=("text: Ada.",)), Reply(lines=("text: Hello Ada.",)))
    conversation = client.conversations.create()
    ask: Any = {"model": "scripted", "conversation": conversation.id}
    first = client.responses.create(input="I am Ada.", **ask)
    assert first.conversation.id == conversation.id
    second = client.responses.create(input="What is my name?", **ask)
    assert second.usage.input_tokens > first.usage.input_tokens
    said = [item.content[0].text for item in client.conversations.items.list(conversation.id, order="asc")]
    assert said == ["I am Ada.", "Hello Ada.", "What is my name?", "Ada."]


def test_a_prompt_is_counted_as_it_is_billed(client, script, scripted_model):
    script("text: Four.")
    counted = client.responses.input_tokens.count(model="scripted", input="What is 2 + 2?")
    response = client.responses.create(model="scripted", input="What is 2 + 2?")
    assert counted.input_tokens == response.usage.input_tokens > 0


def test_a_compacted_conversation_is_gone_on_with(client, script, scripted_model):
    script(
        Reply(when="Sum up", lines=("text: Ada asked about four.",)),
        Reply(when="Who", lines=("text: Ada did.",)),
        Reply(lines=("text: Four.",)),
    )
    first = client.responses.create(model="scripted", input="I am Ada. What is 2 + 2?")
    compacted = client.responses.compact(
        model="scripted", input=[say("And 3 + 3?")], previous_response_id=first.id
    )
    assert [item.type for item in compacted.output] == ["compaction"]
    assert compacted.usage.output_tokens == 4
    carried = [item.to_dict() for item in compacted.output]
    response = client.responses.create(model="scripted", input=[*carried, say("Who asked?")])
    assert response.output_text == "Ada did."
    carried[-1]["encrypted_content"] += "x"
    with pytest.raises(openai.BadRequestError) as refusal:
        client.responses.create(model="scripted", input=[*carried, say("Who asked?")])
    assert refusal.value.param == "input[0]"


def test_an_endpoint_is_made_tried_and_told_of_what_ended(client, worker, script):  # noqa: F811
    script("text: Four.")
    made = client.webhooks.create(
        name="mine", url="https://example.com/hook", event_types=["response.completed"]
    )
    assert made.signing_secret.startswith("whsec_")
    assert client.webhooks.retrieve(made.id).signing_secret_hint.endswith(made.signing_secret[-4:])
    renewed = client.webhooks.rotate_secret(made.id)
    assert renewed.signing_secret != made.signing_secret
    assert client.webhooks.update(made.id, name="other").name == "other"
    assert [one.id for one in client.webhooks.list()] == [made.id]
    with pytest.raises(openai.BadRequestError) as refusal:
        client.webhooks.create(name="x", url="http://127.0.0.1/", event_types=["response.failed"])
    assert refusal.value.param == "url"
    response = ended(client, client.responses.create(model="scripted", input="?", background=True))
    log = client.get(f"/webhook_endpoints/{made.id}/deliveries", cast_to=object)
    [delivery] = log["data"]
    assert (delivery["event_type"], response.status) == ("response.completed", "completed")
    assert client.webhooks.delete(made.id).deleted
