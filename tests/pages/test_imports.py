"""Chats come in from files: ours, ChatGPT's, Claude's; what cannot be read is said; nothing by halves."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from chat import imports, snapshots
from chat.models import Conversation, Turn
from tests.pages.conftest import MakeTurn
from webapp.catalog.models import ServedModel


def node(parent: str | None, role: str, text: str, **more: Any) -> dict[str, Any]:
    message = {
        "author": {"role": role},
        "content": {"content_type": "text", "parts": [text]},
        "create_time": 1.7e9,
    }
    return {"parent": parent, "message": message | more}


CHATGPT = {
    "title": "From there",
    "create_time": 1.7e9,
    "current_node": "d",
    "mapping": {
        "root": {"parent": None, "message": None},
        "a": node("root", "user", "Why?"),
        "b": node("a", "assistant", "Another branch."),
        "t": node("a", "assistant", "search(1)", recipient="browser"),
        "c": node("t", "assistant", "**Because**\0.", metadata={"model_slug": "gpt-4o"}),
        "d": node("c", "user", "Unanswered"),
    },
}
CLAUDE = {
    "name": "从那里",
    "chat_messages": [
        {"sender": "human", "text": "你好", "created_at": "2026-01-01T10:00:00Z"},
        {
            "sender": "assistant",
            "text": "",
            "content": [{"type": "text", "text": "您好"}],
            "created_at": "2026-01-01T10:00:01Z",
        },
    ],
}


def send(client: Client, whole: object) -> str:
    content = whole if isinstance(whole, bytes) else json.dumps(whole).encode()
    file = SimpleUploadedFile("conversations.json", content, "application/json")
    return client.post("/settings/import/", {"file": file}).content.decode()


def branch_of(title: str) -> list[tuple[str, str]]:
    snapshot = snapshots.of_branch(Conversation.objects.get(title=title), with_reasoning=True)
    return [(one.question, one.answer) for one in snapshot.exchanges]


def test_chats_of_chatgpt_and_claude_come_in(alices_client: Client, scripted_model: ServedModel) -> None:
    assert "1 chat imported" in send(alices_client, [CHATGPT])
    assert "1 chat imported" in send(alices_client, [CLAUDE])
    assert branch_of("From there") == [("Why?", "**Because**\N{REPLACEMENT CHARACTER}."), ("Unanswered", "")]
    assert branch_of("从那里") == [("你好", "您好")]


def test_our_own_export_comes_in_again(
    alices_client: Client, conversation: Conversation, make_turn: MakeTurn
) -> None:
    make_turn("How?", "So.", reasoning="Hm.")
    exported = alices_client.get(f"/c/{conversation.pk}/export.json").content
    conversation.delete()
    assert "1 chat imported" in send(alices_client, exported)
    assert branch_of("Trees and heat") == [("How?", "So.")]


def test_one_that_cannot_be_read_keeps_no_other_out(
    alices_client: Client, scripted_model: ServedModel
) -> None:
    broken = [
        {"title": "No node", "mapping": {}, "current_node": "x"},
        {"title": "Ring", "mapping": {"a": {"parent": "a"}}, "current_node": "a"},
        {"title": "Odd", "mapping": 3, "current_node": None},
        {"title": "Future", "format": snapshots.FORMAT, "version": 99},
        {
            "title": "Long",
            **{**CHATGPT, "title": "Long", "mapping": {"d": node(None, "user", "x" * 200_001)}},
        },
        {"name": "No time", "chat_messages": [{"sender": "human", "text": "x"}]},
    ]
    page = send(alices_client, [*broken, CHATGPT])
    assert "6 chats could not be read" in page
    assert "Long: a message is longer than 200000 characters" in page
    assert "1 chat imported" in page
    assert Conversation.objects.count() == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[1]", b'{"a": 1}', b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_export_is_said_to_be_none(alices_client: Client, content: bytes) -> None:
    assert "no export of chats" in send(alices_client, content)
    assert not Conversation.objects.exists()


def test_a_file_too_large_is_not_read(alices_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "MAX_BYTES", 100)
    assert "no export of chats" in send(alices_client, [CHATGPT])


def test_a_fault_halfway_leaves_nothing_of_that_chat(
    alices_client: Client, scripted_model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.search_index.keep_answer", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        send(alices_client, [CHATGPT])
    assert not Conversation.objects.exists()
    assert not Turn.objects.exists()


def test_a_file_imported_again_makes_nothing_twice(
    alices_client: Client, scripted_model: ServedModel
) -> None:
    send(alices_client, [CHATGPT, CLAUDE])
    page = send(alices_client, [CHATGPT, CLAUDE, {**CHATGPT, "id": "another"}])
    assert "2 chats were here already" in page
    assert "1 chat imported" in page
    assert Conversation.objects.count() == 3


def test_what_is_beyond_the_most_is_said_and_comes_with_the_next_import(
    alices_client: Client, scripted_model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "MAX_CONVERSATIONS", 2)
    whole = [{**CHATGPT, "id": f"chat {number}"} for number in range(5)]
    assert "3 more chats are in the file" in send(alices_client, whole)
    assert "1 more chat is in the file" in send(alices_client, whole)
    assert "1 chat imported" in send(alices_client, whole)
    assert Conversation.objects.count() == 5


def test_a_file_that_breaks_off_gives_what_stood_before(
    alices_client: Client, scripted_model: ServedModel
) -> None:
    whole = json.dumps([CHATGPT, CLAUDE]).encode()
    page = send(alices_client, whole[:-40])
    assert "The file breaks off in the middle" in page
    assert Conversation.objects.get().title == "From there"
